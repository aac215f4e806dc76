/**
 * The one table of IR ops.
 *
 * An op is 16 bytes in linear memory, the same bytes for the interpreter, the passes and the region compiler:
 *
 *     0      2      4      6      8          12
 *     | op   | dst  | a    | b    | imm(i32) | aux(u32) |      ("movi" uses bytes 8..15 as one i64 immediate)
 *
 * The op's number is byte 0. Byte 1 is the interpreter's (fusion.ts), 0 until a block is stored.
 *
 * `dst`, `a`, `b` are *slots*: 64-bit cells of the vCPU state, numbered from the state's start (byte offset / 8).
 * Guest registers and temporaries are slots alike; every value is 64 bits wide. Ops whose name ends in `32` work on the
 * low halves and leave a zero-extended result. Vector ops take the slot number of a 16-byte aligned state field.
 *
 * Order within a block is program order. Control flow inside a block is forward only: the `if_*` ops skip the next
 * `skip` ops (their body) when the condition is false. A body may end in a terminator. Every block ends in a terminator.
 *
 * Precise faults: an op of effect `fault` carries in `aux` bits 0..15 the offset of its guest instruction from the
 * block's first byte. A guest instruction changes guest-visible slots only after the last of its ops that may fault, so
 * it can always be started again.
 */

export type OpFormat =
  | 'none'
  | 'd' //  dst
  | 'da' //  dst, a
  | 'dab' //  dst, a, b
  | 'di' //  dst, imm
  | 'dI' //  dst, imm64
  | 'dai' //  dst, a, imm
  | 'dabi' //  dst, a, b, imm
  | 'dabx' //  dst, a, b, imm, aux
  | 'ab' //  a, b
  | 'a' //  a
  | 'ai' //  a, imm
  | 'abi' //  a, b, imm
  | 'ldm' //  dst, [a + imm], aux = instruction offset
  | 'stm' //  [a + imm], b, aux = instruction offset
  | 'if1' //  a, imm = skip
  | 'if2' //  a, b, imm = skip
  | 'ifi' //  a, imm = comparand, aux = skip
  | 'call' //  dst, a, b, imm, aux = helper << 16 | instruction offset
  | 'goto' //  imm = target offset, dst = GotoKind | PcMask << 4, a|b = chain pointer (u32, runtime only)
  | 'jmp'; //  a = pc slot, imm = JumpKind

export interface OpInfo {
  readonly name: OpName;
  readonly format: OpFormat;
  /** `pure`: result depends on operands only. `fault`: may raise a guest fault. `end`: terminator. `state`: touches vCPU state by byte offset. */
  readonly effect: 'pure' | 'fault' | 'end' | 'state' | 'if' | 'call';
  readonly doc: string;
}

const BINARY = ['add', 'sub', 'mul', 'and', 'or', 'xor', 'shl', 'shr', 'sar', 'rotl', 'rotr'] as const;
export const CONDS = ['eq', 'ne', 'ltu', 'geu', 'leu', 'gtu', 'lts', 'ges', 'les', 'gts', 'tsteq', 'tstne'] as const;
export type Cond = (typeof CONDS)[number];

export type OpName =
  | 'nop'
  | 'movi'
  | 'mov'
  | 'ext8h'
  | 'dep8'
  | 'dep8h'
  | 'dep16'
  | `ext${8 | 16 | 32}${'u' | 's'}`
  | `${(typeof BINARY)[number]}${'' | 'i' | '32' | 'i32'}`
  | 'lea'
  | 'lea32'
  | 'mulhu'
  | 'mulhs'
  | 'divu'
  | 'divs'
  | 'not'
  | 'neg'
  | 'not32'
  | 'neg32'
  | 'clz'
  | 'clz32'
  | 'ctz'
  | 'ctz32'
  | 'popcnt'
  | 'bswap'
  | 'bswap32'
  | `${'set' | 'if'}_${Cond}${'' | 'i'}${'' | '32'}`
  | 'sel'
  | `ld${8 | 16 | 32}${'u' | 's'}`
  | 'ld64'
  | `ldm${8 | 16 | 32 | 64}`
  | `st${8 | 16 | 32 | 64}`
  | `${'ld' | 'st'}${128 | 256}${'' | 'a'}`
  | 'probew'
  | `env_ld${8 | 16 | 32}u`
  | `env_st${8 | 16 | 32}`
  | 'pcrel'
  | 'flags'
  | 'cond'
  | 'call'
  | 'callf'
  | 'vcall'
  | 'vcallf'
  | 'goto'
  | 'jmp'
  | 'leave'
  | 'exit';

const rows: OpInfo[] = [];
const op = (name: OpName, format: OpFormat, effect: OpInfo['effect'], doc: string): void => {
  rows.push({ name, format, effect, doc });
};

op('nop', 'none', 'pure', 'nothing; passes leave it where an op was removed');
op('movi', 'dI', 'pure', 'dst = imm64');
op('mov', 'da', 'pure', 'dst = a');
for (const w of ['8', '16', '32'] as const) {
  op(`ext${w}u`, 'da', 'pure', `dst = low ${w} bits of a, zero-extended to 64`);
  op(`ext${w}s`, 'da', 'pure', `dst = low ${w} bits of a, sign-extended to 64`);
}
op('ext8h', 'da', 'pure', 'dst = bits 8..15 of a, zero-extended');
op('dep8', 'dab', 'pure', 'dst = a with bits 0..7 from b');
op('dep8h', 'dab', 'pure', 'dst = a with bits 8..15 from b bits 0..7');
op('dep16', 'dab', 'pure', 'dst = a with bits 0..15 from b');

for (const n of BINARY) {
  op(n, 'dab', 'pure', `64-bit ${n}; shift counts modulo 64`);
  op(`${n}i`, 'dai', 'pure', `64-bit ${n} with sign-extended imm`);
  op(`${n}32`, 'dab', 'pure', `32-bit ${n}, result zero-extended; shift counts modulo 32`);
  op(`${n}i32`, 'dai', 'pure', `32-bit ${n} with imm, result zero-extended`);
}
op('lea', 'dabx', 'pure', 'dst = a + (b << aux) + imm');
op('lea32', 'dabx', 'pure', 'dst = zero-extended low 32 bits of a + (b << aux) + imm');
op('mulhu', 'dab', 'pure', 'dst = high 64 bits of the unsigned 128-bit product');
op('mulhs', 'dab', 'pure', 'dst = high 64 bits of the signed 128-bit product');
op('divu', 'dab', 'pure', 'dst = a / b, unsigned; 0 for b counts as 1');
op('divs', 'dab', 'pure', 'dst = a / b, signed, cut; 0 and -1 for b count as 1');
for (const n of ['not', 'neg'] as const) {
  op(n, 'da', 'pure', `64-bit ${n}`);
  op(`${n}32`, 'da', 'pure', `32-bit ${n}, result zero-extended`);
}
op('clz', 'da', 'pure', 'leading zeros of 64 bits (64 for zero)');
op('clz32', 'da', 'pure', 'leading zeros of 32 bits (32 for zero)');
op('ctz', 'da', 'pure', 'trailing zeros of 64 bits (64 for zero)');
op('ctz32', 'da', 'pure', 'trailing zeros of 32 bits (32 for zero)');
op('popcnt', 'da', 'pure', 'set bits of 64');
op('bswap', 'da', 'pure', 'reverse 8 bytes');
op('bswap32', 'da', 'pure', 'reverse the low 4 bytes, zero-extended');

for (const w of ['', '32'] as const) {
  for (const c of CONDS) {
    const text = c.startsWith('tst') ? `(a & b) ${c === 'tsteq' ? '==' : '!='} 0` : `a ${c} b`;
    op(`set_${c}${w}`, 'dab', 'pure', `dst = ${text} ? 1 : 0${w ? ' on the low 32 bits' : ''}`);
    op(`set_${c}i${w}`, 'dai', 'pure', `the same with sign-extended imm for b`);
    op(`if_${c}${w}`, 'if2', 'if', `skip the next imm ops unless ${text}`);
    op(`if_${c}i${w}`, 'ifi', 'if', `the same with sign-extended imm for b; aux = ops to skip`);
  }
}
op('sel', 'dabi', 'pure', 'dst = a != 0 ? b : slot[imm]');

for (const w of ['8u', '8s', '16u', '16s', '32u', '32s', '64'] as const) {
  op(`ld${w}`, 'ldm', 'fault', `dst = guest memory at linear address a + imm`);
}
for (const w of ['8', '16', '32', '64'] as const) {
  op(`ldm${w}`, 'ldm', 'fault', `zero-extending load that needs write permission (read-modify-write)`);
}
for (const w of ['8', '16', '32', '64'] as const)
  op(`st${w}`, 'stm', 'fault', `guest memory at linear address a + imm = low bits of b`);
op('ld128', 'ldm', 'fault', 'vector field at slot dst (16 bytes) = guest memory at a + imm');
op('ld128a', 'ldm', 'fault', 'the same; a misaligned address raises the guest fault for it');
op('st128', 'stm', 'fault', 'guest memory at a + imm = vector field at slot b (16 bytes)');
op('st128a', 'stm', 'fault', 'the same; a misaligned address raises the guest fault for it');
op('ld256', 'ldm', 'fault', 'vector field at slot dst (32 bytes) = guest memory at a + imm');
op('ld256a', 'ldm', 'fault', 'the same; a misaligned address raises the guest fault for it');
op('st256', 'stm', 'fault', 'guest memory at a + imm = vector field at slot b (32 bytes)');
op('st256a', 'stm', 'fault', 'the same; a misaligned address raises the guest fault for it');
op(
  'probew',
  'abi',
  'fault',
  'fault unless b (a count, not a slot) bytes at a + imm can be written; aux = instruction offset',
);

op('env_ld8u', 'di', 'state', 'dst = vCPU state byte at offset imm');
op('env_ld16u', 'di', 'state', 'dst = vCPU state u16 at offset imm');
op('env_ld32u', 'di', 'state', 'dst = vCPU state u32 at offset imm');
op('env_st8', 'ai', 'state', 'vCPU state byte at offset imm = a');
op('env_st16', 'ai', 'state', 'vCPU state u16 at offset imm = a');
op('env_st32', 'ai', 'state', 'vCPU state u32 at offset imm = a');

op('pcrel', 'dabx', 'pure', 'dst = mask(block pc + imm); aux = PcMask; a and b unused');
op(
  'flags',
  'abi',
  'pure',
  'flagRes = slot a, flagSrc = slot b, flagOp = imm (the lazy-flags triple of the vCPU header)',
);
op(
  'cond',
  'di',
  'pure',
  'dst = guest condition imm of the lazy flags, 0 or 1 (x86: imm >= 16: all lazy flags as EFLAGS bits); reads the slots FLAG_OP, FLAG_RES, FLAG_SRC, FLAG_SRC2 (runtime: flagCondition in <guest>/flags)',
);

op('call', 'call', 'call', 'dst = helper(cpu, slot a, slot b, imm); a helper of kind pure');
op('callf', 'call', 'call', 'the same for a helper that may touch any state and may raise a fault');
op('vcall', 'call', 'call', 'vector helper(cpu, &dst, &a, &b, imm): touches only fields from VECTOR_BASE on');
op('vcallf', 'call', 'call', 'the same for a vector helper that may raise a fault');

op('goto', 'goto', 'end', 'continue at mask(block pc + imm); chainable when the target is in the same page');
op('jmp', 'jmp', 'end', 'continue at pc = slot a');
op('leave', 'none', 'end', 'continue at the pc already in the header, after re-reading mode and pending requests');
op('exit', 'ai', 'end', 'leave the run loop with reason imm; the pc is already in the header; a unused');

/** All ops; an op's code is its index. */
export const OPS: readonly OpInfo[] = rows;
/** Code by name. */
export const OP: Readonly<Record<OpName, number>> = Object.fromEntries(rows.map((r, i) => [r.name, i])) as Record<
  OpName,
  number
>;

export const OP_BYTES = 16;
/** Of an op's first word: its number. */
export const OP_MASK = 0xff;
/** What a pc is cut to after an addition: 16-bit ip, 32-bit eip, full 64 bits. */
export const PcMask = { m16: 0, m32: 1, m64: 2 } as const;
/** `goto` hints for the region former. For `call` the return address is the block's end. */
export const GotoKind = { jump: 0, call: 1 } as const;
/** `jmp` hints. */
export const JumpKind = { jump: 0, call: 1, ret: 2 } as const;
/** Why the run loop returned (also `exit`'s imm). */
export const ExitReason = { request: 0, halt: 1, shutdown: 2, debug: 3, yield: 4, badCode: 5 } as const;
