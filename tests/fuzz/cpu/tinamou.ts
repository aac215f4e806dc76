/** Runs batches in Tinamou: each sequence first interpreted, then compiled, in user mode with paging as Linux sets it up. */
import { X86 } from '../../../src/guest/x86/state.js';
import { VCPU } from '../../../src/ir/layout.js';
import { ExitReason } from '../../../src/ir/ops.js';
import { BareMachine } from '../../support/bare-machine.js';
import type { ProcessorVendor } from '../../support/host-vendor.js';
import { CODE, DATA, DATA_BYTES, IMAGE_BYTES, IN, SELECTOR, WINDOW, WINDOW_BYTES, XSAVE } from './layout.js';
import type { Batch, Outcome, Sequence } from './sequence.js';

/** Physical addresses. The first 2 MiB are the supervisor's, mapped where kernels are. */
const SUPERVISOR = 0xffff800000000000n;
const PHYSICAL = {
  idt: 0x3000,
  gdt: 0x4000,
  tss: 0x5000,
  handlers: 0x6000,
  stackTop: 0x9000,
  pml4: 0x10000,
  pdpt: 0x11000,
  pdptHigh: 0x12000,
  directoryHigh: 0x13000,
  codeDirectory: 0x14000,
  dataDirectory: 0x15000,
  dataTable: 0x16000,
  codeTables: 0x18000,
  data: 0x200000,
  code: 0x400000,
} as const;
const CODE_TABLES = 4;
export const MAX_CODE_BYTES = (CODE_TABLES << 21) - (CODE & 0x1fffff);
const HANDLER_BYTES = 16;
/** The interrupt with which sequences end. */
const LEAVE_VECTOR = 0x20;
/** Where it stands. */
const LEAVE = CODE + 0x20;
const ERROR_CODE = new Set([8, 10, 11, 12, 13, 14, 17]);
const PRESENT = 0x61n; // accessed and dirty already
const WRITABLE = 2n;
const USER = 4n;
const LARGE = 0x80n;
const STATUS = 0x40cd5n;

export class Tinamou {
  readonly #machine: BareMachine;
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  readonly #state: number;
  #codeBytes = 0;
  #ended = 0;
  #compiled = 0;

  constructor(vendor: ProcessorVendor) {
    this.#machine = new BareMachine({ mode: 'long64', cpl: 3, hotThreshold: 1, vendor });
    const { buffer } = this.#machine.accelerator.memory;
    this.#view = new DataView(buffer);
    this.#bytes = new Uint8Array(buffer);
    this.#state = this.#machine.registers.state;
    this.#pages();
    this.#descriptors();
    const r = this.#machine.registers;
    r.set('cr3', BigInt(PHYSICAL.pml4));
    // As Linux has it: #MF for x87 errors, #AC only where EFLAGS.AC says so, write protection.
    r.set('cr0', 0x80050033n);
  }

  #pages(): void {
    const { view } = this.#machine;
    const entry = (table: number, index: number, to: number, flags: bigint): void =>
      view.setBigUint64(table + index * 8, BigInt(to) | PRESENT | flags, true);
    entry(PHYSICAL.pml4, 0, PHYSICAL.pdpt, WRITABLE | USER);
    entry(PHYSICAL.pml4, 256, PHYSICAL.pdptHigh, WRITABLE);
    entry(PHYSICAL.pdptHigh, 0, PHYSICAL.directoryHigh, WRITABLE);
    entry(PHYSICAL.directoryHigh, 0, 0, WRITABLE | LARGE);
    entry(PHYSICAL.pdpt, 0, PHYSICAL.codeDirectory, WRITABLE | USER);
    entry(PHYSICAL.pdpt, DATA >>> 30, PHYSICAL.dataDirectory, WRITABLE | USER);
    entry(PHYSICAL.dataDirectory, 0, PHYSICAL.dataTable, WRITABLE | USER);
    for (let n = 0; n < IMAGE_BYTES / 4096; n++)
      entry(PHYSICAL.dataTable, n, PHYSICAL.data + n * 4096, USER | (n * 4096 < DATA_BYTES ? WRITABLE : 0n));
    for (let n = 0; n < CODE_TABLES; n++)
      entry(PHYSICAL.codeDirectory, (CODE >>> 21) + n, PHYSICAL.codeTables + n * 4096, WRITABLE | USER);
  }

  #descriptors(): void {
    const { view, ram, registers } = this.#machine;
    const linear = (at: number): bigint => SUPERVISOR + BigInt(at);
    const gdt = (selector: number, value: bigint): void =>
      view.setBigUint64(PHYSICAL.gdt + (selector & ~7), value, true);
    const kernel = 0x10;
    const task = 0x40;
    gdt(kernel, 0x00af9b000000ffffn);
    gdt(0x18, 0x00cf93000000ffffn);
    gdt(SELECTOR.code32, 0x00cffb000000ffffn);
    gdt(SELECTOR.data, 0x00cff3000000ffffn);
    gdt(SELECTOR.code64, 0x00affb000000ffffn);
    view.setBigUint64(PHYSICAL.tss + 4, linear(PHYSICAL.stackTop), true);
    view.setUint16(PHYSICAL.tss + 0x66, 0x68, true);
    for (let vector = 0; vector <= LEAVE_VECTOR; vector++) {
      const at = PHYSICAL.idt + vector * 16;
      const handler = linear(PHYSICAL.handlers + vector * HANDLER_BYTES);
      const privilege = vector === LEAVE_VECTOR || vector === 3 || vector === 4 ? 3 : 0;
      view.setUint16(at, Number(handler & 0xffffn), true);
      view.setUint16(at + 2, kernel, true);
      view.setUint16(at + 4, 0x8e00 | (privilege << 13), true);
      view.setUint16(at + 6, Number((handler >> 16n) & 0xffffn), true);
      view.setUint32(at + 8, Number(handler >> 32n), true);
      ram[PHYSICAL.handlers + vector * HANDLER_BYTES] = 0xf4;
    }
    registers.setSegment('gdtr', { selector: 0, base: linear(PHYSICAL.gdt), limit: 0x4f, attributes: 0 });
    registers.setSegment('idtr', {
      selector: 0,
      base: linear(PHYSICAL.idt),
      limit: 16 * (LEAVE_VECTOR + 1) - 1,
      attributes: 0,
    });
    registers.setSegment('tr', { selector: task, base: linear(PHYSICAL.tss), limit: 0x67, attributes: 0x8b });
    for (const name of ['fs', 'gs'] as const)
      registers.setSegment(name, { selector: 0, base: 0n, limit: 0, attributes: 0 });
    for (const name of ['ds', 'es'] as const)
      registers.setSegment(name, { selector: SELECTOR.data, base: 0n, limit: 0xffffffff, attributes: 0xc0f3 });
  }

  #at(field: string): number {
    return this.#state + ((X86.at[field] ?? VCPU.at[field]) as number);
  }
  #set64(field: string, value: bigint): void {
    this.#view.setBigUint64(this.#at(field), value, true);
  }
  #set32(field: string, value: number): void {
    this.#view.setUint32(this.#at(field), value, true);
  }
  #get32(field: string): number {
    return this.#view.getUint32(this.#at(field), true);
  }

  #interpretedBlocks(): number {
    return Number(this.#view.getBigUint64(this.#at('statColdBlocks'), true));
  }
  /** Share of the second runs, of those that ended without an exception, that did without the interpreter. */
  get compiledShare(): number {
    return this.#compiled / this.#ended;
  }

  /** Outcomes interpreted and compiled. */
  run(batch: Batch): { interpreted: Outcome[]; compiled: Outcome[] } {
    const { accelerator, ram, view } = this.#machine;
    const code = batch.codeFor(LEAVE);
    if (code.length > MAX_CODE_BYTES) throw new Error('too much code in one batch');
    accelerator.resetCode();
    code.set([0xcd, LEAVE_VECTOR], LEAVE - CODE);
    ram.set(code, PHYSICAL.code);
    ram.set(batch.image, PHYSICAL.data);
    const pages = Math.max(code.length, this.#codeBytes) / 4096;
    for (let n = 0; n < pages; n++)
      view.setBigUint64(
        PHYSICAL.codeTables + (((CODE >>> 12) & 511) + n) * 8,
        n * 4096 < code.length ? BigInt(PHYSICAL.code + n * 4096) | PRESENT | USER : 0n,
        true,
      );
    this.#codeBytes = code.length;
    accelerator.runtime.tlbFlush(this.#state);
    const once = (): Outcome[] => batch.sequences.map((s, n) => this.#one(s, batch.entries[n] as number, batch.image));
    const interpreted = once();
    accelerator.jit.flushQueue();
    const compiled = batch.sequences.map((sequence, n) => {
      const before = this.#interpretedBlocks();
      const outcome = this.#one(sequence, batch.entries[n] as number, batch.image);
      if (outcome.vector < 0) {
        this.#ended++;
        if (this.#interpretedBlocks() === before) this.#compiled++;
      }
      return outcome;
    });
    return { interpreted, compiled };
  }

  #one(s: Sequence, entry: number, image: Uint8Array): Outcome {
    const { accelerator, ram, view, registers } = this.#machine;
    ram.set(image.subarray(0, DATA_BYTES), PHYSICAL.data);
    ram.set(s.input.subarray(IN.window, IN.window + WINDOW_BYTES), PHYSICAL.data + WINDOW);
    this.#load(s);
    this.#set64('pc', BigInt(entry));
    const reason = accelerator.runtime.run(this.#state);
    if (reason !== ExitReason.halt) throw new Error(`a sequence ended with exit reason ${reason}`);
    const vector = (Number(registers.get('rip') & 0xffffn) - PHYSICAL.handlers - 1) / HANDLER_BYTES;
    const ended = vector === LEAVE_VECTOR;
    // SS, RSP, RFLAGS, CS, RIP, error code.
    const frame = PHYSICAL.stackTop - 40;
    const gpr = Array.from({ length: 16 }, (_, n) => this.#view.getBigUint64(this.#at('rax') + 8 * n, true));
    gpr[4] = view.getBigUint64(frame + 24, true);
    return {
      vector: ended ? -1 : vector,
      error: !ended && ERROR_CODE.has(vector) ? view.getUint32(frame - 8, true) : 0,
      address: vector === 14 ? registers.get('cr2') : 0n,
      rip: ended ? 0n : view.getBigUint64(frame, true) - BigInt(entry),
      flags: view.getUint32(frame + 16, true),
      gpr,
      xsave: this.#xsave(),
      memory: ram.slice(PHYSICAL.data, PHYSICAL.data + DATA_BYTES),
    };
  }

  #load(s: Sequence): void {
    const { registers, accelerator } = this.#machine;
    const input = new DataView(s.input.buffer, s.input.byteOffset, s.input.length);
    this.#bytes.set(s.input.subarray(IN.gpr, IN.gpr + 128), this.#at('rax'));
    this.#set32('halted', 0);
    this.#set64('eflags', 0x202n);
    accelerator.runtime.writeEflags(this.#state, BigInt(input.getUint32(IN.flags, true)), STATUS);
    const image = s.input.subarray(IN.xsave);
    const word = (at: number): number => input.getUint16(IN.xsave + at, true);
    const zmm = this.#at('zmm');
    const fpr = this.#at('fpr');
    for (let n = 0; n < 16; n++) {
      this.#bytes.set(image.subarray(XSAVE.xmm + 16 * n, XSAVE.xmm + 16 * n + 16), zmm + 64 * n);
      this.#bytes.set(image.subarray(XSAVE.ymm + 16 * n, XSAVE.ymm + 16 * n + 16), zmm + 64 * n + 16);
    }
    const top = (word(XSAVE.fsw) >> 11) & 7;
    for (let n = 0; n < 8; n++)
      this.#bytes.set(image.subarray(XSAVE.st + 16 * n, XSAVE.st + 16 * n + 10), fpr + 16 * ((n + top) & 7));
    this.#set32('fpTop', top);
    this.#set32('fpTags', ~word(XSAVE.ftw) & 0xff);
    this.#set32('fcw', word(XSAVE.fcw));
    this.#set32('fsw', word(XSAVE.fsw) & ~0x3800);
    this.#set32('mxcsr', input.getUint32(IN.xsave + XSAVE.mxcsr, true));
    registers.setSegment('ss', { selector: SELECTOR.data, base: 0n, limit: 0xffffffff, attributes: 0xc0f3 });
    registers.setSegment('cs', {
      selector: s.mode === 64 ? SELECTOR.code64 : SELECTOR.code32,
      base: 0n,
      limit: 0xffffffff,
      attributes: s.mode === 64 ? 0xa0fb : 0xc0fb,
    });
  }

  #xsave(): Uint8Array {
    const image = new Uint8Array(XSAVE.bytes);
    const out = new DataView(image.buffer);
    const zmm = this.#at('zmm');
    const fpr = this.#at('fpr');
    for (let n = 0; n < 16; n++) {
      image.set(this.#bytes.subarray(zmm + 64 * n, zmm + 64 * n + 16), XSAVE.xmm + 16 * n);
      image.set(this.#bytes.subarray(zmm + 64 * n + 16, zmm + 64 * n + 32), XSAVE.ymm + 16 * n);
    }
    const top = this.#get32('fpTop');
    for (let n = 0; n < 8; n++) {
      const at = fpr + 16 * ((n + top) & 7);
      image.set(this.#bytes.subarray(at, at + 10), XSAVE.st + 16 * n);
    }
    out.setUint16(XSAVE.fcw, this.#get32('fcw'), true);
    out.setUint16(XSAVE.fsw, (this.#get32('fsw') & ~0x3800) | (top << 11), true);
    image[XSAVE.ftw] = ~this.#get32('fpTags') & 0xff;
    out.setUint32(XSAVE.mxcsr, this.#get32('mxcsr'), true);
    return image;
  }
}
