/** The processor's maker, where what an instruction gives is its choice: told by CPUID leaf 0, as guests read it. */
import { X86 } from './state.js';

/** First four letters of the name, as leaf 0 has them in EBX. All who are not Intel are taken for AMD. */
export const Vendor = { intel: 0x756e6547 } as const;

/** Leaf 0 is the first of the state's leaves (cpuid-leaves.ts). */
const VENDOR_AT = (X86.at['cpuid'] as number) + 4;

export const isIntel = (memory: DataView, state: number): boolean =>
  memory.getUint32(state + VENDOR_AT, true) === Vendor.intel;

/** For a processor without a model, which has no leaves. */
export function makeIntel(memory: DataView, state: number): void {
  memory.setUint32(state + VENDOR_AT, Vendor.intel, true);
}
