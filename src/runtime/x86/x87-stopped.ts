/**
 * The end of an x87 store that an unmasked exception stops: nothing is stored, and the instruction is over with the exception
 * pending. On Intel's processors that comes before all that is wrong with the memory operand: they do not look at it. So when such
 * an operand faults, the instruction is decoded once more, here, to see what it is. On AMD's its fault comes first.
 */
import { fetchHost } from '../core/memory';
import { clearFlags } from '../float/control';
import {
  VCPU_FAULT_ADDRESS,
  VCPU_FAULT_CODE,
  VCPU_FAULT_PENDING,
  VCPU_FAULT_VECTOR,
  VCPU_MODE,
} from '../generated/layout';
import {
  MODE_CS_LIMIT,
  MODE_CS32,
  MODE_CS64,
  SEG_CS,
  SEG_DS,
  SEG_FS,
  SEG_GS,
  SEG_SS,
  X86_FCW,
  X86_FDP,
  X86_FIP,
  X86_FSW,
  X86_VTEMP,
} from '../generated/x86';
import { AC, GP, getPc, isIntel, PF, reg, SS, segBase, segLimit, setPc } from './cpu';
import { ES, noteOpcode, noteSegment } from './x87-state';
import {
  isStopped,
  putDecimal,
  putDouble,
  putExtended,
  putInteger,
  putSingle,
  report,
  STOPPING,
  STORE_STOPPED,
} from './x87-store';

const RBX: u32 = 3;
const RSP: u32 = 4;
const RBP: u32 = 5;
const RSI: u32 = 6;
const RDI: u32 = 7;
const REX_X: u32 = 2;
const REX_B: u32 = 1;
const LONGEST: u64 = 15;

/** Linear address of the next byte of code; set once one could not be read. */
let next: u64 = 0;
let lost = false;

// What `decode` found: the x87 opcode's three bits with the ModRM byte below, the operand's segment and effective address.
let opcode: u32 = 0;
let segment: u32 = 0;
let effective: u64 = 0;

function byte(cpu: usize): u32 {
  const host = fetchHost(cpu, next++);
  if (host > 1) return load<u8>(host);
  lost = true;
  return 0;
}
/** A displacement of so many bytes. */
function displacement(cpu: usize, bytes: u32): u64 {
  let value: u64 = 0;
  for (let i: u32 = 0; i < bytes; i++) value |= (<u64>byte(cpu)) << (8 * i);
  const unused: u64 = 64 - 8 * bytes;
  return bytes === 0 ? 0 : <u64>(<i64>(value << unused) >> unused);
}

function operand16(cpu: usize, modrm: u32): void {
  const mod = modrm >> 6;
  const rm = modrm & 7;
  if (mod === 0 && rm === 6) effective = displacement(cpu, 2) & 0xffff;
  else {
    // BX+SI, BX+DI, BP+SI, BP+DI, SI, DI, BP, BX
    const base = rm === 4 ? RSI : rm === 5 ? RDI : rm === 7 || rm < 2 ? RBX : RBP;
    const index = rm < 4 ? reg(cpu, RSI + (rm & 1)) : 0;
    effective = (reg(cpu, base) + index + displacement(cpu, mod)) & 0xffff;
    if (base === RBP) segment = SEG_SS;
  }
}
function operand(cpu: usize, modrm: u32, rex: u32, long: bool): void {
  const mod = modrm >> 6;
  let base = modrm & 7;
  effective = 0;
  const relative = long && base === 5;
  if (base === 4) {
    const sib = byte(cpu);
    base = sib & 7;
    const index = ((sib >> 3) & 7) | ((rex & REX_X) << 2);
    if (index !== RSP) effective = reg(cpu, index) << (sib >> 6);
  }
  if (mod === 0 && base === 5) {
    effective += displacement(cpu, 4);
    if (relative) effective += next;
    return;
  }
  base |= (rex & REX_B) << 3;
  if (base === RSP || base === RBP) segment = SEG_SS;
  effective += reg(cpu, base) + displacement(cpu, mod === 2 ? 4 : mod);
}

/** Decodes the instruction at the pc; false when it is no x87 one with a memory operand. */
function decode(cpu: usize, mode: u32): bool {
  const long = (mode & MODE_CS64) !== 0;
  let size: u32 = long ? 64 : (mode & MODE_CS32) !== 0 ? 32 : 16;
  let chosen: i32 = -1;
  let rex: u32 = 0;
  let first: u32 = 0;
  const start = next;
  let resized = false;
  for (;;) {
    first = byte(cpu);
    if (lost || next - start > LONGEST) return false;
    if (long && (first & 0xf0) === 0x40) {
      rex = first;
      continue;
    }
    if (first === 0x64) chosen = SEG_FS;
    else if (first === 0x65) chosen = SEG_GS;
    else if ((first & 0xe7) === 0x26) {
      if (!long) chosen = (first >> 3) & 3;
    } else if (first === 0x67) resized = true;
    else if (first !== 0x66 && first !== 0xf2 && first !== 0xf3) break;
    rex = 0;
  }
  if ((first & 0xf8) !== 0xd8) return false;
  const modrm = byte(cpu);
  if (modrm >= 0xc0) return false;
  if (resized) size = size === 32 ? (long ? 32 : 16) : 32;
  segment = SEG_DS;
  if (size === 16) operand16(cpu, modrm);
  else operand(cpu, modrm, rex, long);
  if (size === 32) effective &= 0xffffffff;
  if (chosen >= 0) segment = chosen;
  opcode = ((first & 7) << 8) | modrm;
  return !lost && next - start <= LONGEST;
}

/** Puts ST(0) at `d` as the instruction would; false when it is no store. */
function convert(cpu: usize, d: usize): bool {
  const operation = (opcode >> 3) & 7;
  switch (opcode >> 8) {
    case 1:
      if ((operation & 6) !== 2) return false;
      putSingle(cpu, d);
      return true;
    case 3:
      if (operation === 7) putExtended(cpu, d);
      else if (operation - 1 < 3) putInteger(cpu, d, 1, operation === 1);
      else return false;
      return true;
    case 5:
      if ((operation & 6) === 2) putDouble(cpu, d);
      else if (operation === 1) putInteger(cpu, d, 2, true);
      else return false;
      return true;
    case 7:
      if (operation === 6) putDecimal(cpu, d);
      else if (operation === 7) putInteger(cpu, d, 2, false);
      else if (operation - 1 < 3) putInteger(cpu, d, 0, operation === 1);
      else return false;
      return true;
  }
  return false;
}

/** Is the instruction at the pc a store that is stopped? Then it is done, and the pc behind it. */
function endStore(cpu: usize): bool {
  const mode = load<u32>(cpu + VCPU_MODE);
  const pc = getPc(cpu);
  next = (mode & MODE_CS64) !== 0 ? pc : (segBase(cpu, SEG_CS) + pc) & 0xffffffff;
  const start = next;
  lost = false;
  if (!decode(cpu, mode)) return false;
  const behind = pc + (next - start);
  // What reaches out of its segment faults before it runs.
  if ((mode & MODE_CS_LIMIT) !== 0 && behind - 1 > segLimit(cpu, SEG_CS)) return false;
  clearFlags();
  if (!convert(cpu, cpu + X86_VTEMP) || !isStopped(cpu)) return false;
  report(cpu);
  const imm = (opcode << 16) | (segment << 12);
  noteOpcode(cpu, imm);
  noteSegment(cpu, imm);
  store<u64>(cpu + X86_FIP, pc);
  store<u64>(cpu + X86_FDP, effective);
  const cut: u64 = (mode & MODE_CS64) !== 0 ? <u64>-1 : (mode & MODE_CS32) !== 0 ? 0xffffffff : 0xffff;
  setPc(cpu, behind & cut);
  return true;
}

/** May it be that a fault is one that Intel's processors do not see? */
function mayBeStopped(cpu: usize, vector: u32): bool {
  if ((load<u32>(cpu + X86_FCW) & STOPPING) === STOPPING || (load<u32>(cpu + X86_FSW) & ES) !== 0) return false;
  return (vector === PF || vector === GP || vector === SS || vector === AC) && isIntel(cpu);
}

/**
 * An instruction has left with a fault: true when it was a store that is stopped. There is nothing to deliver then, and the guest
 * goes on at the pc.
 */
export function endStoppedStore(cpu: usize): bool {
  const vector = load<u32>(cpu + VCPU_FAULT_VECTOR);
  const left = vector === STORE_STOPPED;
  if (!left && !mayBeStopped(cpu, vector)) return false;
  const code = load<u32>(cpu + VCPU_FAULT_CODE);
  const address = load<u64>(cpu + VCPU_FAULT_ADDRESS);
  store<u32>(cpu + VCPU_FAULT_PENDING, 0);
  if (endStore(cpu)) return true;
  // The code has changed, or is gone: the instruction starts anew.
  if (left) return load<u32>(cpu + VCPU_FAULT_PENDING) === 0;
  store<u32>(cpu + VCPU_FAULT_PENDING, 1);
  store<u32>(cpu + VCPU_FAULT_VECTOR, vector);
  store<u32>(cpu + VCPU_FAULT_CODE, code);
  store<u64>(cpu + VCPU_FAULT_ADDRESS, address);
  return false;
}
