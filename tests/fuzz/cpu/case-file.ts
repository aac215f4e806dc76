/** Regression cases: a sequence with its state, and what silicon made of it. */
import { hostVendor, type ProcessorVendor } from '../../support/host-vendor.js';
import { Batch, type Outcome, type Sequence } from './sequence.js';

export interface CaseFile {
  /** What was wrong. */
  readonly about: string;
  /** Whose processor made the expected outcome; AMD's where the case does not say. */
  readonly vendor?: ProcessorVendor;
  readonly mode: 32 | 64;
  readonly instructions: readonly { readonly text: string; readonly hex: string }[];
  readonly undefinedFlags: number;
  readonly transcendental: boolean;
  readonly image: number;
  /** Input record, base64. */
  readonly input: string;
  readonly expected: {
    readonly vector: number;
    readonly error: number;
    readonly address: string;
    readonly rip: string;
    readonly flags: number;
    readonly gpr: readonly string[];
    readonly xsave: string;
    /** Bytes of memory that changed: offset to hexadecimal. */
    readonly memory: Readonly<Record<string, string>>;
  };
}

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');

function startMemory(s: Sequence): Uint8Array {
  return new Batch([s]).startMemory(s);
}

export function toCase(about: string, s: Sequence, host: Outcome): CaseFile {
  const before = startMemory(s);
  const memory: Record<string, string> = {};
  for (let at = 0; at < before.length; at += 16) {
    const after = host.memory.subarray(at, at + 16);
    if (Buffer.compare(before.subarray(at, at + 16), after) !== 0) memory[at] = Buffer.from(after).toString('hex');
  }
  return {
    about,
    vendor: hostVendor(),
    mode: s.mode,
    instructions: s.instructions.map((i) => ({ text: i.text, hex: Buffer.from(i.bytes).toString('hex') })),
    undefinedFlags: host.vector < 0 ? s.undefinedFlags : s.everUndefined,
    transcendental: s.transcendental,
    image: s.image,
    input: base64(s.input),
    expected: {
      vector: host.vector,
      error: host.error,
      address: host.address.toString(16),
      rip: BigInt.asUintN(64, host.rip).toString(16),
      flags: host.flags,
      gpr: host.gpr.map((r) => r.toString(16)),
      xsave: base64(host.xsave),
      memory,
    },
  };
}

export function fromCase(c: CaseFile): { sequence: Sequence; expected: Outcome } {
  const sequence: Sequence = {
    mode: c.mode,
    instructions: c.instructions.map((i) => ({
      text: i.text,
      bytes: [...Buffer.from(i.hex, 'hex')],
      group: '',
      undefinedAfter: c.undefinedFlags,
    })),
    input: new Uint8Array(Buffer.from(c.input, 'base64')),
    image: c.image,
    undefinedFlags: c.undefinedFlags,
    everUndefined: c.undefinedFlags,
    transcendental: c.transcendental,
  };
  const memory = startMemory(sequence);
  for (const [at, bytes] of Object.entries(c.expected.memory)) memory.set(Buffer.from(bytes, 'hex'), Number(at));
  const e = c.expected;
  const big = (text: string): bigint => BigInt(`0x${text}`);
  return {
    sequence,
    expected: {
      vector: e.vector,
      error: e.error,
      address: big(e.address),
      rip: big(e.rip),
      flags: e.flags,
      gpr: e.gpr.map(big),
      xsave: new Uint8Array(Buffer.from(e.xsave, 'base64')),
      memory,
    },
  };
}
