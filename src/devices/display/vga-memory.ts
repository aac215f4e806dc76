// hot path
/**
 * The window of VGA memory at a0000h. Video memory keeps the four planes of an address in one 32-bit word, plane 0 lowest:
 * what chain-4 and linear frame buffers address byte by byte is the same memory in order.
 * Source: IBM PS/2 Video Subsystem, "Graphics Controller": write modes 0 to 3, read modes 0 and 1.
 */
import type { WindowLayout } from '../../machine/window-reads.js';
import type { AccessSize, IoHandler } from '../../memory/io.js';
import { DISPI, dispiEnabled, GFX, GFX_MISC, GFX_MODE, MEMORY_MODE, SEQ, type VgaState } from './vga-registers.js';

/** Four bits to four bytes: bit n becomes 0xff in byte n. */
const SPREAD = Uint32Array.from(
  { length: 16 },
  (_, n) => ((n & 1 ? 0xff : 0) | (n & 2 ? 0xff00 : 0) | (n & 4 ? 0xff0000 : 0) | (n & 8 ? 0xff000000 : 0)) >>> 0,
);

const KIB = 1024;
/** GFX_MISC's memory map: start in the window, and length. */
const WINDOWS = [
  [0, 128 * KIB],
  [0, 64 * KIB],
  [64 * KIB, 32 * KIB],
  [96 * KIB, 32 * KIB],
] as const;
export const WINDOW_BYTES = 128 * KIB;
const BANK_BYTES = 64 * KIB;

export const memoryWindow = (s: VgaState): readonly [start: number, bytes: number] =>
  WINDOWS[(s.gfx[GFX.MISC]! & GFX_MISC.MAP) >> 2]!;

/** Whether bytes of the window are bytes of video memory: then it can be mapped. */
export const isLinear = (s: VgaState): boolean =>
  (s.seq[SEQ.MEMORY_MODE]! & MEMORY_MODE.CHAIN4) !== 0 && (s.seq[SEQ.MAP_MASK]! & 0xf) === 0xf;

/** Where in video memory the window starts, in bytes of linear memory. */
export const bankOffset = (s: VgaState): number => (dispiEnabled(s) ? s.dispi[DISPI.BANK]! * BANK_BYTES : 0);

/** How the window reads while that only takes a byte out of video memory, which begins at `host` of linear memory. */
export function plainLayout(s: VgaState, host: number, vramBytes: number): WindowLayout | undefined {
  const mode = s.gfx[GFX.MODE]!;
  const oddEven = (mode & GFX_MODE.ODD_EVEN) !== 0;
  if (s.seq[SEQ.MEMORY_MODE]! & MEMORY_MODE.CHAIN4 || (!oddEven && mode & GFX_MODE.READ_COMPARE)) return undefined;
  const [start, bytes] = memoryWindow(s);
  const plane = s.gfx[GFX.READ_MAP]! & (oddEven ? 2 : 3);
  return { start, bytes, host, mask: vramBytes - 1, bank: bankOffset(s), shift: oddEven ? 1 : 0, plane };
}

export class VgaMemory implements IoHandler {
  readonly #s: VgaState;
  readonly #bytes: Uint8Array;
  readonly #words: Uint32Array;
  readonly #byteMask: number;
  /** Told the first and last byte of video memory that was written. */
  readonly #written: (first: number, last: number) => void;
  /** Called before latches count: someone else may have read for the guest. */
  readonly #bringLatch: () => void;

  /** `vram`: a power of two long. */
  constructor(
    state: VgaState,
    vram: Uint8Array,
    written: (first: number, last: number) => void,
    bringLatch: () => void,
  ) {
    this.#s = state;
    this.#bytes = vram;
    this.#words = new Uint32Array(vram.buffer, vram.byteOffset, vram.length >> 2);
    this.#byteMask = vram.length - 1;
    this.#written = written;
    this.#bringLatch = bringLatch;
  }

  read(offset: number, size: AccessSize): number {
    this.#bringLatch();
    let value = 0;
    for (let i = 0; i < size; i++) value |= this.#readByte(offset + i) << (8 * i);
    return value >>> 0;
  }

  write(offset: number, size: AccessSize, value: number): void {
    this.#bringLatch();
    for (let i = 0; i < size; i++) this.#writeByte(offset + i, (value >>> (8 * i)) & 0xff);
  }

  #readByte(offset: number): number {
    const s = this.#s;
    const [start, bytes] = memoryWindow(s);
    const address = offset - start;
    if (address < 0 || address >= bytes) return 0xff;
    const linear = address + bankOffset(s);
    if (s.seq[SEQ.MEMORY_MODE]! & MEMORY_MODE.CHAIN4) return this.#bytes[linear & this.#byteMask]!;
    const mode = s.gfx[GFX.MODE]!;
    if (mode & GFX_MODE.ODD_EVEN) {
      const word = ((address >> 1) + (bankOffset(s) >> 2)) << 2;
      const plane = (s.gfx[GFX.READ_MAP]! & 2) | (address & 1);
      s.latch = this.#words[(word & this.#byteMask) >> 2]!;
      return this.#bytes[(word & this.#byteMask) | plane]!;
    }
    const word = ((address << 2) + bankOffset(s)) & this.#byteMask;
    s.latch = this.#words[word >> 2]!;
    if (!(mode & GFX_MODE.READ_COMPARE)) return this.#bytes[word | (s.gfx[GFX.READ_MAP]! & 3)]!;
    // A bit of the result is set where all planes that care have the colour to compare with.
    const differ = (s.latch ^ SPREAD[s.gfx[GFX.COLOR_COMPARE]! & 15]!) & SPREAD[s.gfx[GFX.COLOR_CARE]! & 15]!;
    const half = differ | (differ >>> 16);
    return ~(half | (half >>> 8)) & 0xff;
  }

  #writeByte(offset: number, value: number): void {
    const s = this.#s;
    const [start, bytes] = memoryWindow(s);
    const address = offset - start;
    if (address < 0 || address >= bytes) return;
    const mapMask = s.seq[SEQ.MAP_MASK]!;
    if (s.seq[SEQ.MEMORY_MODE]! & MEMORY_MODE.CHAIN4) {
      const linear = (address + bankOffset(s)) & this.#byteMask;
      if (!(mapMask & (1 << (linear & 3)))) return;
      this.#bytes[linear] = value;
      this.#written(linear, linear);
      return;
    }
    if (s.gfx[GFX.MODE]! & GFX_MODE.ODD_EVEN) {
      const word = (((address >> 1) << 2) + bankOffset(s)) & this.#byteMask;
      const planes = mapMask & (address & 1 ? 0b1010 : 0b0101);
      const mask = SPREAD[planes]!;
      this.#words[word >> 2] = (this.#words[word >> 2]! & ~mask) | (Math.imul(value, 0x01010101) & mask);
      this.#written(word, word + 3);
      return;
    }
    const word = ((address << 2) + bankOffset(s)) & this.#byteMask;
    const mask = SPREAD[mapMask & 15]!;
    this.#words[word >> 2] = (this.#words[word >> 2]! & ~mask) | (this.#combine(value) & mask);
    this.#written(word, word + 3);
  }

  /** What the graphics controller makes of a byte written in the current write mode. */
  #combine(value: number): number {
    const s = this.#s;
    const gfx = s.gfx;
    const mode = gfx[GFX.MODE]! & GFX_MODE.WRITE;
    if (mode === 1) return s.latch;
    const rotate = gfx[GFX.ROTATE]! & 7;
    const rotated = ((value >> rotate) | (value << (8 - rotate))) & 0xff;
    const setReset = SPREAD[gfx[GFX.SET_RESET]! & 15]!;
    let bits = gfx[GFX.BIT_MASK]!;
    let data: number;
    if (mode === 0) {
      const enabled = SPREAD[gfx[GFX.ENABLE_SET_RESET]! & 15]!;
      data = (Math.imul(rotated, 0x01010101) & ~enabled) | (setReset & enabled);
    } else if (mode === 2) data = SPREAD[value & 15]!;
    else {
      data = setReset;
      bits &= rotated;
    }
    switch (gfx[GFX.ROTATE]! >> 3) {
      case 1:
        data &= s.latch;
        break;
      case 2:
        data |= s.latch;
        break;
      case 3:
        data ^= s.latch;
        break;
    }
    const mask = Math.imul(bits, 0x01010101);
    return (data & mask) | (s.latch & ~mask);
  }
}
