import assert from 'node:assert/strict';
import { test } from 'node:test';
import { COALESCED_RING, COALESCED_WRITE } from './abi.js';
import type { HostCalls } from './host-calls.js';
import { KvmVcpu } from './vcpu.js';

const PAGE = 4096;
const RING_PAGE = 2;
const WRITES = 170;

/** The kernel's side of the ring, with its mistake: a full ring has room when `first` is 0. */
class Ring {
  readonly #view: DataView;
  readonly vcpu: KvmVcpu;
  #count = 0;

  constructor() {
    const buffer = new ArrayBuffer((RING_PAGE + 1) * PAGE);
    this.#view = new DataView(buffer, RING_PAGE * PAGE);
    const calls = { map: () => ({ buffer, address: 0n }) } as unknown as HostCalls;
    this.vcpu = new KvmVcpu(calls, 3, buffer.byteLength, 0, RING_PAGE);
  }

  /** Gathers the next number; false: the write is an exit. */
  write(port = 0xcf8): boolean {
    const first = this.#view.getUint32(COALESCED_RING.at.first, true);
    const last = this.#view.getUint32(COALESCED_RING.at.last, true);
    if (((first - last - 1) >>> 0) % WRITES === 0) return false;
    const at = COALESCED_RING.size + last * COALESCED_WRITE.size;
    this.#view.setUint32(at + COALESCED_WRITE.at.address, port, true);
    this.#view.setUint32(at + COALESCED_WRITE.at.len, 4, true);
    this.#view.setUint32(at + COALESCED_WRITE.at.pio, 1, true);
    this.#view.setUint32(at + COALESCED_WRITE.at.data, this.#count++, true);
    this.#view.setUint32(COALESCED_RING.at.last, (last + 1) % WRITES, true);
    return true;
  }

  take(meanwhile: () => void = () => {}, register?: number): number[] {
    const taken: number[] = [];
    this.vcpu.takeCoalesced((_space, _address, data) => {
      taken.push(new DataView(data.buffer).getUint32(0, true));
      meanwhile();
    }, register);
    return taken;
  }
}

const numbers = (from: number, count: number): number[] => Array.from({ length: count }, (_, i) => from + i);

test('a processor that writes while its writes are taken loses none, wherever in the ring that is', () => {
  for (let place = 0; place < WRITES; place++) {
    const ring = new Ring();
    for (let i = 0; i < place; i++) {
      assert.ok(ring.write());
      assert.deepEqual(ring.take(), [i]);
    }
    let written = 0;
    while (written < 100 && ring.write()) written++;
    // Whoever takes them is held up after the first.
    let late = false;
    const taken = ring.take(() => {
      if (late) return;
      late = true;
      for (let more = 0; more < 2 * WRITES && ring.write(); more++) written++;
    });
    assert.deepEqual(taken, numbers(place, written), `from ${place} on`);
    assert.equal(ring.vcpu.hasCoalesced, false);
  }
});

test('a write that was taken is not among those that nobody has taken', () => {
  const ring = new Ring();
  for (let i = 0; i < WRITES; i++) {
    assert.ok(ring.write());
    assert.equal(ring.vcpu.lastCoalesced(0xcf8), i);
    ring.take();
    assert.equal(ring.vcpu.lastCoalesced(0xcf8), undefined, `${i}`);
  }
});

test('of writes in a row to a register that only keeps them the last is taken, wherever in the ring that is', () => {
  for (let place = 0; place < WRITES; place++) {
    const ring = new Ring();
    for (let i = 0; i < place; i++) {
      ring.write();
      ring.take();
    }
    for (const port of [0xcf8, 0xcf8, 0xcf8, 0x70, 0x70, 0xcf8, 0xcf8]) assert.ok(ring.write(port));
    assert.deepEqual(
      ring.take(() => {}, 0xcf8),
      [2, 3, 4, 6].map((i) => place + i),
      `from ${place} on`,
    );
    assert.equal(ring.vcpu.hasCoalesced, false);
    assert.ok(ring.write());
    assert.deepEqual(ring.take(), [place + 7]);
  }
});
