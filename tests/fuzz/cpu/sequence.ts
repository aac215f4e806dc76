/** A sequence of instructions with the state it starts in; what it leaves; batches of sequences laid out in memory. */
import { Operands } from '../../silicon/operands.js';
import { codePrologue } from './harness.js';
import {
  bytesOf,
  CODE,
  CODE_START,
  DATA_BYTES,
  IMAGE_BYTES,
  IN,
  LEAVE32,
  MCONTEXT,
  OUT,
  SELECTOR,
  WINDOW,
  WINDOW_BYTES,
} from './layout.js';

export interface Instruction {
  readonly text: string;
  readonly bytes: readonly number[];
  readonly group: string;
  /** Flags that are undefined after it. */
  readonly undefinedAfter: number;
}

export interface Sequence {
  readonly mode: 32 | 64;
  readonly instructions: readonly Instruction[];
  /** Input record; the entry is filled in when the sequence is laid out. */
  readonly input: Uint8Array;
  /** Seed of the memory image. */
  readonly image: number;
  /** Flags that are undefined at the end, and those that are somewhere on the way; has it transcendental x87 instructions? */
  readonly undefinedFlags: number;
  readonly everUndefined: number;
  readonly transcendental: boolean;
}

/** What a run left: the same from the processor and from Tinamou. */
export interface Outcome {
  /** Vector of the exception that ended it, or -1. */
  readonly vector: number;
  readonly error: number;
  /** Of a page fault. */
  readonly address: bigint;
  /** Of the exception, counted from the sequence's start. */
  readonly rip: bigint;
  readonly flags: number;
  readonly gpr: readonly bigint[];
  readonly xsave: Uint8Array;
  readonly memory: Uint8Array;
}

/** The memory that all sequences of a batch begin with: numbers of all kinds. */
export function memoryImage(seed: number): Uint8Array {
  const random = new Operands(seed);
  const bytes = new Uint8Array(IMAGE_BYTES);
  fillNumbers(bytes, random);
  return bytes;
}

/** Fills with integers and floating-point numbers, many at corners. */
export function fillNumbers(target: Uint8Array, random: Operands): void {
  const view = new DataView(target.buffer, target.byteOffset, target.length);
  for (let at = 0; at + 8 <= target.length; at += 8)
    switch (random.below(8)) {
      case 0:
      case 1:
        view.setBigUint64(at, random.float(52, 11), true);
        break;
      case 2:
      case 3:
        view.setUint32(at, Number(random.float(23, 8)), true);
        view.setUint32(at + 4, Number(random.float(23, 8)), true);
        break;
      case 4:
        view.setBigInt64(at, BigInt.asIntN(64, random.u64()) >> BigInt(random.below(64)), true);
        break;
      case 5:
        for (let n = 0; n < 8; n++) view.setUint8(at + n, [0, 0xff, 0x7f, 0x80, 1][random.below(5)] as number);
        break;
      default:
        view.setBigUint64(at, random.u64(), true);
    }
}

export class Batch {
  readonly code: Uint8Array;
  readonly image: Uint8Array;
  readonly entries: readonly number[];

  /** Sequences share the memory image of the first. */
  constructor(readonly sequences: readonly Sequence[]) {
    const code: number[] = [];
    // Not aligned, so that some cross pages.
    this.entries = sequences.map((s, n) => {
      const entry = CODE_START + code.length;
      for (const i of s.instructions) code.push(...i.bytes);
      if (s.mode === 64) code.push(0xff, 0x24, 0x25, ...bytesOf(CODE));
      else code.push(0xea, ...bytesOf(LEAVE32), SELECTOR.code64, 0);
      for (let gap = (n * 7) % 16; gap > 0; gap--) code.push(0xf4);
      const view = new DataView(s.input.buffer, s.input.byteOffset);
      view.setUint32(IN.entry, entry, true);
      view.setUint32(IN.selector, s.mode === 64 ? SELECTOR.code64 : SELECTOR.code32, true);
      return entry;
    });
    this.code = new Uint8Array(Math.ceil((CODE_START - CODE + code.length) / 4096) * 4096).fill(0xf4);
    this.code.set(code, CODE_START - CODE);
    this.image = memoryImage((sequences[0] as Sequence).image);
  }

  /** The writable memory that a sequence of this batch begins with. */
  startMemory(s: Sequence): Uint8Array {
    const memory = this.image.slice(0, DATA_BYTES);
    memory.set(s.input.subarray(IN.window, IN.window + WINDOW_BYTES), WINDOW);
    return memory;
  }

  /** The code with its prologue. */
  codeFor(leave: number): Uint8Array {
    const code = this.code.slice();
    code.set(codePrologue(leave));
    return code;
  }
}

/** Reads an output record of the native program. */
export function outcomeOf(record: Uint8Array, entry: number): Outcome {
  const view = new DataView(record.buffer, record.byteOffset, record.length);
  const u64 = (at: number): bigint => view.getBigUint64(at, true);
  const faulted = view.getUint32(OUT.faulted, true) !== 0;
  const vector = faulted ? view.getUint32(MCONTEXT.trapno, true) : -1;
  return {
    vector,
    error: faulted ? view.getUint32(MCONTEXT.err, true) : 0,
    address: vector === 14 ? u64(MCONTEXT.cr2) : 0n,
    rip: faulted ? u64(MCONTEXT.rip) - BigInt(entry) : 0n,
    flags: view.getUint32(faulted ? MCONTEXT.flags : OUT.flags, true),
    gpr: MCONTEXT.gpr.map((at, n) => u64(faulted ? at : OUT.gpr + n * 8)),
    xsave: record.subarray(OUT.xsave, OUT.memory),
    memory: record.subarray(OUT.memory, OUT.memory + DATA_BYTES),
  };
}
