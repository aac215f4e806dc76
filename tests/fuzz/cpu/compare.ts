/** Compares what the processor and Tinamou made of a sequence, but for what is undefined. */
import { XSAVE } from './layout.js';
import type { Outcome, Sequence } from './sequence.js';
import { beyond4GiB, FLAG, MXCSR_MISALIGNED, ROUNDING_STATUS, UNDERFLOW_STATUS, VAGUE_FAULTS } from './undefined.js';

const STATUS = Object.values(FLAG).reduce((a, b) => a | b, 0);
const STACK_FAULT = 12;
const GENERAL_PROTECTION = 13;
const PAGE_FAULT = 14;
/** Bit 0 of a page fault's error code, which Linux sets for all addresses that are not a program's. */
const PRESENT = 1;
const TASK_SIZE = 0x7ffffffff000n;

const hex = (bytes: Uint8Array): string =>
  [...bytes]
    .reverse()
    .map((b) => b.toString(16).padStart(2, '0'))
    .join('');
const view = (b: Uint8Array): DataView => new DataView(b.buffer, b.byteOffset, b.length);

/** Distance of two extended numbers in units of the last place. */
function ulps(a: Uint8Array, b: Uint8Array): bigint {
  const key = (x: Uint8Array): bigint => {
    const exponent = view(x).getUint16(8, true);
    const magnitude = (BigInt(exponent & 0x7fff) << 63n) + (view(x).getBigUint64(0, true) & 0x7fffffffffffffffn);
    return exponent & 0x8000 ? -magnitude : magnitude;
  };
  const d = key(a) - key(b);
  return d < 0n ? -d : d;
}

/** The instruction that raised the exception, as its row writes it. */
function raiser(s: Sequence, rip: bigint): string {
  let at = 0n;
  for (const i of s.instructions) {
    if (at === rip) return i.text;
    at += BigInt(i.bytes.length);
  }
  return '';
}

/** Is the exception of the processor, or for LDMXCSR of Tinamou, one that says nothing? */
function vague(s: Sequence, host: Outcome, ours: Outcome): boolean {
  const text = raiser(s, host.rip);
  if (VAGUE_FAULTS.some(([pattern, vectors]) => vectors.includes(host.vector) && pattern.test(text))) return true;
  if (s.mode === 32 && [STACK_FAULT, GENERAL_PROTECTION].includes(ours.vector) && beyond4GiB(host.vector, host.address))
    return true;
  return ours.vector === GENERAL_PROTECTION && /LDMXCSR/.test(raiser(s, ours.rip)) && host.rip !== ours.rip;
}

/** What differs, as text; '' when nothing does. */
export function difference(s: Sequence, host: Outcome, ours: Outcome): string {
  if (vague(s, host, ours)) return '';
  if ((view(host.xsave).getUint32(XSAVE.mxcsr, true) & MXCSR_MISALIGNED) !== 0) return '';
  const out: string[] = [];
  const compare = (name: string, a: bigint | number, b: bigint | number): void => {
    if (a !== b) out.push(`${name} ${a.toString(16)}, ours ${b.toString(16)}`);
  };
  compare('vector', host.vector, ours.vector);
  if (host.vector === ours.vector) {
    const ignored = host.vector === PAGE_FAULT && host.address >= TASK_SIZE ? PRESENT : 0;
    compare('error code', host.error & ~ignored, ours.error & ~ignored);
    compare('fault address', host.address, ours.address);
  }
  compare('rip', BigInt.asUintN(64, host.rip), BigInt.asUintN(64, ours.rip));
  const mask = STATUS & ~(host.vector < 0 ? s.undefinedFlags : s.everUndefined);
  compare('flags', host.flags & mask, ours.flags & mask);
  const bits = s.mode;
  for (let n = 0; n < (bits === 64 ? 16 : 8); n++)
    compare(`r${n}`, BigInt.asUintN(bits, host.gpr[n] as bigint), BigInt.asUintN(bits, ours.gpr[n] as bigint));
  const a = host.xsave;
  const b = ours.xsave;
  const registers = (x: Uint8Array): Uint8Array => x.subarray(XSAVE.st, XSAVE.st + 8 * 16);
  const equal = Buffer.compare(registers(a), registers(b)) === 0;
  const rounding = !s.transcendental ? 0 : equal ? ROUNDING_STATUS : ROUNDING_STATUS | UNDERFLOW_STATUS;
  const [va, vb] = [view(a), view(b)];
  compare('fcw', va.getUint16(XSAVE.fcw, true), vb.getUint16(XSAVE.fcw, true));
  compare('fsw', va.getUint16(XSAVE.fsw, true) & ~rounding, vb.getUint16(XSAVE.fsw, true) & ~rounding);
  compare('ftw', a[XSAVE.ftw] as number, b[XSAVE.ftw] as number);
  compare('mxcsr', va.getUint32(XSAVE.mxcsr, true), vb.getUint32(XSAVE.mxcsr, true));
  const bytes = (name: string, at: number, count: number): void => {
    const [x, y] = [a.subarray(at, at + count), b.subarray(at, at + count)];
    if (Buffer.compare(x, y) === 0) return;
    if (s.transcendental && count === 10 && ulps(x, y) <= 1n) return;
    out.push(`${name} ${hex(x)}, ours ${hex(y)}`);
  };
  for (let n = 0; n < 8; n++) bytes(`st${n}`, XSAVE.st + 16 * n, 10);
  for (let n = 0; n < (bits === 64 ? 16 : 8); n++) {
    bytes(`xmm${n}`, XSAVE.xmm + 16 * n, 16);
    bytes(`ymm${n} high`, XSAVE.ymm + 16 * n, 16);
  }
  if (Buffer.compare(host.memory, ours.memory) !== 0) {
    const at = host.memory.findIndex((v, n) => v !== ours.memory[n]);
    out.push(
      `memory at ${at.toString(16)}: ${hex(host.memory.subarray(at, at + 16))}, ours ${hex(ours.memory.subarray(at, at + 16))}`,
    );
  }
  return out.join('; ');
}
