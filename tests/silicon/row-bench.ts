/** Runs single instructions through decoder, translator and either tier, from and to the state of a native sample. */
import { readFileSync } from 'node:fs';
import { compilerOptions } from '../../src/accel/tcg/compiler.js';
import { LinearMemory } from '../../src/accel/tcg/linear-memory.js';
import { Decoded, Decoder } from '../../src/guest/x86/decode.js';
import { X86_64 } from '../../src/guest/x86/index.js';
import { ROWS } from '../../src/guest/x86/insn/index.js';
import { Mode, X86 } from '../../src/guest/x86/state.js';
import { Translator } from '../../src/guest/x86/translator.js';
import { makeIntel } from '../../src/guest/x86/vendor.js';
import { BLOCK, FLAT_RANGE, FlatFlag, MACHINE, VCPU } from '../../src/ir/layout.js';
import { Jit } from '../../src/jit/jit.js';
import { RegionExit } from '../../src/jit/lower-frame.js';
import { hostVendor, type ProcessorVendor } from '../support/host-vendor.js';
import type { Sample } from './native.js';

/** 64-bit user mode with all units enabled. */
export const MODE = Mode.cs64 | Mode.protected | Mode.lma | Mode.avx | Mode.osfxsr | 3;
/** No pc at which the interpreter is to stop. */
const NOWHERE = -1n;
const RAM_BYTES = 1 << 16;
/** Linear addresses of the code and of the sample's memory (aligned as natively). */
const CODE = 0x1000;
export const MEMORY = 0x2030;
const EXTRA = 0x23c0;
const PAGE_DIRECTORY = 0x8000;
const PAGE_TABLE = 0x9000;
const ARITHMETIC = 0x8d5n;

type Exports = Readonly<Record<string, WebAssembly.ExportedFunction>>;

export class RowBench {
  readonly decoder = new Decoder(ROWS);
  readonly #layout = new LinearMemory(1, X86.size);
  readonly #cpu = this.#layout.vcpus[0]!;
  readonly #ram = this.#layout.allocate(RAM_BYTES, 4096);
  readonly #bytes = new Uint8Array(this.#layout.memory.buffer);
  readonly #view = new DataView(this.#layout.memory.buffer);
  readonly #words = new Int32Array(this.#layout.memory.buffer);
  readonly #translator: Translator;
  readonly #runtime: Exports;
  readonly #jit: Jit;
  readonly #table: WebAssembly.Table;

  /** A processor with every feature; of the host's maker, to be compared with it. */
  constructor(vendor: ProcessorVendor = hostVendor()) {
    const intel = vendor === 'GenuineIntel';
    this.#translator = new Translator(
      () => true,
      () => intel,
    );
    if (intel) makeIntel(this.#view, this.#cpu);
    const module = new WebAssembly.Module(readFileSync(new URL('../../runtime/x86.wasm', import.meta.url)));
    const env: Record<string, WebAssembly.ImportValue> = {};
    for (const i of WebAssembly.Module.imports(module)) {
      env[i.name] = i.kind === 'memory' ? this.#layout.memory : (): number => 0;
    }
    this.#runtime = new WebAssembly.Instance(module, { env }).exports as Exports;
    const table = this.#runtime['table'] as unknown as WebAssembly.Table;
    this.#jit = new Jit({
      memory: this.#layout.memory,
      table,
      runtime: this.#runtime,
      ...compilerOptions(X86_64, { guest: X86_64.name }),
      x87Control: () => 0x37f,
      indirectTargets: () => [],
      lookup: () => 0,
      hasCodeBase: () => false,
      split: () => false,
      minRuns: 0,
      entryHeat: 1,
      deferral: 0,
      now: () => 0,
    });
    this.#table = table;
    const { machine } = this.#layout;
    const set = (at: number, value: number): void => this.#view.setUint32(at, value, true);
    const machineField = (name: string): number => machine + MACHINE.at[name]!;
    for (const name of ['codePages', 'codeGranules', 'dirty', 'writable', 'blockHash'] as const) {
      set(machineField(name), this.#layout[name]);
    }
    set(machineField('vcpuCount'), 1);
    set(machineField('vcpus'), this.#cpu);
    set(machineField('hotThreshold'), 0xffffffff);
    set(machineField('flat'), this.#layout.flat[0]);
    set(machineField('flatCount'), 1);
    const range = this.#layout.flat[0];
    this.#view.setBigUint64(range + FLAT_RANGE.at['last']!, BigInt(RAM_BYTES - 1), true);
    set(range + FLAT_RANGE.at['flags']!, FlatFlag.ramRead | FlatFlag.ramWrite);
    set(range + FLAT_RANGE.at['host']!, this.#ram);
    set(this.#at('machine'), machine);
    set(this.#at('tlb'), this.#layout.tlbs[0]!);
    set(this.#at('jumpCache'), this.#layout.jumpCaches[0]!);
    this.#set64('a20Mask', 0xffffffffffffffffn);
    this.#set64('cr0', 0x33n);
    this.#set64('cr4', 0x40600n);
    this.#set64('xcr0', 7n);
    this.#set64('df', 1n);
    this.#bytes.fill(0xff, this.#at('features'), this.#at('features') + X86.bytes['features']!);
    this.#runtime['flatViewChanged']!();
    this.#runtime['tlbFlush']!(this.#cpu);
  }

  #at(field: string): number {
    return this.#cpu + ((X86.at[field] ?? VCPU.at[field]) as number);
  }
  #set64(field: string, value: bigint): void {
    this.#view.setBigUint64(this.#at(field), value, true);
  }
  /** Address of the last page fault. */
  get faultAddress(): bigint {
    return this.#view.getBigUint64(this.#at('faultAddress'), true);
  }
  /** Turns paging on (the 32-bit kind, the same addresses), without the page at `missing`. */
  pageOut(missing: number): void {
    for (let page = 0; page < RAM_BYTES / 4096; page++) {
      const present = page === missing / 4096 ? 0 : 7;
      this.#view.setUint32(this.#ram + PAGE_TABLE + page * 4, (page * 4096) | present, true);
    }
    this.#view.setUint32(this.#ram + PAGE_DIRECTORY, PAGE_TABLE | 7, true);
    this.#set64('cr3', BigInt(PAGE_DIRECTORY));
    this.#set64('cr0', 0x80010011n);
    this.#runtime['tlbFlush']!(this.#cpu);
  }
  get rcx(): bigint {
    return this.#view.getBigUint64(this.#at('rcx'), true);
  }
  set rcx(value: bigint) {
    this.#set64('rcx', value);
  }

  /** Runs `code` on a copy of the sample, interpreted or compiled. `fault` is the vector raised, or -1. */
  run(
    code: readonly number[],
    sample: Sample,
    compiled = false,
    rdi = MEMORY,
    mode = MODE,
  ): { after: Sample; fault: number } {
    this.#load(sample);
    this.#set64('rdi', BigInt(rdi));
    this.#set64('rsi', BigInt(EXTRA));
    this.#bytes.set(code, this.#ram + CODE);
    const t = this.#translator;
    t.beginBlock(mode);
    const i = t.i;
    const decoded = this.decoder.decode(i, this.#bytes, this.#ram + CODE, this.#ram + CODE + code.length, mode);
    if (decoded !== Decoded.ok) return { after: sample.clone(), fault: 6 };
    i.offset = 0;
    i.end = i.length;
    t.b.beginInstruction(0);
    t.instruction(i.form);
    if (!t.ended) t.b.leave();
    const block = this.#layout.code;
    this.#words.fill(0, block / 4, (block + BLOCK.size) / 4);
    this.#words[(block + BLOCK.at['host']!) / 4] = this.#ram + CODE;
    this.#words[(block + BLOCK.at['mode']!) / 4] = mode;
    this.#view.setUint16(block + BLOCK.at['bytes']!, code.length, true);
    this.#view.setUint16(block + BLOCK.at['instructions']!, 1, true);
    this.#words[(block + BLOCK.at['ops']!) / 4] = t.b.count;
    this.#words.set(t.b.words.subarray(0, t.b.count * 4), (block + BLOCK.size) / 4);
    this.#runtime['fuse']!(block + BLOCK.size, t.b.count);
    this.#set64('pc', BigInt(CODE));
    this.#view.setUint32(this.#at('mode'), mode, true);
    this.#view.setUint32(this.#at('faultPending'), 0, true);
    if (!compiled || !this.#enter(block)) this.#runtime['interpret']!(this.#cpu, block, 0, NOWHERE);
    const faulted =
      this.#view.getUint32(this.#at('faultPending'), true) !== 0 && this.#runtime['endStoppedStore']!(this.#cpu) === 0;
    return { after: this.#store(sample), fault: faulted ? this.#view.getUint32(this.#at('faultVector'), true) : -1 };
  }

  /** Compiles the block and runs it; false when it has to be interpreted instead. */
  #enter(block: number): boolean {
    this.#words[(block + BLOCK.at['valid']!) / 4] = 1;
    this.#jit.request(block);
    this.#jit.flushQueue();
    const entry = this.#words[(block + BLOCK.at['entry']!) / 4]!;
    const result = entry === 0 ? RegionExit.side : this.#table.get(entry)!(this.#cpu, 0);
    this.#jit.reset();
    return result !== RegionExit.side;
  }

  /** A copy of guest memory. */
  memory(address: number, bytes: number): Uint8Array {
    return this.#bytes.slice(this.#ram + address, this.#ram + address + bytes);
  }
  setMemory(address: number, bytes: Uint8Array): void {
    this.#bytes.set(bytes, this.#ram + address);
  }

  #load(s: Sample): void {
    const zmm = this.#at('zmm');
    const fpr = this.#at('fpr');
    for (let i = 0; i < 16; i++) {
      this.#bytes.set(s.xmm(i), zmm + 64 * i);
      this.#bytes.set(s.ymmHigh(i), zmm + 64 * i + 16);
    }
    const top = (s.fsw >> 11) & 7;
    for (let i = 0; i < 8; i++) this.#bytes.set(s.st(i), fpr + 16 * ((i + top) & 7));
    this.#view.setUint32(this.#at('fpTop'), top, true);
    this.#view.setUint32(this.#at('fpTags'), ~s.ftw & 0xff, true);
    this.#view.setUint32(this.#at('mxcsr'), s.mxcsr, true);
    this.#view.setUint32(this.#at('fcw'), s.fcw, true);
    this.#view.setUint32(this.#at('fsw'), s.fsw & ~0x3800, true);
    this.#view.setUint32(this.#at('fop'), s.fop, true);
    this.#set64('rax', s.rax);
    this.#set64('rdx', 0n);
    this.#runtime['writeEflags']!(this.#cpu, BigInt(s.eflags), ARITHMETIC);
    this.#bytes.set(s.memory, this.#ram + MEMORY);
    this.#bytes.set(s.extra, this.#ram + EXTRA);
  }

  #store(before: Sample): Sample {
    const s = before.clone();
    const zmm = this.#at('zmm');
    const fpr = this.#at('fpr');
    for (let i = 0; i < 16; i++) {
      s.xmm(i).set(this.#bytes.subarray(zmm + 64 * i, zmm + 64 * i + 16));
      s.ymmHigh(i).set(this.#bytes.subarray(zmm + 64 * i + 16, zmm + 64 * i + 32));
    }
    const top = this.#view.getUint32(this.#at('fpTop'), true);
    for (let i = 0; i < 8; i++) {
      const r = fpr + 16 * ((i + top) & 7);
      s.st(i).set(this.#bytes.subarray(r, r + 10));
    }
    s.ftw = ~this.#view.getUint32(this.#at('fpTags'), true) & 0xff;
    s.mxcsr = this.#view.getUint32(this.#at('mxcsr'), true);
    s.fsw = (this.#view.getUint32(this.#at('fsw'), true) & ~0x3800) | (top << 11);
    s.fcw = this.#view.getUint32(this.#at('fcw'), true);
    s.fop = this.#view.getUint32(this.#at('fop'), true);
    s.rax = this.#view.getBigUint64(this.#at('rax'), true);
    s.eflags = Number(BigInt(this.#runtime['readEflags']!(this.#cpu) as bigint) & 0xffffffffn);
    s.extra.set(this.#bytes.subarray(this.#ram + EXTRA, this.#ram + EXTRA + 1024));
    s.memory.set(this.#bytes.subarray(this.#ram + MEMORY, this.#ram + MEMORY + 64));
    return s;
  }
}
