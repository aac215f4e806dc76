/** What an access fault has to know of the instruction at the pc: looked at again, as only these rare cases need it. */
import { fetchHost } from '../core/memory';
import { VCPU_FAULT_ADDRESS, VCPU_FAULT_PENDING } from '../generated/layout';
import { SEG_CS } from '../generated/x86';
import { getPc, is64, reg, segBase } from './cpu';

/** Error code of #GP for an address that is not canonical, until it is delivered: it may have to be #SS. */
export const NOT_CANONICAL: u32 = 0x10000;

/** `faultingInstruction`: its operand is in the stack segment; it waits for pending x87 errors. */
export const IN_STACK: u32 = 1;
export const WAITS: u32 = 2;

const RSP: u32 = 4;
let next: u64 = 0;

/** The next byte of code. All of it was fetched before, so it is there. */
function byte(cpu: usize): u32 {
  const host = fetchHost(cpu, next++);
  return host > 1 ? load<u8>(host) : 0;
}

/** Is the address that faulted where the stack pointer is? */
function atStack(cpu: usize): u32 {
  const distance = <i64>(load<u64>(cpu + VCPU_FAULT_ADDRESS) - reg(cpu, RSP));
  return distance >= -64 && distance <= 64 ? IN_STACK : 0;
}

/** Opcodes of the first map that use the stack and have no ModRM byte. */
function usesStack(opcode: u32, long: bool): bool {
  if ((opcode & 0xf0) === 0x50 || opcode === 0xe8) return true;
  if (opcode === 0x68 || opcode === 0x6a || opcode === 0x9c || opcode === 0x9d) return true;
  if (!long && ((opcode & 0xe6) === 0x06 || opcode === 0x60 || opcode === 0x61)) return true;
  return opcode === 0xc2 || opcode === 0xc3 || (opcode >= 0xc8 && opcode <= 0xcb) || opcode === 0xcf;
}

/** IN_STACK and WAITS, of the instruction at the pc. */
export function faultingInstruction(cpu: usize): u32 {
  const pending = load<u32>(cpu + VCPU_FAULT_PENDING);
  const result = inspect(cpu);
  store<u32>(cpu + VCPU_FAULT_PENDING, pending);
  return result;
}

function inspect(cpu: usize): u32 {
  const long = is64(cpu);
  next = long ? getPc(cpu) : (getPc(cpu) + segBase(cpu, SEG_CS)) & 0xffffffff;
  let based = false; // in another segment
  let stack = false; // in SS by its prefix
  let extended = false; // REX.B
  let opcode = byte(cpu);
  for (let prefixes = 0; prefixes < 14; prefixes++) {
    if (opcode === 0x64 || opcode === 0x65) based = true;
    else if (!long && (opcode & 0xe7) === 0x26) {
      stack = opcode === 0x36;
      based = !stack;
    } else if (long && (opcode & 0xf0) === 0x40) extended = (opcode & 1) !== 0;
    else if (
      (opcode & 0xe7) !== 0x26 &&
      opcode !== 0x66 &&
      opcode !== 0x67 &&
      opcode !== 0xf0 &&
      opcode !== 0xf2 &&
      opcode !== 0xf3
    )
      break;
    opcode = byte(cpu);
  }
  let modrm: u32;
  if ((opcode & 0xf8) === 0xd8) {
    modrm = byte(cpu);
    const operation = (modrm >> 3) & 7;
    // FNSTENV, FNSTCW, FNSAVE and FNSTSW do not wait.
    const quiet = (opcode === 0xd9 || opcode === 0xdd) && operation >= 6;
    return (quiet ? 0 : WAITS) | (stack ? IN_STACK : based ? 0 : operandInStack(cpu, modrm, extended));
  }
  if (opcode === 0xc4 || opcode === 0xc5) {
    const first = byte(cpu);
    if (!long && first < 0xc0) return stack ? IN_STACK : based ? 0 : operandInStack(cpu, first, false); // LES, LDS
    extended = long && opcode === 0xc4 && (first & 0x20) === 0;
    if (opcode === 0xc4) byte(cpu);
    byte(cpu);
  } else if (opcode === 0x0f) {
    opcode = byte(cpu);
    if ((opcode & 0xf6) === 0xa0) return IN_STACK; // PUSH and POP of FS and GS
    if (opcode === 0x38 || opcode === 0x3a) byte(cpu);
  } else {
    if (usesStack(opcode, long)) return IN_STACK;
    if ((opcode >= 0xa0 && opcode <= 0xaf) || opcode === 0xd7) return stack ? IN_STACK : 0; // string and table operands
  }
  modrm = byte(cpu);
  // PUSH, POP and CALL of an operand have the stack as well.
  if (opcode === 0x8f || (opcode === 0xff && (((modrm >> 3) & 7) === 6 || ((modrm >> 3) & 7) === 2))) {
    if (modrm >= 0xc0) return IN_STACK;
    const there = atStack(cpu);
    if (there) return there;
  }
  if (stack) return IN_STACK;
  return based ? 0 : operandInStack(cpu, modrm, extended);
}

/** IN_STACK when the base register is RSP or RBP. */
function operandInStack(cpu: usize, modrm: u32, extended: bool): u32 {
  const mod = modrm >> 6;
  if (mod === 3 || extended) return 0;
  const rm = modrm & 7;
  const base = rm === 4 ? byte(cpu) & 7 : rm;
  return base === 4 || (base === 5 && mod !== 0) ? IN_STACK : 0;
}
