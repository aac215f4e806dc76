/** Short integer code sequences on the host's processor (integer.c) and through our translator and either tier. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compilerOptions } from '../../src/accel/tcg/compiler.js';
import { LinearMemory } from '../../src/accel/tcg/linear-memory.js';
import { X86_64 } from '../../src/guest/x86/index.js';
import { Mode, X86 } from '../../src/guest/x86/state.js';
import { X86Translator } from '../../src/guest/x86/translate.js';
import { BLOCK, FLAT_RANGE, FlatFlag, MACHINE, VCPU } from '../../src/ir/layout.js';
import { Jit } from '../../src/jit/jit.js';
import { RegionExit } from '../../src/jit/lower-frame.js';

export const RECORD = 8 + 8 + 128 + 48 + 1024;
/** No pc at which the interpreter is to stop. */
const NOWHERE = -1n;
const AT = { length: 0, signal: 4, flags: 8, registers: 16, code: 144, data: 192 } as const;
export const AREA = 0x20000000;
const CODE = AREA + 0x800;
const STATE = AREA + 0x1000;
export const DATA = AREA + 0x2000;
const AREA_BYTES = 0x4000;
const MODE = Mode.cs64 | Mode.protected | Mode.lma | Mode.osfxsr | Mode.avx | 3;
/** Segments with a base and limits, as 16-bit code has them. */
const MODE16 = Mode.protected | Mode.lma | Mode.addSeg | Mode.csBase | Mode.limits | Mode.osfxsr | Mode.avx | 3;
const MODE32 = Mode.cs32 | Mode.ss32 | Mode.protected | Mode.lma | Mode.osfxsr | Mode.avx | 3;
/** The flags a case compares: arithmetic ones and DF. */
export const FLAGS = 0xcd5;
const SIGNALS: Readonly<Record<number, number>> = { 0: 8, 6: 4, 13: 11, 14: 11, 1: 5, 3: 5 };

export type CodeSize = 16 | 32 | 64;

/** One sequence and the state around it. */
export class Case {
  readonly view: DataView;
  constructor(readonly bytes: Uint8Array = new Uint8Array(RECORD)) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, RECORD);
  }
  get length(): number {
    return this.view.getUint32(AT.length, true);
  }
  set code(bytes: readonly number[]) {
    this.view.setUint32(AT.length, bytes.length, true);
    this.bytes.set(bytes, AT.code);
  }
  get code(): Uint8Array {
    return this.bytes.subarray(AT.code, AT.code + this.length);
  }
  get signal(): number {
    return this.view.getUint32(AT.signal, true);
  }
  set signal(value: number) {
    this.view.setUint32(AT.signal, value, true);
  }
  get flags(): number {
    return this.view.getUint32(AT.flags, true);
  }
  set flags(value: number) {
    this.view.setUint32(AT.flags, value, true);
  }
  /** Size of the code. 16-bit code has segments that start at `AREA`. */
  get size(): CodeSize {
    return ([64, 32, 16] as const)[this.view.getUint32(AT.flags + 4, true)] as CodeSize;
  }
  set size(value: CodeSize) {
    this.view.setUint32(AT.flags + 4, value === 64 ? 0 : value === 32 ? 1 : 2, true);
  }
  reg(n: number): bigint {
    return this.view.getBigUint64(AT.registers + 8 * n, true);
  }
  setReg(n: number, value: bigint): void {
    this.view.setBigUint64(AT.registers + 8 * n, value, true);
  }
  get data(): Uint8Array {
    return this.bytes.subarray(AT.data, AT.data + 1024);
  }
  clone(): Case {
    return new Case(this.bytes.slice());
  }
}

/** Runs cases natively, or says why that cannot be done here. */
export function nativeIntegers(): { run(cases: readonly Case[]): Case[]; dispose(): void } | string {
  if (process.arch !== 'x64' || process.platform !== 'linux') return 'not Linux on x86-64';
  const folder = mkdtempSync(join(tmpdir(), 'silicon-'));
  const binary = join(folder, 'native');
  const source = new URL('../../../tests/silicon/integer.c', import.meta.url).pathname;
  const built = spawnSync('gcc', ['-O1', '-no-pie', '-o', binary, source], { encoding: 'utf8' });
  const dispose = (): void => rmSync(folder, { recursive: true, force: true });
  if (built.status !== 0) {
    dispose();
    return built.error === undefined ? `gcc: ${built.stderr}` : 'no gcc';
  }
  return {
    run(cases) {
      const input = new Uint8Array(cases.length * RECORD);
      for (const [n, c] of cases.entries()) input.set(c.bytes, n * RECORD);
      const done = spawnSync(binary, [], { input, maxBuffer: input.length + 4096, timeout: 60_000 });
      if (done.status !== 0 || done.stdout.length !== input.length)
        throw new Error(`native runner: status ${done.status} signal ${done.signal}, ${done.stdout.length} bytes`);
      return cases.map((_, n) => new Case(new Uint8Array(done.stdout.subarray(n * RECORD, (n + 1) * RECORD))));
    },
    dispose,
  };
}

type Exports = Readonly<Record<string, (...args: (number | bigint)[]) => number | bigint | undefined>>;

/** The same through translator, passes, and interpreter or region compiler. */
export class IntegerBench {
  readonly #layout = new LinearMemory(1, X86.size);
  readonly #cpu = this.#layout.vcpus[0] as number;
  readonly #ram = this.#layout.allocate(AREA_BYTES, 4096);
  readonly #bytes = new Uint8Array(this.#layout.memory.buffer);
  readonly #view = new DataView(this.#layout.memory.buffer);
  readonly #words = new Int32Array(this.#layout.memory.buffer);
  readonly #translator = new X86Translator(
    this.#bytes,
    () => true,
    () => false,
  );
  readonly #runtime: Exports;
  readonly #table: WebAssembly.Table;
  readonly #jit: Jit;
  /** Blocks of the running case by host address, where the next one goes, and where the case's code ends. */
  readonly #blocks = new Map<number, number>();
  #next = 0;
  #end = 0;
  /** Runs of compiled code, and how many of them gave up for the interpreter. */
  entered = 0;
  sideExits = 0;

  constructor() {
    const module = new WebAssembly.Module(readFileSync(new URL('../../runtime/x86.wasm', import.meta.url)));
    const env: Record<string, WebAssembly.ImportValue> = {};
    for (const i of WebAssembly.Module.imports(module)) {
      env[i.name] = i.kind === 'memory' ? this.#layout.memory : (): number => 0;
    }
    this.#runtime = new WebAssembly.Instance(module, { env }).exports as Exports;
    this.#table = this.#runtime['table'] as unknown as WebAssembly.Table;
    this.#jit = new Jit({
      memory: this.#layout.memory,
      table: this.#table,
      runtime: this.#runtime as unknown as Record<string, WebAssembly.ExportedFunction>,
      ...compilerOptions(X86_64, { guest: X86_64.name }),
      x87Control: () => 0x37f,
      indirectTargets: () => [],
      lookup: (host, mode) => (host >= this.#ram + (CODE - AREA) && host < this.#end ? this.#block(host, mode) : 0),
      split: () => false,
      minRuns: 0,
      entryHeat: 1,
      deferral: 0,
      now: () => 0,
    });
    const { machine } = this.#layout;
    const set = (at: number, value: number): void => this.#view.setUint32(at, value, true);
    const field = (name: string): number => machine + (MACHINE.at[name] as number);
    for (const name of ['codePages', 'codeGranules', 'dirty', 'writable', 'blockHash'] as const)
      set(field(name), this.#layout[name]);
    set(field('vcpuCount'), 1);
    set(field('vcpus'), this.#cpu);
    set(field('hotThreshold'), 0xffffffff);
    set(field('flat'), this.#layout.flat[0]);
    set(field('flatCount'), 1);
    const range = this.#layout.flat[0];
    const rangeField = (name: string): number => range + (FLAT_RANGE.at[name] as number);
    this.#view.setBigUint64(rangeField('start'), BigInt(AREA), true);
    this.#view.setBigUint64(rangeField('last'), BigInt(AREA + AREA_BYTES - 1), true);
    set(rangeField('flags'), FlatFlag.ramRead | FlatFlag.ramWrite);
    set(rangeField('host'), this.#ram);
    set(this.#at('machine'), machine);
    set(this.#at('tlb'), this.#layout.tlbs[0] as number);
    set(this.#at('jumpCache'), this.#layout.jumpCaches[0] as number);
    this.#set64('a20Mask', 0xffffffffffffffffn);
    this.#set64('eflags', 2n);
    this.#runtime['flatViewChanged']?.();
    this.#runtime['tlbFlush']?.(this.#cpu);
  }

  #at(field: string): number {
    return this.#cpu + ((X86.at[field] ?? VCPU.at[field]) as number);
  }
  #set64(field: string, value: bigint): void {
    this.#view.setBigUint64(this.#at(field), value, true);
  }

  /** Runs a case on the interpreter, or compiled: its blocks in one region where jumps allow. */
  run(c: Case, compiled = false): Case {
    this.#blocks.clear();
    this.#next = this.#layout.code;
    const host = this.#ram - AREA;
    const rax = this.#at('rax');
    for (let n = 0; n < 16; n++) this.#view.setBigUint64(rax + 8 * n, c.reg(n), true);
    this.#runtime['writeEflags']?.(this.#cpu, BigInt(c.flags), BigInt(FLAGS));
    this.#bytes.set(c.data, host + DATA);
    this.#bytes.set(c.code, host + CODE);
    // Where the native run jumps to leave.
    const end = CODE + c.length;
    const mode = c.size === 64 ? MODE : c.size === 32 ? MODE32 : MODE16;
    const origin = c.size === 16 ? AREA : 0;
    for (const seg of ['es', 'cs', 'ss', 'ds']) {
      this.#set64(`${seg}Base`, BigInt(origin));
      this.#view.setUint32(this.#at(`${seg}Limit`), c.size === 16 ? 0xffff : 0xffffffff, true);
      this.#view.setUint32(this.#at(`${seg}Attr`), seg === 'cs' ? 0xfb : 0xf3, true);
    }
    // jmp [end] in each mode
    const leave =
      c.size === 64
        ? [0xff, 0x24, 0x25, 0x88, 0x10, 0x00, 0x20]
        : c.size === 32
          ? [0xff, 0x25, 0x88, 0x10, 0x00, 0x20]
          : [0xff, 0x26, 0x88, 0x10];
    this.#bytes.set(leave, host + end);
    this.#end = host + end;
    this.#view.setBigUint64(host + STATE + 0x88, BigInt(AREA - origin), true);
    this.#set64('pc', BigInt(CODE - origin));
    this.#view.setUint32(this.#at('mode'), mode, true);
    this.#view.setUint32(this.#at('mmuIndex'), 1, true);
    this.#view.setUint32(this.#at('faultPending'), 0, true);
    const after = c.clone();
    after.signal = 0;
    for (let blocks = 0; ; blocks++) {
      const pc = Number(this.#view.getBigUint64(this.#at('pc'), true)) + origin;
      if (pc === AREA) break;
      if (blocks > 100 || pc < CODE || pc > end) {
        after.signal = 99;
        break;
      }
      const block = this.#block(host + pc, mode);
      if (!compiled || !this.#enter(block)) this.#runtime['interpret']?.(this.#cpu, block, 0, NOWHERE);
      if (this.#view.getUint32(this.#at('faultPending'), true) !== 0) {
        after.signal = SIGNALS[this.#view.getUint32(this.#at('faultVector'), true)] ?? 98;
        break;
      }
    }
    for (let n = 0; n < 16; n++) after.setReg(n, this.#view.getBigUint64(rax + 8 * n, true));
    after.flags = Number(BigInt(this.#runtime['readEflags']?.(this.#cpu) as bigint) & 0xffffffffn);
    after.data.set(this.#bytes.subarray(host + DATA, host + DATA + 1024));
    return after;
  }

  /** Compiles the region at a block and runs it; false when the interpreter has to. */
  #enter(block: number): boolean {
    this.#jit.request(block);
    this.#jit.flushQueue();
    const entry = this.#words[(block + (BLOCK.at['entry'] as number)) / 4] as number;
    const result =
      entry === 0 ? RegionExit.side : (this.#table.get(entry) as (cpu: number, entry: number) => number)(this.#cpu, 0);
    this.#jit.reset();
    for (const b of this.#blocks.values()) this.#words[(b + (BLOCK.at['entry'] as number)) / 4] = 0;
    this.entered++;
    if (result === RegionExit.side) this.sideExits++;
    return result !== RegionExit.side;
  }

  #block(host: number, mode: number): number {
    const known = this.#blocks.get(host);
    if (known !== undefined) return known;
    const translator = this.#translator;
    translator.translate(host, mode, 0);
    const { builder } = translator;
    const block = this.#next;
    const head = block / 4;
    const ops = block + BLOCK.size;
    this.#words.set(builder.words.subarray(0, builder.count * 4), ops / 4);
    const count = this.#runtime['optimise']!(ops, builder.count) as number;
    this.#runtime['fuse']!(ops, count);
    this.#next = ops + count * 16;
    this.#words.fill(0, head, head + BLOCK.size / 4);
    this.#words[head + (BLOCK.at['host'] as number) / 4] = host;
    this.#words[head + (BLOCK.at['mode'] as number) / 4] = mode;
    this.#view.setUint16(block + (BLOCK.at['bytes'] as number), translator.bytes, true);
    this.#view.setUint16(block + (BLOCK.at['instructions'] as number), translator.instructions, true);
    this.#words[head + (BLOCK.at['ops'] as number) / 4] = count;
    this.#words[head + (BLOCK.at['valid'] as number) / 4] = 1;
    this.#blocks.set(host, block);
    return block;
  }
}
