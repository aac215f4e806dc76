/** Floating point and vector state between an XSAVE area in the standard format and a vCPU's record. */
import type { X86Registers } from '../../guest/x86/registers.js';
import { XsaveArea, XsaveBit } from '../../guest/x86/xsave-layout.js';
import type { CpuidEntry } from './abi.js';

const XSAVE_LEAF = 0xd;
const XSTATE_BV = XsaveArea.header;
const TOP = 0x3800;

/** Where each component of XSAVE begins in an area, by its bit in XCR0: processors differ. */
export type XsaveOffsets = ReadonlyMap<number, number>;

/** What our own processors have. */
export const OWN_OFFSETS: XsaveOffsets = new Map([
  [Math.log2(XsaveBit.avx), XsaveArea.avx],
  [Math.log2(XsaveBit.pkru), XsaveArea.pkru],
]);

/** What KVM says of this host's. */
export function hostOffsets(supported: readonly CpuidEntry[]): XsaveOffsets {
  const own = supported.filter((s) => s.function === XSAVE_LEAF && s.index >= 2 && s.index < 32 && s.eax > 0);
  return new Map(own.map(({ index, ebx }) => [index, ebx]));
}

/** Components behind the legacy region: `count` pieces of `bytes`, from `first` in the record's field on, every `stride`. */
const COMPONENTS = [
  { bit: 2, field: 'zmm', first: 16, count: 16, bytes: 16, stride: 64 }, // YMM0..15, upper halves
  { bit: 5, field: 'opmask', first: 0, count: 8, bytes: 8, stride: 8 },
  { bit: 6, field: 'zmm', first: 32, count: 16, bytes: 32, stride: 64 }, // ZMM0..15, upper halves
  { bit: 7, field: 'zmmHigh', first: 0, count: 16, bytes: 64, stride: 64 }, // ZMM16..31
  { bit: 9, field: 'pkru', first: 0, count: 1, bytes: 8, stride: 8 },
] as const;

export class XsaveTransfer {
  readonly #view: DataView;

  constructor(
    memory: WebAssembly.Memory,
    private readonly registers: X86Registers,
    private readonly offsets: XsaveOffsets,
  ) {
    this.#view = new DataView(memory.buffer);
  }

  /** Record to area; components that the guest has not enabled, or the record has not, stay. */
  fill(area: Uint8Array): void {
    const view = new DataView(area.buffer, area.byteOffset);
    const { registers } = this;
    const top = registers.field('fpTop');
    view.setUint16(0, registers.field('fcw'), true);
    view.setUint16(2, (registers.field('fsw') & ~TOP) | (top << 11), true);
    view.setUint8(4, ~registers.field('fpTags') & 0xff);
    view.setUint16(6, registers.field('fop'), true);
    view.setBigUint64(8, registers.get('fip'), true);
    view.setBigUint64(16, registers.get('fdp'), true);
    view.setUint32(24, registers.field('mxcsr'), true);
    for (let i = 0; i < 8; i++) area.set(this.#bytes('fpr', 16 * ((top + i) & 7), 10), 32 + 16 * i);
    for (let i = 0; i < 16; i++) area.set(this.#bytes('zmm', 64 * i, 16), 160 + 16 * i);
    let present = Number(view.getBigUint64(XSTATE_BV, true)) | XsaveBit.x87 | XsaveBit.sse;
    const enabled = Number(registers.get('xcr0'));
    this.#each((at, { field, first, count, bytes, stride, bit }) => {
      if (!(enabled & (1 << bit))) {
        present &= ~(1 << bit);
        return;
      }
      present |= 1 << bit;
      for (let i = 0; i < count; i++) area.set(this.#bytes(field, first + stride * i, bytes), at + bytes * i);
    });
    view.setBigUint64(XSTATE_BV, BigInt(present), true);
  }

  /** Area to record. */
  take(area: Uint8Array): void {
    const view = new DataView(area.buffer, area.byteOffset);
    const { registers } = this;
    const status = view.getUint16(2, true);
    const top = (status >> 11) & 7;
    registers.setField('fpTop', top);
    registers.setField('fcw', view.getUint16(0, true));
    registers.setField('fsw', status & ~TOP);
    registers.setField('fpTags', ~view.getUint8(4) & 0xff);
    registers.setField('fop', view.getUint16(6, true));
    registers.set('fip', view.getBigUint64(8, true));
    registers.set('fdp', view.getBigUint64(16, true));
    registers.setField('mxcsr', view.getUint32(24, true));
    for (let i = 0; i < 8; i++) {
      this.#bytes('fpr', 16 * ((top + i) & 7), 10).set(area.subarray(32 + 16 * i, 42 + 16 * i));
    }
    for (let i = 0; i < 16; i++) this.#bytes('zmm', 64 * i, 16).set(area.subarray(160 + 16 * i, 176 + 16 * i));
    const present = Number(view.getBigUint64(XSTATE_BV, true));
    this.#each((at, { field, first, count, bytes, stride, bit }) => {
      for (let i = 0; i < count; i++) {
        const to = this.#bytes(field, first + stride * i, bytes);
        if (present & (1 << bit)) to.set(area.subarray(at + bytes * i, at + bytes * (i + 1)));
        else to.fill(0);
      }
    });
  }

  #each(act: (at: number, component: (typeof COMPONENTS)[number]) => void): void {
    for (const component of COMPONENTS) {
      const at = this.offsets.get(component.bit);
      if (at !== undefined) act(at, component);
    }
  }

  #bytes(field: string, offset: number, count: number): Uint8Array {
    return new Uint8Array(this.#view.buffer, this.registers.address(field) + offset, count);
  }
}
