/**
 * The program around the sequences, in machine code of our own: loads all state from an input record, runs the sequence,
 * saves all state to an output record, also from a signal; at the end writes the output records to standard output.
 */
import { bytesOf, CODE, DATA, DATA_BYTES, IN, MCONTEXT, OUT, WINDOW, WINDOW_BYTES, XSAVE } from './layout.js';

/** Far from everything that a sequence's addresses come near to, all within the reach of RIP-relative operands. */
export const HARNESS = 0x5a5a00000000;
export const VARIABLES = HARNESS + 0x100000;
export const IMAGE = HARNESS + 0x200000;
export const INPUTS = HARNESS + 0x10000000;
export const OUTPUTS = HARNESS + 0x40000000;
/** Variables, by their offsets. */
const AT = { input: 0, output: 8, target: 16, registers: 64, action: 256, altstack: 320, stackTop: 0x8000 } as const;
const ALTERNATE = 0x10000;
const ALTERNATE_BYTES = 0x20000;
export const VARIABLES_BYTES = ALTERNATE + ALTERNATE_BYTES;
const SYSCALL = { write: 1, rt_sigaction: 13, exit: 60, sigaltstack: 131 } as const;
/** SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV. */
const SIGNALS = [4, 5, 7, 8, 11];
const SA = 4 | 0x04000000 | 0x08000000 | 0x40000000; // SIGINFO, RESTORER, ONSTACK, NODEFER
/** Registers by number in the encoding. */
const [RAX, RCX, RDX, RBX, RSP, RSI, RDI, R8] = [0, 1, 2, 3, 4, 6, 7, 8] as const;

class Code {
  readonly bytes: number[] = [];
  readonly #fixes: { at: number; label: string; size: 1 | 4 }[] = [];
  readonly #labels = new Map<string, number>();
  constructor(readonly origin: number) {}
  raw(...bytes: number[]): void {
    this.bytes.push(...bytes);
  }
  u32(value: number): void {
    for (let n = 0; n < 4; n++) this.raw((value >>> (8 * n)) & 0xff);
  }
  label(name: string): void {
    this.#labels.set(name, this.bytes.length);
  }
  address(label: string): number {
    return this.origin + (this.#labels.get(label) as number);
  }
  /** An instruction with a 64-bit RIP-relative operand; `after` bytes of immediate follow. */
  rip(opcode: readonly number[], reg: number, target: number, after = 0, wide = true): void {
    if (wide || reg > 7) this.raw((wide ? 0x48 : 0x40) | ((reg >> 3) << 2));
    this.raw(...opcode, ((reg & 7) << 3) | 5);
    this.u32(target - (this.origin + this.bytes.length + 4 + after));
  }
  load(reg: number, target: number): void {
    this.rip([0x8b], reg, target);
  }
  store(target: number, reg: number): void {
    this.rip([0x89], reg, target);
  }
  lea(reg: number, target: number): void {
    this.rip([0x8d], reg, target);
  }
  /** mov r32, imm32 (registers below 8). */
  set(reg: number, value: number): void {
    this.raw(0xb8 + reg);
    this.u32(value);
  }
  /** mov reg, [base + disp32]. */
  loadFrom(reg: number, base: number, disp: number): void {
    this.raw(0x48 | ((reg >> 3) << 2), 0x8b, 0x80 | ((reg & 7) << 3) | base);
    this.u32(disp);
  }
  jump(opcode: readonly number[], label: string): void {
    this.raw(...opcode);
    this.#fixes.push({ at: this.bytes.length, label, size: 4 });
    this.u32(0);
  }
  finish(): Uint8Array {
    const out = Uint8Array.from(this.bytes);
    const view = new DataView(out.buffer);
    for (const f of this.#fixes) view.setInt32(f.at, (this.#labels.get(f.label) as number) - (f.at + 4), true);
    return out;
  }
}

const JMP = [0xe9];
const JE = [0x0f, 0x84];
const REP_MOVSQ = [0xf3, 0x48, 0xa5];
const syscall = (c: Code, number: number): void => {
  c.set(RAX, number);
  c.raw(0x0f, 0x05);
};

export interface Harness {
  readonly code: Uint8Array;
  readonly variables: Uint8Array;
  /** Where a sequence jumps at its end. */
  readonly leave: number;
}

export function buildHarness(count: number): Harness {
  const c = new Code(HARNESS);
  const v = (offset: number): number => VARIABLES + offset;
  c.lea(RSP, v(AT.stackTop));
  c.lea(RDI, v(AT.altstack));
  c.raw(0x31, 0xf6); // xor esi, esi
  syscall(c, SYSCALL.sigaltstack);
  for (const signal of SIGNALS) {
    c.set(RDI, signal);
    c.lea(RSI, v(AT.action));
    c.raw(0x31, 0xd2, 0x41, 0xba); // xor edx, edx; mov r10d, 8
    c.u32(8);
    syscall(c, SYSCALL.rt_sigaction);
  }
  // The page that is only to be read must be there, or writes to it find no page at all.
  c.raw(0x8b, 0x04, 0x25); // mov eax, [imm32]
  c.u32(DATA + DATA_BYTES);
  // Data segments for the 32-bit sequences.
  c.set(RAX, 0x2b);
  c.raw(0x8e, 0xd8, 0x8e, 0xc0); // mov ds, eax; mov es, eax
  c.label('next');
  c.load(RBX, v(AT.input));
  c.lea(RAX, INPUTS + count * IN.bytes);
  c.raw(0x48, 0x39, 0xc3); // cmp rbx, rax
  c.jump(JE, 'done');
  c.lea(RSI, IMAGE);
  c.set(RDI, DATA);
  c.set(RCX, DATA_BYTES / 8);
  c.raw(...REP_MOVSQ);
  c.raw(0x48, 0x8d, 0xb3); // lea rsi, [rbx + window]
  c.u32(IN.window);
  c.set(RDI, DATA + WINDOW);
  c.set(RCX, WINDOW_BYTES / 8);
  c.raw(...REP_MOVSQ);
  c.set(RAX, 7);
  c.raw(0x31, 0xd2, 0x0f, 0xae, 0xab); // xor edx, edx; xrstor [rbx + xsave]
  c.u32(IN.xsave);
  c.loadFrom(RAX, RBX, IN.entry);
  c.store(v(AT.target), RAX);
  c.raw(0x48, 0x8d, 0xa3); // lea rsp, [rbx + flags]
  c.u32(IN.flags);
  c.raw(0x9d); // popfq
  for (let n = 0; n < 16; n++) if (n !== RBX) c.loadFrom(n, RBX, IN.gpr + n * 8);
  c.loadFrom(RBX, RBX, IN.gpr + RBX * 8);
  c.rip([0xff], 5, v(AT.target), 0, false); // jmp far [target]: offset and selector
  c.label('leave');
  for (let n = 0; n < 16; n++) c.store(v(AT.registers) + n * 8, n);
  c.lea(RSP, v(AT.registers) + 136);
  c.raw(0x9c, 0xfc); // pushfq to just behind the registers; cld
  c.lea(RSP, v(AT.stackTop));
  c.load(RDI, v(AT.output));
  c.lea(RSI, v(AT.registers));
  c.set(RCX, 17);
  c.raw(...REP_MOVSQ);
  c.load(RDI, v(AT.output));
  c.set(RAX, 7);
  c.raw(0x31, 0xd2, 0x0f, 0xae, 0xa7); // xor edx, edx; xsave [rdi + xsave]
  c.u32(OUT.xsave);
  c.jump(JMP, 'finish');
  c.label('signal');
  c.lea(RSP, v(AT.stackTop));
  c.raw(0xfc);
  c.load(R8, v(AT.output));
  c.raw(0x48, 0x8d, 0x72, 40, 0x4c, 0x89, 0xc7); // lea rsi, [rdx + uc_mcontext]; mov rdi, r8
  c.set(RCX, MCONTEXT.bytes / 8);
  c.raw(...REP_MOVSQ);
  c.raw(0x48, 0xc7, 0x07); // mov qword [rdi], 1
  c.u32(1);
  c.loadFrom(RSI, RDX, 40 + MCONTEXT.bytes); // fpstate
  c.raw(0x49, 0x8d, 0xb8); // lea rdi, [r8 + xsave]
  c.u32(OUT.xsave);
  c.set(RCX, XSAVE.bytes / 8);
  c.raw(...REP_MOVSQ);
  c.label('finish');
  c.load(RDI, v(AT.output));
  c.raw(0x48, 0x81, 0xc7); // add rdi, memory
  c.u32(OUT.memory);
  c.set(RSI, DATA);
  c.set(RCX, DATA_BYTES / 8);
  c.raw(...REP_MOVSQ);
  c.store(v(AT.output), RDI);
  c.rip([0x81], 0, v(AT.input), 4); // add [input], bytes
  c.u32(IN.bytes);
  c.jump(JMP, 'next');
  c.label('done');
  c.lea(RSI, OUTPUTS);
  c.label('write');
  c.load(RDX, v(AT.output));
  c.raw(0x48, 0x29, 0xf2); // sub rdx, rsi: what is left
  c.jump(JE, 'exit');
  c.set(RDI, 1);
  syscall(c, SYSCALL.write);
  c.raw(0x48, 0x01, 0xc6, 0x48, 0x85, 0xc0); // add rsi, rax; test rax, rax
  c.jump([0x0f, 0x8f], 'write'); // jg
  c.label('exit');
  c.raw(0x31, 0xff); // xor edi, edi
  syscall(c, SYSCALL.exit);
  const variables = new Uint8Array(ALTERNATE);
  const view = new DataView(variables.buffer);
  const set = (at: number, value: number): void => view.setBigUint64(at, BigInt(value), true);
  set(AT.input, INPUTS);
  set(AT.output, OUTPUTS);
  set(AT.action, c.address('signal'));
  set(AT.action + 8, SA);
  set(AT.action + 16, c.address('exit')); // the restorer, never come to
  set(AT.altstack, VARIABLES + ALTERNATE);
  set(AT.altstack + 16, ALTERNATE_BYTES);
  return { code: c.finish(), variables, leave: c.address('leave') };
}

/** The first bytes at CODE: the address to leave through, and the 64-bit code that 32-bit code leaves by. */
export function codePrologue(leave: number): Uint8Array {
  const bytes = new Uint8Array(0x40).fill(0xf4);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(leave), true);
  bytes.set([0xff, 0x24, 0x25, ...bytesOf(CODE)], 0x10);
  return bytes;
}
