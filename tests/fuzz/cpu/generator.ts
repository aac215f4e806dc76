/** Random sequences of instructions, made from the rows of our tables, and the state they start in. */
import { Decoded, Decoder, type Form, Insn } from '../../../src/guest/x86/decode.js';
import { encode } from '../../../src/guest/x86/encode.js';
import { ROWS } from '../../../src/guest/x86/insn/index.js';
import { Mode } from '../../../src/guest/x86/state.js';
import type { Operands } from '../../silicon/operands.js';
import { groupOf } from './groups.js';
import { DATA, DATA_BYTES, IN, WINDOW, WINDOW_BYTES, XSAVE } from './layout.js';
import { fillNumbers, type Instruction, type Sequence } from './sequence.js';
import { exclusion, FLAG, flagEffect, JUMP_READS, TRANSCENDENTAL, undefinedResult, vagueW } from './undefined.js';

const MODE64 = Mode.cs64 | Mode.protected | Mode.lma;
const MODE32 = Mode.cs32 | Mode.ss32 | Mode.protected;
const RSP = 4;

/** A 64-bit value, often at a corner of some size. */
export function integer(random: Operands): bigint {
  switch (random.below(6)) {
    case 0:
      return BigInt(random.below(256));
    case 1:
      return BigInt.asUintN(64, -BigInt(random.below(256)));
    case 2:
      return BigInt.asUintN(64, (1n << BigInt(random.below(64))) + BigInt(random.below(3)) - 1n);
    case 3:
      return BigInt(random.u32());
    default:
      return random.u64();
  }
}

/** Ten bytes of an extended number; seldom one of the encodings that are no numbers. */
function extended(view: DataView, at: number, random: Operands): void {
  const bits = random.float(63, 15);
  const exponent = (bits >> 63n) & 0x7fffn;
  let whole = exponent === 0n ? 0n : 1n;
  if (random.below(24) === 0) whole ^= 1n;
  view.setBigUint64(at, (whole << 63n) | (bits & 0x7fffffffffffffffn), true);
  view.setUint16(at + 8, Number(bits >> 63n), true);
}

/** Address that memory operands are about: most often around the border of two pages. */
function address(random: Operands): bigint {
  const at = BigInt(DATA);
  switch (random.below(64)) {
    case 0: // into the page that is only to be read
      return at + BigInt(DATA_BYTES - random.below(64));
    case 1: // into nothing
      return at + BigInt(DATA_BYTES + 0x1000 - random.below(64));
    case 2:
      return at - BigInt(random.below(64));
    case 3: // across the end of the lower half
      return random.below(2) === 0 ? random.u64() : 0x7fffffffffffn - BigInt(random.below(64));
    case 4:
    case 5:
    case 6:
    case 7:
    case 8:
    case 9:
    case 10:
    case 11:
    case 12:
    case 13:
    case 14:
    case 15:
      return at + BigInt(0x1000 - 64 + random.below(128));
    default: // aligned
      return at + BigInt(WINDOW + 32 * random.below(WINDOW_BYTES / 32));
  }
}

export class Generator {
  readonly decoder = new Decoder(ROWS);
  readonly groups = new Map<string, { long: Form[]; narrow: Form[] }>();
  readonly #insn = new Insn();

  /** `known` says whether the host has an instruction; without `narrow` all sequences are 64-bit code. */
  constructor(
    known: (form: Form) => boolean,
    readonly narrow: boolean,
  ) {
    for (const form of this.decoder.forms) {
      if (exclusion(form.mnemonics[0] as string, form.row[1]) !== undefined || !known(form)) continue;
      const name = groupOf(form);
      const group = this.groups.get(name) ?? { long: [], narrow: [] };
      this.groups.set(name, group);
      const e = form.encoding;
      if (e.only64 !== 0) group.long.push(form);
      if (e.only64 !== 1 && (e.map >= 4 || e.w !== 1) && !vagueW(e.map, e.w, form.row[1])) group.narrow.push(form);
    }
  }

  /** `image`: seed of the batch's memory. `only`: names of groups to choose from. */
  generate(random: Operands, image: number, only?: readonly string[]): Sequence {
    return new Building(this, random, this.#insn, only ?? [...this.groups.keys()]).build(image);
  }

  /** One plain instruction of every form, to see which the host has. */
  probe(form: Form, random: Operands): Sequence | undefined {
    const mode = form.encoding.only64 === 0 ? 32 : 64;
    if (mode === 32 && !this.narrow) return undefined;
    return new Building(this, random, this.#insn, [groupOf(form)]).single(form, mode);
  }
}

class Building {
  readonly #input = new Uint8Array(IN.bytes);
  readonly #view = new DataView(this.#input.buffer);
  readonly #instructions: Instruction[] = [];
  #mode: 32 | 64 = 64;
  #undefined = 0;
  #everUndefined = 0;
  #transcendental = false;
  #registers: number[] = [];
  #pointers: number[] = [];
  #indexes: number[] = [];
  #counter = -1;

  constructor(
    private readonly generator: Generator,
    private readonly random: Operands,
    private readonly insn: Insn,
    private readonly groups: readonly string[],
  ) {}

  #set(reg: number, value: bigint): void {
    this.#view.setBigUint64(IN.gpr + 8 * reg, BigInt.asUintN(64, value), true);
  }

  #state(): void {
    const { random } = this;
    const view = this.#view;
    for (let n = 0; n < 16; n++) this.#set(n, integer(random));
    this.#set(
      RSP,
      BigInt(DATA + 0x1000 + random.below(2) * 0x800 + random.below(32) * (random.below(8) === 0 ? 1 : 8)),
    );
    const all = Array.from({ length: this.#mode === 64 ? 16 : 8 }, (_, n) => n).filter((n) => n !== RSP);
    const take = (): number => all.splice(random.below(all.length), 1)[0] as number;
    // Two that memory operands start from and one index; RSP is a base now and then.
    const [first, second, index] = [take(), take(), take()];
    this.#pointers = [first, second];
    this.#indexes = [index];
    this.#set(first, address(random));
    this.#set(second, address(random));
    this.#set(index, BigInt.asUintN(64, BigInt(random.below(16) - 8)));
    if (random.below(4) === 0) this.#pointers.push(RSP);
    if (random.below(64) === 0) this.#set(index, integer(random));
    if (this.#mode === 64 && random.below(4) === 0) {
      const high = all.filter((n) => n >= 8);
      this.#counter = high[random.below(high.length)] as number;
      this.#set(this.#counter, BigInt(1 + random.below(4)));
    }
    this.#registers = all.filter((n) => n !== this.#counter);
    if (random.below(16) === 0) this.#registers.push(RSP);
    const rare = (random.below(6) === 0 ? FLAG.DF : 0) | (random.below(16) === 0 ? FLAG.AC : 0);
    view.setUint32(IN.flags, 0x202 | (random.u32() & 0x8d5) | rare, true);
    fillNumbers(this.#input.subarray(IN.window, IN.window + WINDOW_BYTES), random);
    const x = IN.xsave;
    for (let n = 0; n < 8; n++)
      if (random.below(3) === 0) {
        fillNumbers(this.#input.subarray(x + XSAVE.st + 16 * n, x + XSAVE.st + 16 * n + 8), random);
        view.setUint16(x + XSAVE.st + 16 * n + 8, 0xffff, true);
      } else extended(view, x + XSAVE.st + 16 * n, random);
    fillNumbers(this.#input.subarray(x + XSAVE.xmm, x + XSAVE.xmm + 256), random);
    fillNumbers(this.#input.subarray(x + XSAVE.ymm, x + XSAVE.ymm + 256), random);
    const masks = random.below(4) === 0 ? random.below(64) : 63;
    const control = 0x40 | masks | (([0, 2, 3, 3] as const)[random.below(4)] << 8) | (random.below(4) << 10);
    view.setUint16(x + XSAVE.fcw, random.below(2) === 0 ? 0x37f : control, true);
    const pending = random.below(60) === 0;
    const status = random.below(64) & (pending ? 63 : masks);
    const summary = (status & ~(view.getUint16(x + XSAVE.fcw, true) & 63)) !== 0 ? 0x8080 : 0;
    view.setUint16(x + XSAVE.fsw, status | (random.below(2) << 6) | summary | (random.u32() & 0x7f00), true);
    this.#input[x + XSAVE.ftw] = random.below(4) === 0 ? 0xff : random.below(256);
    const unmasked = random.below(6) === 0 ? random.u32() & 0x1f80 : 0x1f80;
    view.setUint32(x + XSAVE.mxcsr, unmasked | ([0, 0x20, random.u32() & 0xe07f][random.below(3)] as number), true);
    view.setUint32(x + XSAVE.bv, 7, true);
  }

  build(image: number): Sequence {
    const { random } = this;
    this.#mode = random.below(4) === 0 && this.generator.narrow ? 32 : 64;
    this.#state();
    const length = 1 + random.below(12);
    // Most sequences are of one to three groups.
    const chosen = Array.from(
      { length: 1 + random.below(3) },
      () => this.groups[random.below(this.groups.length)] as string,
    );
    for (let tries = 0; this.#instructions.length < length && tries < 60; tries++) this.#add(chosen);
    return this.#sequence(image);
  }

  single(form: Form, mode: 32 | 64): Sequence | undefined {
    this.#mode = mode;
    this.#state();
    const made = this.#encode(form);
    if (made === undefined) return undefined;
    this.#instructions.push(made);
    return this.#sequence(1);
  }

  #sequence(image: number): Sequence {
    return {
      mode: this.#mode,
      instructions: this.#instructions,
      input: this.#input,
      image,
      undefinedFlags: this.#undefined,
      everUndefined: this.#everUndefined,
      transcendental: this.#transcendental,
    };
  }

  #add(groups: readonly string[]): void {
    const { random } = this;
    const jump = random.below(this.#counter >= 0 ? 6 : 10) === 0;
    if (jump) {
      this.#jump(groups);
      return;
    }
    const made = this.#pick(groups);
    if (made !== undefined) this.#instructions.push(made);
  }

  /** An instruction; keeps the account of undefined flags. */
  #pick(groups: readonly string[]): Instruction | undefined {
    const { random } = this;
    const group = this.generator.groups.get(groups[random.below(groups.length)] as string);
    const forms = this.#mode === 64 ? group?.long : group?.narrow;
    if (forms === undefined || forms.length === 0) return undefined;
    return this.#encode(forms[random.below(forms.length)] as Form);
  }

  #encode(form: Form): Instruction | undefined {
    const { random, insn } = this;
    const name = form.mnemonics[0] as string;
    // What follows such a result would spread its last bit; and it must not trap.
    if (/^(x87|MMX)/.test(groupOf(form)) && this.#transcendental) return undefined;
    const transcendental = TRANSCENDENTAL.test(name);
    if (transcendental && !this.#canBeInexact()) return undefined;
    const encoded = encode(form, {
      below: (n) => random.below(n),
      code: this.#mode,
      registers: this.#registers,
      pointers: this.#pointers,
      indexes: this.#indexes,
      absolute: () => Number(address(random) & 0x7fffffffn),
      sizes: this.#mode === 64 ? [16, 32, 64] : [16, 32],
      memory: 45,
      lock: 20,
    });
    const bytes = [...encoded.bytes];
    const string = /^(MOVS|CMPS|STOS|LODS|SCAS)$/.test(name) && form.encoding.map === 0;
    let repeated = false;
    if (string) {
      if (this.#instructions.length === 0 || random.below(3) === 0) this.#aimStrings();
      if (random.below(2) === 0) {
        bytes.unshift(random.below(2) === 0 ? 0xf3 : 0xf2);
        repeated = true;
      }
    }
    if (/GATHER/.test(name) && encoded.memory !== undefined) this.#aimGather(encoded.memory.index);
    if (this.#mode === 64 && random.below(16) === 0 && !(string && random.below(4) > 0))
      bytes.unshift([0x67, 0x2e, 0x3e, 0x64, 0x65, 0x36, 0x26][random.below(7)] as number);
    if (random.below(150) === 0 && bytes[0] !== 0xf0) bytes.unshift(0xf0);
    if (bytes.length > 15) return undefined;
    const mode = this.#mode === 64 ? MODE64 : MODE32;
    if (this.generator.decoder.decode(insn, Uint8Array.from(bytes), 0, bytes.length, mode) !== Decoded.ok)
      return undefined;
    const byCl = form.operands.some((o) => o.text === 'CL');
    const mask = insn.opSize === 64 ? 63 : 31;
    const count = byCl ? -1 : form.immediates.length > 0 ? insn.imm & mask : 1;
    if (undefinedResult(name, insn.opSize, count)) return undefined;
    const effect = flagEffect(name, count, insn.size, repeated);
    if ((effect.reads & this.#undefined) !== 0) return undefined;
    this.#undefined = (this.#undefined & ~effect.defines) | effect.undefined;
    this.#everUndefined |= this.#undefined;
    if (transcendental) this.#transcendental = true;
    return { text: form.row[1], bytes, group: groupOf(form), undefinedAfter: this.#undefined };
  }

  /** PE is masked, and nothing before changed the control word. */
  #canBeInexact(): boolean {
    if ((this.#view.getUint16(IN.xsave + XSAVE.fcw, true) & 0x20) === 0) return false;
    return this.#counter < 0 && !this.#instructions.some((i) => /FLDCW/.test(i.text));
  }

  #aimStrings(): void {
    if (this.#instructions.length > 0) return;
    const { random } = this;
    for (const reg of [6, 7]) this.#set(reg, BigInt(DATA + 0x1000 - 128 + random.below(256)));
    this.#set(1, BigInt(random.below(24)));
    if (random.below(2) === 0)
      this.#input.fill(random.below(4), IN.window + 8 * random.below(16), IN.window + 8 * (16 + random.below(16)));
  }

  /** Small indexes in the vector register that a gather takes them from. */
  #aimGather(index: number): void {
    if (index < 0 || this.#instructions.length > 0) return;
    const { random } = this;
    const wide = random.below(2) === 0;
    for (const at of [IN.xsave + XSAVE.xmm + 16 * index, IN.xsave + XSAVE.ymm + 16 * index])
      for (let n = 0; n < 16; n += wide ? 8 : 4)
        if (wide) this.#view.setBigInt64(at + n, BigInt(random.below(16) - 8), true);
        else this.#view.setInt32(at + n, random.below(16) - 8, true);
  }

  /** A jump over some instructions, or a loop of them. */
  #jump(groups: readonly string[]): void {
    const { random } = this;
    const before = this.#undefined;
    const body: Instruction[] = [];
    const length = 1 + random.below(3);
    if (this.#counter >= 0 && random.below(2) === 0) {
      // The second time round the body starts with the flags it ended with: it must define what it reads.
      this.#undefined = FLAG.CF | FLAG.PF | FLAG.AF | FLAG.ZF | FLAG.SF | FLAG.OF;
      for (let n = 0; n < length; n++) {
        const made = this.#pick(groups);
        if (made !== undefined) body.push(made);
      }
      if (body.length === 0 || this.#transcendental) {
        this.#undefined = before;
        if (this.#transcendental) this.#instructions.push(...body);
        return;
      }
      const c = this.#counter & 7;
      const bytes = body.reduce((sum, i) => sum + i.bytes.length, 0);
      // dec r; jnz: leaves all but CF defined.
      this.#undefined &= FLAG.CF;
      this.#instructions.push(
        ...body,
        {
          text: `DEC R${this.#counter}`,
          bytes: [0x49, 0xff, 0xc8 | c],
          group: 'jump',
          undefinedAfter: this.#undefined,
        },
        { text: 'JNZ', bytes: [0x75, (-bytes - 5) & 0xff], group: 'jump', undefinedAfter: this.#undefined },
      );
      this.#counter = -1;
      return;
    }
    const kind = random.below(5);
    if (kind < 3 && (this.#undefined & JUMP_READS) !== 0) return;
    if (kind === 4 && [...this.#pointers, ...this.#indexes].includes(1)) return;
    for (let n = 0; n < length; n++) {
      const made = this.#pick(groups);
      if (made !== undefined) body.push(made);
    }
    // Either way may have been taken.
    this.#undefined |= before;
    const bytes = body.reduce((sum, i) => sum + i.bytes.length, 0);
    if (bytes > 120) return;
    const jump =
      kind < 2
        ? { text: 'Jcc Jb', bytes: [0x70 | random.below(16), bytes] }
        : kind === 2
          ? { text: 'Jcc Jz', bytes: [0x0f, 0x80 | random.below(16), bytes, 0, 0, 0] }
          : kind === 3
            ? random.below(2) === 0
              ? { text: 'JMP Jb', bytes: [0xeb, bytes] }
              : { text: 'CALL Jz', bytes: [0xe8, bytes, 0, 0, 0] }
            : { text: 'JCXZ or LOOP', bytes: [random.below(2) === 0 ? 0xe3 : 0xe2, bytes] };
    this.#instructions.push({ ...jump, group: 'jump', undefinedAfter: this.#undefined }, ...body);
  }
}
