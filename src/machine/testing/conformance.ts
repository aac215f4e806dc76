/**
 * What every device must do, checked the same way for all: reset gives one state; save, disturb, load is identical;
 * accesses of any width at any offset, and random ones, throw nothing and give values of the size asked for.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AccessSize, IoHandler } from '../../memory/io.js';
import type { Device } from '../device.js';
import type { DeviceState } from '../state.js';

/** One way into a device: ports, a BAR, configuration space. */
export interface ConformanceRegion {
  readonly name: string;
  readonly size: number;
  readonly handler: Pick<IoHandler, 'read' | 'write'>;
}

export interface ConformanceSubject {
  readonly device: Device;
  /** Accesses go through these as the guest's do (see `Memory`: a handler behind a region sees normalised ones). */
  readonly regions: readonly ConformanceRegion[];
  /** What of the state a reset must give; default all. For devices with a battery. */
  comparable?(state: DeviceState): unknown;
  /** Lets time pass between random accesses: ns. */
  advance?(ns: number): void;
}

const SIZES: readonly AccessSize[] = [1, 2, 4];
const FUZZ_STEPS = 3000;

/** A repeatable sequence of 32-bit numbers (xorshift32). */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state;
  };
}

/** Writes and reads at random for `steps`; throws what the device throws. */
export function fuzz(subject: ConformanceSubject, seed: number, steps = FUZZ_STEPS): void {
  const random = randomNumbers(seed);
  for (let i = 0; i < steps; i++) {
    const region = subject.regions[random() % subject.regions.length]!;
    const size = SIZES[random() % 3]!;
    const offset = random() % region.size;
    if (offset + size > region.size) continue;
    if (random() & 1) {
      const value = random() & 3 ? random() : (random() & 1) - 1;
      region.handler.write(offset, size, size === 4 ? value >>> 0 : value & (2 ** (8 * size) - 1));
    } else checkValue(region, offset, size);
    if (subject.advance && (random() & 7) === 0) subject.advance(random() % 1_000_000);
  }
}

function checkValue(region: ConformanceRegion, offset: number, size: AccessSize): void {
  const value = region.handler.read(offset, size);
  assert.ok(
    Number.isInteger(value) && value >= 0 && value < 2 ** (8 * size),
    `${region.name}: read of ${size} bytes at 0x${offset.toString(16)} gave ${value}`,
  );
}

/** Registers the suite's tests for one type of device; `make` gives a fresh one each time. */
export function conformance(name: string, make: () => ConformanceSubject): void {
  test(`${name}: reset after any use gives the state of the first reset`, () => {
    const subject = make();
    subject.device.reset();
    const comparable = (): unknown => subject.comparable?.(subject.device.save()) ?? subject.device.save();
    const first = comparable();
    fuzz(subject, 1);
    subject.device.reset();
    assert.deepEqual(comparable(), first);
  });

  test(`${name}: save, disturb, load is identical`, () => {
    const subject = make();
    subject.device.reset();
    fuzz(subject, 2, 300);
    const saved = subject.device.save();
    const kept = structuredClone(saved);
    fuzz(subject, 3, 300);
    assert.deepEqual(saved, kept, 'a saved state must not share memory with the device');
    subject.device.load(saved);
    assert.deepEqual(subject.device.save(), saved);
    const other = make();
    other.device.load(structuredClone(saved));
    assert.deepEqual(other.device.save(), saved, 'loading into a fresh device');
  });

  test(`${name}: a state of another version is refused`, () => {
    const subject = make();
    const saved = subject.device.save();
    assert.throws(() => subject.device.load({ ...saved, version: saved.version + 1 }), /version/);
  });

  test(`${name}: every width at every offset`, () => {
    const subject = make();
    subject.device.reset();
    for (const region of subject.regions) {
      const step = Math.max(1, Math.floor(region.size / 1024));
      for (let offset = 0; offset < region.size; offset += step) {
        for (const size of SIZES) {
          if (offset + size > region.size) continue;
          checkValue(region, offset, size);
          region.handler.write(offset, size, 0);
          region.handler.write(offset, size, size === 4 ? 0xffff_ffff : 2 ** (8 * size) - 1);
        }
      }
    }
  });

  test(`${name}: random accesses throw nothing`, () => {
    for (let seed = 10; seed < 14; seed++) {
      const subject = make();
      subject.device.reset();
      fuzz(subject, seed);
    }
  });
}
