/** Runs single instructions on the host's own processor, through native.c compiled by the host's gcc. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const SOURCE = new URL('../../../tests/silicon/native.c', import.meta.url).pathname;
export const RECORD = 128 + 832 + 1024;
const AT = { length: 0, signal: 4, code: 8, rax: 32, flags: 40, memory: 48, xsave: 128 } as const;
/** Offsets in an XSAVE image of the standard format. */
const XSAVE = {
  fcw: 0,
  fsw: 2,
  ftw: 4,
  fop: 6,
  fip: 8,
  fdp: 16,
  mxcsr: 24,
  st: 32,
  xmm: 160,
  bv: 512,
  ymm: 576,
} as const;

/** One instruction and the state it runs in; afterwards the state it left. */
export class Sample {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  constructor(bytes: Uint8Array = new Uint8Array(RECORD)) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, RECORD);
  }
  static of(code: readonly number[]): Sample {
    const s = new Sample();
    s.code = code;
    s.view.setUint16(AT.xsave + XSAVE.fcw, 0x37f, true);
    s.mxcsr = 0x1f80;
    s.view.setUint32(AT.xsave + XSAVE.bv, 7, true);
    return s;
  }
  clone(): Sample {
    return new Sample(this.bytes.slice());
  }
  get signal(): number {
    return this.view.getUint32(AT.signal, true);
  }
  get rax(): bigint {
    return this.view.getBigUint64(AT.rax, true);
  }
  set rax(value: bigint) {
    this.view.setBigUint64(AT.rax, value, true);
  }
  /** CF, PF and ZF. */
  get flags(): number {
    return this.view.getUint32(AT.flags, true) & 0x45;
  }
  get eflags(): number {
    return this.view.getUint32(AT.flags, true);
  }
  set eflags(value: number) {
    this.view.setUint32(AT.flags, value, true);
  }
  get code(): number[] {
    return [...this.bytes.subarray(AT.code, AT.code + this.view.getUint32(AT.length, true))];
  }
  set code(bytes: readonly number[]) {
    this.view.setUint32(AT.length, bytes.length, true);
    this.bytes.set(bytes, AT.code);
  }
  get mxcsr(): number {
    return this.view.getUint32(AT.xsave + XSAVE.mxcsr, true);
  }
  set mxcsr(value: number) {
    this.view.setUint32(AT.xsave + XSAVE.mxcsr, value, true);
  }
  get fcw(): number {
    return this.view.getUint16(AT.xsave + XSAVE.fcw, true);
  }
  set fcw(value: number) {
    this.view.setUint16(AT.xsave + XSAVE.fcw, value, true);
  }
  get fsw(): number {
    return this.view.getUint16(AT.xsave + XSAVE.fsw, true);
  }
  set fsw(value: number) {
    this.view.setUint16(AT.xsave + XSAVE.fsw, value, true);
  }
  get fop(): number {
    return this.view.getUint16(AT.xsave + XSAVE.fop, true);
  }
  set fop(value: number) {
    this.view.setUint16(AT.xsave + XSAVE.fop, value, true);
  }
  /** Abridged: a bit per physical register, set when it is full. */
  get ftw(): number {
    return this.bytes[AT.xsave + XSAVE.ftw] as number;
  }
  set ftw(value: number) {
    this.bytes[AT.xsave + XSAVE.ftw] = value;
  }
  /** The 64 bytes RDI points to. */
  get memory(): Uint8Array {
    return this.bytes.subarray(AT.memory, AT.memory + 64);
  }
  /** The 1024 bytes RSI points to. */
  get extra(): Uint8Array {
    return this.bytes.subarray(960, RECORD);
  }
  /** ST(i): ten bytes. */
  st(i: number): Uint8Array {
    return this.bytes.subarray(AT.xsave + XSAVE.st + 16 * i, AT.xsave + XSAVE.st + 16 * i + 10);
  }
  xmm(i: number): Uint8Array {
    return this.bytes.subarray(AT.xsave + XSAVE.xmm + 16 * i, AT.xsave + XSAVE.xmm + 16 * i + 16);
  }
  /** Bits 128..255. */
  ymmHigh(i: number): Uint8Array {
    return this.bytes.subarray(AT.xsave + XSAVE.ymm + 16 * i, AT.xsave + XSAVE.ymm + 16 * i + 16);
  }
}

/** The native runner, or undefined (with why) where there is no gcc or no x86-64. */
export function nativeRunner(): { run(samples: readonly Sample[]): Sample[]; dispose(): void } | string {
  if (process.arch !== 'x64' || process.platform !== 'linux') return 'not Linux on x86-64';
  const folder = mkdtempSync(join(tmpdir(), 'silicon-'));
  const binary = join(folder, 'native');
  const built = spawnSync('gcc', ['-O1', '-include', 'stddef.h', '-o', binary, SOURCE], { encoding: 'utf8' });
  const dispose = (): void => rmSync(folder, { recursive: true, force: true });
  if (built.status !== 0) {
    dispose();
    return built.error === undefined ? `gcc: ${built.stderr}` : 'no gcc';
  }
  return {
    run(samples) {
      const input = new Uint8Array(samples.length * RECORD);
      samples.forEach((s, i) => {
        input.set(s.bytes, i * RECORD);
      });
      const done = spawnSync(binary, [], { input, maxBuffer: input.length + 4096, timeout: 60_000 });
      if (done.status !== 0 || done.stdout.length !== input.length)
        throw new Error(`native runner: status ${done.status} signal ${done.signal}, ${done.stdout.length} bytes`);
      return samples.map((_, i) => new Sample(new Uint8Array(done.stdout.subarray(i * RECORD, (i + 1) * RECORD))));
    },
    dispose,
  };
}
