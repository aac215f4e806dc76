/** A processor with flat RAM at physical 0 and nothing else: what tests of the processor run their code on. */
import { readFileSync } from 'node:fs';
import type { SliceEnd } from '../../src/accel/accelerator.js';
import { TcgAccelerator } from '../../src/accel/tcg/tcg.js';
import { X86_64 } from '../../src/guest/x86/index.js';
import { type Segment, type SegmentName, X86Registers } from '../../src/guest/x86/registers.js';
import { X86 } from '../../src/guest/x86/state.js';
import { makeIntel } from '../../src/guest/x86/vendor.js';
import { FlatFlag } from '../../src/ir/layout.js';
import type { FlatRange } from '../../src/memory/flat-view.js';
import type { MemoryRegion } from '../../src/memory/region.js';
import type { ProcessorVendor } from './host-vendor.js';

export type BareMode = 'real' | 'protected32' | 'long64';

export interface BareOptions {
  readonly mode: BareMode;
  readonly ramBytes?: number;
  readonly hotThreshold?: number;
  /** Privilege level of long64 and protected32. */
  readonly cpl?: 0 | 3;
  /** AMD without. */
  readonly vendor?: ProcessorVendor;
}

const runtime = new WebAssembly.Module(readFileSync(new URL('../../runtime/x86.wasm', import.meta.url)));

/** Physical addresses that `long64` uses for its identity map: the first 1 GiB, user pages. */
const PML4 = 0x1000;
const PDPT = 0x2000;

export class BareMachine {
  readonly ram: Uint8Array;
  readonly view: DataView;
  readonly accelerator: TcgAccelerator;
  readonly registers: X86Registers;
  readonly #ram: FlatRange;
  /** Every port write: [port, size, value]. */
  readonly portWrites: [number, number, number][] = [];
  /** Every access to a device's memory (of ranges that a test adds). */
  readonly deviceAccesses: ('read' | 'write')[] = [];
  /** Answers port reads; all ones by default. */
  onPortRead: (port: number, size: number) => number = (_port, size) =>
    size === 4 ? 0xffffffff : (1 << (8 * size)) - 1;
  /** The virtual clock, in ns. */
  now: () => number = () => Number(process.hrtime.bigint()) % 2 ** 50;

  constructor(options: BareOptions) {
    const bytes = options.ramBytes ?? 16 << 20;
    this.accelerator = new TcgAccelerator({
      guest: X86_64,
      runtime,
      vcpus: 1,
      hotThreshold: options.hotThreshold ?? Number.POSITIVE_INFINITY,
      startTicker: () => ({ arm() {}, disarm() {}, dispose() {} }),
      monotonic: () => Number(process.hrtime.bigint()),
    });
    this.accelerator.connect({
      portRead: (port, size) => this.onPortRead(port, size),
      portWrite: (port, size, value) => {
        this.portWrites.push([port, size, value]);
      },
      mmioRead: (_region, _offset, size) => {
        this.deviceAccesses.push('read');
        return size === 4 ? 0xffffffff : (1 << (8 * size)) - 1;
      },
      mmioWrite: () => {
        this.deviceAccesses.push('write');
      },
      virtualNow: () => this.now(),
      random: () => 4,
      picAcknowledge: () => 0xff,
      ioapicEoi: () => {},
      fpuError: () => {},
      wake: () => {},
    });
    const host = this.accelerator.allocateRam(bytes, 65536);
    this.ram = new Uint8Array(this.accelerator.memory.buffer, host, bytes);
    this.view = new DataView(this.accelerator.memory.buffer, host, bytes);
    const range: FlatRange = {
      start: 0,
      last: bytes - 1,
      flags: FlatFlag.ramRead | FlatFlag.ramWrite,
      host,
      region: 0,
      offset: 0,
      owner: undefined as unknown as MemoryRegion,
    };
    this.#ram = range;
    this.setDevice();
    const vcpu = this.accelerator.vcpus[0]!;
    // Every feature there is, unless a model is asked for.
    new Uint32Array(this.accelerator.memory.buffer, vcpu.state + X86.at['features']!, 16).fill(0xffffffff);
    if (options.vendor === 'GenuineIntel') makeIntel(new DataView(this.accelerator.memory.buffer), vcpu.state);
    vcpu.reset();
    this.registers = new X86Registers(this.accelerator.memory, vcpu.state, this.accelerator.runtime);
    this.registers.setField('physBits', 40);
    this.#enter(options.mode, options.cpl ?? 0);
  }

  /** Gives a device the physical addresses `device`. */
  setDevice(device?: { readonly start: number; readonly last: number }): void {
    const ranges: FlatRange[] = [this.#ram];
    if (device !== undefined) ranges.push({ ...this.#ram, ...device, flags: 0, host: 0 });
    for (const space of [0, 1] as const) this.accelerator.setFlatView(space, ranges);
  }

  /** Puts `code` at `address` and points rip there. */
  load(address: number, code: Uint8Array | readonly number[]): void {
    this.ram.set(code, address);
    this.accelerator.notifyWrite(this.ram.byteOffset + address, code.length);
    this.registers.set('rip', BigInt(address));
  }

  /** Runs until HLT with nothing to wake it, a triple fault, or a slice of `ms` is over. */
  run(ms = 1000): SliceEnd {
    return this.accelerator.runSlice(ms * 1e6);
  }

  #enter(mode: BareMode, cpl: number): void {
    const r = this.registers;
    if (mode === 'real') {
      const segment = (attributes: number): Segment => ({ selector: 0, base: 0n, limit: 0xffff, attributes });
      for (const name of ['cs', 'ds', 'es', 'ss', 'fs', 'gs'] as SegmentName[]) r.setSegment(name, segment(0x93));
      r.set('rsp', 0x8000n);
      return;
    }
    const long = mode === 'long64';
    const code: Segment = {
      selector: 8 | cpl,
      base: 0n,
      limit: 0xffffffff,
      attributes: (long ? 0xa09b : 0xc09b) | (cpl << 5),
    };
    const data: Segment = { selector: 16 | cpl, base: 0n, limit: 0xffffffff, attributes: 0xc093 | (cpl << 5) };
    if (long) {
      this.view.setBigUint64(PML4, BigInt(PDPT | 7), true);
      this.view.setBigUint64(PDPT, 0x87n, true);
      r.set('cr3', BigInt(PML4));
      r.set('cr4', 0x620n | 0x40000n); // PAE, OSFXSR, OSXMMEXCPT, OSXSAVE
      r.set('efer', 0x501n);
      r.set('xcr0', 7n);
    } else r.set('cr4', 0x600n);
    r.set('cr0', long ? 0x80000033n : 0x33n);
    r.setSegment('ss', data);
    r.setSegment('cs', code);
    for (const name of ['ds', 'es', 'fs', 'gs'] as SegmentName[]) r.setSegment(name, data);
    r.set('rsp', 0x8000n);
  }
}
