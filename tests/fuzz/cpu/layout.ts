/** Where everything lies when a sequence runs, natively and in Tinamou, and the records that go in and come out. */

/** Code of the sequences, not at a round number, as registers often hold those, and not with
 * the data's place in the TLB. Its first bytes: the address to leave through, and the way out of 32-bit code. */
export const CODE = 0x23480000;
/** Absolute address in four bytes. */
export const bytesOf = (address: number): number[] => [0, 8, 16, 24].map((n) => (address >>> n) & 0xff);
export const CODE_START = CODE + 0x40;
/** Way out of 32-bit code: a far jump to here, in 64-bit code. */
export const LEAVE32 = CODE + 0x10;
/** Two pages to read and write, then one only to read, then nothing. */
export const DATA = 0x40000000;
export const DATA_BYTES = 0x2000;
export const IMAGE_BYTES = 0x3000;
/** The bytes around the border of the two pages that each sequence has of its own; the rest all of a batch share. */
export const WINDOW = 0xf80;
export const WINDOW_BYTES = 256;
/** Linux's selectors for programs. */
export const SELECTOR = { code32: 0x23, data: 0x2b, code64: 0x33 } as const;

/** Input record: general registers in encoding order, flags, entry as offset and selector, window, XSAVE image. */
export const IN = { gpr: 0, flags: 128, entry: 136, selector: 140, window: 192, xsave: 448, bytes: 1280 } as const;
/**
 * Output record. `faulted` 0: registers and flags as in the input; 1: the kernel's signal context (MCONTEXT) stands there.
 * Then the XSAVE image and the writable memory.
 */
export const OUT = { gpr: 0, flags: 128, faulted: 184, xsave: 192, memory: 1024, bytes: 1024 + DATA_BYTES } as const;
/** struct sigcontext of Linux on x86-64: registers by their number in the encoding, then the rest. */
export const MCONTEXT = {
  gpr: [13, 14, 12, 11, 15, 10, 9, 8, 0, 1, 2, 3, 4, 5, 6, 7].map((n) => n * 8),
  rip: 128,
  flags: 136,
  err: 152,
  trapno: 160,
  cr2: 176,
  bytes: 184,
} as const;
/** The standard form of XSAVE's image: x87, SSE, AVX. */
export const XSAVE = { fcw: 0, fsw: 2, ftw: 4, mxcsr: 24, st: 32, xmm: 160, bv: 512, ymm: 576, bytes: 832 } as const;
