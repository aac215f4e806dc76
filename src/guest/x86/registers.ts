/**
 * The architectural state of one x86 vCPU by name: what monitors, debuggers, loaders and tests read and write. Lazy flags
 * and mode bits are kept true through the two runtime functions handed in.
 */
import { Bug } from '../../base/errors.js';
import { VCPU } from '../../ir/layout.js';
import { GPR, type SEG, X86 } from './state.js';

export type SegmentName = (typeof SEG)[number];

export interface Segment {
  selector: number;
  base: bigint;
  /** In bytes. */
  limit: number;
  /** Descriptor bits 40..55: type, S, DPL, P, 0000, AVL, L, D/B, G. */
  attributes: number;
}

/** What the runtime module does for this file. */
export interface RegisterRuntime {
  readEflags(cpu: number): bigint;
  writeEflags(cpu: number, value: bigint, mask: bigint): void;
  updateMode(cpu: number): void;
  /** WRMSR, with its operands in the registers. */
  h_wrmsr(cpu: number, a: bigint, b: bigint, imm: number): bigint;
  physWrite(cpu: number, address: bigint, bytes: number, value: bigint): void;
}

const CONTROL = ['cr0', 'cr2', 'cr3', 'cr4', 'efer'] as const;

export class X86Registers {
  readonly #view: DataView;

  /** `state` is the address of the vCPU's record in `memory`. */
  constructor(
    memory: WebAssembly.Memory,
    readonly state: number,
    private readonly runtime: RegisterRuntime,
  ) {
    this.#view = new DataView(memory.buffer);
  }

  /** Names that `get` and `set` take. */
  static readonly names: readonly string[] = [...GPR, 'rip', 'rflags', ...CONTROL];

  get(name: string): bigint {
    if (name === 'rip') return this.#view.getBigUint64(this.state + offset(VCPU, 'pc'), true);
    if (name === 'rflags') return BigInt.asUintN(64, this.runtime.readEflags(this.state));
    return this.#view.getBigUint64(this.state + offset(X86, name), true);
  }

  set(name: string, value: bigint): void {
    const unsigned = BigInt.asUintN(64, value);
    if (name === 'rip') this.#view.setBigUint64(this.state + offset(VCPU, 'pc'), unsigned, true);
    else if (name === 'rflags') {
      this.runtime.writeEflags(this.state, value, ~0n);
      this.runtime.updateMode(this.state);
    } else {
      this.#view.setBigUint64(this.state + offset(X86, name), unsigned, true);
      if ((CONTROL as readonly string[]).includes(name)) this.runtime.updateMode(this.state);
    }
  }

  segment(name: SegmentName): Segment {
    return {
      selector: this.field(`${name}Selector`),
      base: this.#view.getBigUint64(this.state + offset(X86, `${name}Base`), true),
      limit: this.field(`${name}Limit`),
      attributes: this.field(`${name}Attr`),
    };
  }

  setSegment(name: SegmentName, segment: Segment): void {
    this.#view.setUint32(this.state + offset(X86, `${name}Selector`), segment.selector, true);
    this.#view.setBigUint64(this.state + offset(X86, `${name}Base`), segment.base, true);
    this.#view.setUint32(this.state + offset(X86, `${name}Limit`), segment.limit, true);
    this.#view.setUint32(this.state + offset(X86, `${name}Attr`), segment.attributes, true);
    if (name === 'cs' || name === 'ss') this.setField('cpl', this.cpl());
    this.runtime.updateMode(this.state);
  }

  /** A u32 field of the state by its name in state.ts. */
  field(name: string): number {
    return this.#view.getUint32(this.state + offset(X86, name), true);
  }

  setField(name: string, value: number): void {
    this.#view.setUint32(this.state + offset(X86, name), value, true);
  }

  /** Quadword `index` of a field of the state. */
  wide(name: string, index: number): bigint {
    return this.#view.getBigUint64(this.state + offset(X86, name) + 8 * index, true);
  }

  /** The 32-bit word at `bytes` from the start of a field. */
  word(name: string, bytes: number): number {
    return this.#view.getUint32(this.state + offset(X86, name) + bytes, true);
  }

  /** The double at `bytes` from the start of a field. */
  float(name: string, bytes: number): number {
    return this.#view.getFloat64(this.state + offset(X86, name) + bytes, true);
  }

  /** Mode bits: see `Mode` in state.ts. */
  get mode(): number {
    return this.#view.getUint32(this.state + offset(VCPU, 'mode'), true);
  }

  /** Linear-memory address of a state field. */
  address(name: string): number {
    return this.state + offset(X86, name);
  }

  /** What WRMSR does, from outside; false when the processor has no such register or refuses the value. */
  writeMsr(index: number, value: bigint): boolean {
    const operands = ['rcx', 'rax', 'rdx'] as const;
    const saved = operands.map((name) => this.get(name));
    this.set('rcx', BigInt(index));
    this.set('rax', BigInt.asUintN(32, value));
    this.set('rdx', value >> 32n);
    this.runtime.h_wrmsr(this.state, 0n, 0n, 0);
    operands.forEach((name, i) => {
      this.set(name, saved[i]!);
    });
    const pending = this.state + offset(VCPU, 'faultPending');
    const refused = this.#view.getUint32(pending, true) !== 0;
    this.#view.setUint32(pending, 0, true);
    return !refused;
  }

  /** A 32-bit write to a register of the processor's local APIC. */
  writeLocalApic(register: number, value: number): void {
    const base = this.#view.getBigUint64(this.state + offset(X86, 'apicBase'), true) & ~0xfffn;
    this.runtime.physWrite(this.state, base + BigInt(register), 4, BigInt(value >>> 0));
  }

  /** XMM (0..1) or YMM (0..3) quadword `word` of vector register `n`. */
  vector(n: number, word: number): bigint {
    return this.#view.getBigUint64(this.state + offset(X86, 'zmm') + 64 * n + 8 * word, true);
  }

  setVector(n: number, word: number, value: bigint): void {
    this.#view.setBigUint64(this.state + offset(X86, 'zmm') + 64 * n + 8 * word, BigInt.asUintN(64, value), true);
  }

  /** Privilege level of the segments as they are loaded: SS's DPL in protected mode. */
  private cpl(): number {
    return this.get('cr0') & 1n ? (this.field('ssAttr') >> 5) & 3 : 0;
  }
}

function offset(record: { readonly at: Readonly<Record<string, number>> }, name: string): number {
  const found = record.at[name];
  if (found === undefined) throw new Bug(`no x86 register ${name}`);
  return found;
}
