/** What a loader hands to an accelerator: the state in which the boot processor executes the guest's first instruction. */

/** A segment register with its hidden part. `limit` is in bytes; `attributes` are descriptor bits 40..55 (type, S, DPL, P, AVL, L, D/B, G). */
export interface SegmentState {
  readonly selector: number;
  readonly base: number;
  readonly limit: number;
  readonly attributes: number;
}

export type GeneralRegister =
  | 'rax'
  | 'rbx'
  | 'rcx'
  | 'rdx'
  | 'rsi'
  | 'rdi'
  | 'rbp'
  | 'rsp'
  | 'r8'
  | 'r9'
  | 'r10'
  | 'r11'
  | 'r12'
  | 'r13'
  | 'r14'
  | 'r15';

/** Registers not named here keep their reset values; general registers not named are 0, RFLAGS is 2 (interrupts off). */
export interface BootState {
  /** `real`: only `pc`, `registers` and `segments` matter; the control registers stay as after reset. */
  readonly mode: 'real' | 'protected32' | 'long64';
  /** Offset of the first instruction in CS. */
  readonly pc: number;
  readonly registers: Readonly<Partial<Record<GeneralRegister, number>>>;
  readonly segments: Readonly<Record<'cs' | 'ds' | 'es' | 'ss' | 'fs' | 'gs' | 'tr' | 'ldtr', SegmentState>>;
  readonly gdt: { readonly base: number; readonly limit: number };
  readonly idt: { readonly base: number; readonly limit: number };
  readonly cr0: number;
  /** Physical address of the page table root; 0 without paging. */
  readonly cr3: number;
  readonly cr4: number;
  readonly efer: number;
  /** Local APIC registers of the boot processor, as firmware leaves them: byte offset in its page, value. */
  readonly localApic: readonly (readonly [offset: number, value: number])[];
  /** Model-specific registers of every processor, as firmware leaves them; a processor without one ignores it. */
  readonly msrs: readonly (readonly [index: number, value: bigint])[];
}

/** Control register bits that boot protocols ask for (Intel SDM vol. 3, 2.5; AMD64 APM vol. 2, 3.1). */
export const Cr0 = { PE: 1, ET: 0x10, NE: 0x20, PG: 0x80000000 } as const;
export const Cr4 = { PAE: 0x20 } as const;
export const Efer = { LME: 0x100, LMA: 0x400 } as const;

/** Access bytes and flags of the flat segments (SDM vol. 3, 3.4.5). Accessed bits are set, as loading a segment does. */
const FLAT = { code32: 0xc09b, code64: 0xa09b, data: 0xc093, tss: 0x008b, ldt: 0x0082 } as const;

/** A GDT descriptor as its two 32-bit words, low word first. */
function descriptor(base: number, limit: number, attributes: number): [number, number] {
  const pages = attributes & 0x8000 ? limit >>> 12 : limit;
  return [
    ((pages & 0xffff) | (base << 16)) >>> 0,
    (((base >>> 16) & 0xff) |
      ((attributes & 0xff) << 8) |
      (pages & 0xf0000) |
      ((attributes & 0xf000) << 8) |
      (base & 0xff000000)) >>>
      0,
  ];
}

/** Linux asks for __BOOT_CS 0x10 and __BOOT_DS 0x18; multiboot and PVH leave the selectors open, so all use these. */
const CODE_SELECTOR = 0x10;
const DATA_SELECTOR = 0x18;
const TSS_SELECTOR = 0x20;

/** Flat segments and the GDT that describes them, for an entry in 32- or 64-bit mode. */
export function flatSegments(bits: 32 | 64): { gdt: Uint8Array; segments: BootState['segments'] } {
  const code = bits === 64 ? FLAT.code64 : FLAT.code32;
  const segment = (selector: number, limit: number, attributes: number): SegmentState => ({
    selector,
    base: 0,
    limit,
    attributes,
  });
  const cs = segment(CODE_SELECTOR, 0xffffffff, code);
  const data = segment(DATA_SELECTOR, 0xffffffff, FLAT.data);
  const tr = segment(TSS_SELECTOR, 0x67, FLAT.tss);
  const gdt = new Uint8Array(48); // null, unused, code, data, TSS (16 bytes in long mode)
  const view = new DataView(gdt.buffer);
  for (const s of [cs, data, tr]) {
    const [low, high] = descriptor(s.base, s.limit, s.attributes);
    view.setUint32(s.selector, low, true);
    view.setUint32(s.selector + 4, high, true);
  }
  return {
    gdt,
    segments: { cs, ds: data, es: data, ss: data, fs: data, gs: data, tr, ldtr: segment(0, 0, FLAT.ldt) },
  };
}
