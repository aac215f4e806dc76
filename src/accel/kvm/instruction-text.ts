/** Instructions that make exits, for traces: who touched memory that has no slot. */
import { Disassembler } from '../../guest/x86/disassemble.js';
import { Mode } from '../../guest/x86/state.js';
import { hexBytes } from './guest-access.js';
import type { KvmProcessor } from './interface.js';

const LONGEST = 15;
/** Of code before rip, so much is looked at to find out where its instructions begin. */
const LOOK_BACK = 48;
const PAGE = 4096;
const EFER_LMA = 0x400n;
const PE = 1n;

export class InstructionText {
  readonly #disassembler = new Disassembler();

  /** `read` gives the bytes of RAM or ROM at a physical address, as many as there are. */
  constructor(private readonly read: (physical: number, count: number) => Uint8Array) {}

  /**
   * Who made an access: bytes and meaning. A read is made by the instruction at rip. After a write KVM has moved on already,
   * though not from a repeated one: then it is the instruction before, as most ways to read the code before rip have it.
   */
  at(vcpu: KvmProcessor, write: boolean): string {
    const { cs, efer, cr0 } = vcpu.sregs();
    const { rip } = vcpu.regs();
    const long = cs.l !== 0 && (efer & EFER_LMA) !== 0n;
    const mode = (cr0 & PE ? Mode.protected : 0) | (long ? Mode.cs64 | Mode.lma : cs.db ? Mode.cs32 : 0);
    const base = long ? 0n : cs.base;
    let before = rip < BigInt(LOOK_BACK) ? Number(rip) : LOOK_BACK;
    let code = this.#bytes(vcpu, base + rip - BigInt(before), before + LONGEST);
    if (code.length <= before) {
      // The page before may not be there.
      code = this.#bytes(vcpu, base + rip, LONGEST);
      before = 0;
    }
    if (code.length === 0) return 'code cannot be read';
    const first = rip - BigInt(before);
    const decode = (at: number): { readonly length: number; readonly text: string } =>
      this.#disassembler.disassemble(code, at, code.length, mode, first + BigInt(at));
    const here = decode(before);
    const start = write && !here.text.startsWith('rep') ? endingAt(before, decode) : before;
    const { length, text } = decode(start);
    return `${hexBytes(code.subarray(start, start + length))}: ${text}`;
  }

  /** Pages that follow each other may lie apart. */
  #bytes(vcpu: KvmProcessor, linear: bigint, count: number): Uint8Array {
    const found: number[] = [];
    while (found.length < count) {
      const at = linear + BigInt(found.length);
      const physical = vcpu.translate(at);
      const piece = Math.min(count - found.length, PAGE - Number(at % BigInt(PAGE)));
      const bytes = physical === undefined ? new Uint8Array(0) : this.read(Number(physical), piece);
      found.push(...bytes);
      if (bytes.length < piece) break;
    }
    return Uint8Array.from(found);
  }
}

/** Where the instruction begins that ends at `end`: whatever byte one begins with, sequences of instructions soon agree. */
export function endingAt(end: number, decode: (at: number) => { readonly length: number }): number {
  const votes = new Map<number, number>();
  /** By where one begins: the last beginning before `end`; -1: it misses `end`. */
  const last: number[] = [];
  for (let at = end - 1; at >= 0; at--) {
    const next = at + decode(at).length;
    last[at] = next === end ? at : next < end ? last[next]! : -1;
    if (last[at]! >= 0) votes.set(last[at]!, (votes.get(last[at]!) ?? 0) + 1);
  }
  const [best = end] = [...votes].sort((a, b) => b[1] - a[1])[0] ?? [];
  return best;
}
