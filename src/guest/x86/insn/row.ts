/**
 * The form of an instruction: one row carries encoding, assembly text, CPUID feature and meaning.
 *
 * `encoding`, in the SDM's notation, words separated by spaces:
 * - mandatory prefix `NP` (none of 66 F3 F2), `66`, `F3`, `F2`; without one, any prefix will do (a row with one wins).
 * - `REX.W` (needs W = 1; `W0` needs W = 0), or `VEX.<128|256|LIG|LZ>.<NP|66|F3|F2>.<0F|0F38|0F3A>.<W0|W1|WIG>`.
 * - opcode bytes with their escapes (`0F 38 F0`); `50+r`: the low three bits of the byte are a register number.
 * - ModRM: `/r`, or `/0` .. `/7`, or a whole byte (`0F 01 C1`), or `C0+i` (its low three bits a register number).
 *   Immediates are not written here, they follow from the operands.
 * - `i64`: not in 64-bit mode. `o64`: only there. `d64`: operand size 64 by default there, `f64`: always.
 *   `LOCK`: may be locked when its first operand is memory. `modreg`: mod is taken as 3 whatever it is.
 *   `byaddr`: the mnemonic's alternatives go by address size.
 *
 * `assembly`: mnemonic, a space, operands separated by commas; `A|B|C`: the names at operand size 16, 32, 64. Operands are
 * the SDM's appendix A codes: an addressing letter and a size, or a register's name, or a number. Letters:
 *   A far pointer in the instruction, B general register in VEX.vvvv, C control register, D debug register,
 *   E general register or memory, G general register, H vector register in VEX.vvvv, I immediate (J relative jump),
 *   L vector register in imm8[7:4], M memory, N MMX register in rm, O memory at an offset, P MMX register, Q MMX register
 *   or memory, R general register in rm, S segment register, T x87 ST(i) in rm, U vector register in rm, V vector
 *   register, W vector register or memory, X/Y string operand at rSI/rDI, Z general register in the opcode.
 * M takes memory forms only, N R T U register forms only; the others both.
 * Sizes: b w d q t(80 bit) dq(128) qq(256) x(VEX.L) y(32 or 64) z(16 or 32) v(16, 32 or 64), ps pd ss sd as usual,
 * p far pointer, a BOUND pair, s pseudo-descriptor, and none.
 */
import type { Insn } from '../decode.js';
import type { Translator } from '../translator.js';

/** Emits the instruction's IR. Runs after feature, mode and LOCK checks. */
export type Meaning = (t: Translator, i: Insn) => void;

/**
 * `feature`: name of the CPUID feature as in `-cpu` (`sse2`, `bmi1`), '' when every CPU has it; several joined by `,`.
 * Without it the instruction is #UD. Whether the unit is enabled is checked from the feature and operands too (x87: EM, TS;
 * MMX: EM, TS; SSE: EM, OSFXSR, TS; VEX with vector operands: OSXSAVE/XCR0, TS); see `Translator.unitChecks`.
 */
export type Row = readonly [encoding: string, assembly: string, feature: string, meaning: Meaning];
