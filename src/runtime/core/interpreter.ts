/**
 * The cold tier: runs a block's ops one by one, and goes on from block to block inside a page.
 *
 * An op's operands are slots of the vCPU state, so the state in memory is exact after every op.
 */
// hot path

import { callHelper, callVectorHelper } from '../generated/helpers';
import {
  BLOCK_BYTES,
  BLOCK_ENTRY,
  BLOCK_HEAT,
  BLOCK_INSTRUCTIONS,
  BLOCK_SIZE,
  BLOCK_VALID,
  MACHINE_HOT_THRESHOLD,
  MACHINE_ICOUNT,
  VCPU_BLOCK_PC,
  VCPU_EXIT_REQUEST,
  VCPU_FAULT_PENDING,
  VCPU_FLAG_OP,
  VCPU_FLAG_RES,
  VCPU_FLAG_SRC,
  VCPU_FLAG_SRC2,
  VCPU_INSTRUCTION_BUDGET,
  VCPU_INSTRUCTION_COUNT,
  VCPU_MACHINE,
  VCPU_MMU_INDEX,
  VCPU_PC,
  VCPU_STAT_COLD_BLOCKS,
} from '../generated/layout';
import {
  EXIT_YIELD,
  OP_ADD,
  OP_ADD32,
  OP_ADDI,
  OP_ADDI32,
  OP_AND,
  OP_AND32,
  OP_ANDI,
  OP_ANDI32,
  OP_BSWAP,
  OP_BSWAP32,
  OP_CALL,
  OP_CALLF,
  OP_CLZ,
  OP_CLZ32,
  OP_COND,
  OP_CTZ,
  OP_CTZ32,
  OP_DEP8,
  OP_DEP8H,
  OP_DEP16,
  OP_ENV_LD8U,
  OP_ENV_LD16U,
  OP_ENV_LD32U,
  OP_ENV_ST8,
  OP_ENV_ST16,
  OP_ENV_ST32,
  OP_EXIT,
  OP_EXT8H,
  OP_EXT8S,
  OP_EXT8U,
  OP_EXT16S,
  OP_EXT16U,
  OP_EXT32S,
  OP_EXT32U,
  OP_FLAGS,
  OP_GOTO,
  OP_IF_EQ,
  OP_IF_EQ32,
  OP_IF_EQI,
  OP_IF_EQI32,
  OP_IF_GES,
  OP_IF_GES32,
  OP_IF_GESI,
  OP_IF_GESI32,
  OP_IF_GEU,
  OP_IF_GEU32,
  OP_IF_GEUI,
  OP_IF_GEUI32,
  OP_IF_GTS,
  OP_IF_GTS32,
  OP_IF_GTSI,
  OP_IF_GTSI32,
  OP_IF_GTU,
  OP_IF_GTU32,
  OP_IF_GTUI,
  OP_IF_GTUI32,
  OP_IF_LES,
  OP_IF_LES32,
  OP_IF_LESI,
  OP_IF_LESI32,
  OP_IF_LEU,
  OP_IF_LEU32,
  OP_IF_LEUI,
  OP_IF_LEUI32,
  OP_IF_LTS,
  OP_IF_LTS32,
  OP_IF_LTSI,
  OP_IF_LTSI32,
  OP_IF_LTU,
  OP_IF_LTU32,
  OP_IF_LTUI,
  OP_IF_LTUI32,
  OP_IF_NE,
  OP_IF_NE32,
  OP_IF_NEI,
  OP_IF_NEI32,
  OP_IF_TSTEQ,
  OP_IF_TSTEQ32,
  OP_IF_TSTEQI,
  OP_IF_TSTEQI32,
  OP_IF_TSTNE,
  OP_IF_TSTNE32,
  OP_IF_TSTNEI,
  OP_IF_TSTNEI32,
  OP_JMP,
  OP_LD8S,
  OP_LD8U,
  OP_LD16S,
  OP_LD16U,
  OP_LD32S,
  OP_LD32U,
  OP_LD64,
  OP_LD128,
  OP_LD128A,
  OP_LD256,
  OP_LD256A,
  OP_LDM8,
  OP_LDM16,
  OP_LDM32,
  OP_LDM64,
  OP_LEA,
  OP_LEA32,
  OP_LEAVE,
  OP_MOV,
  OP_MOVI,
  OP_MUL,
  OP_MUL32,
  OP_MULHS,
  OP_MULHU,
  OP_MULI,
  OP_MULI32,
  OP_NEG,
  OP_NEG32,
  OP_NOP,
  OP_NOT,
  OP_NOT32,
  OP_OR,
  OP_OR32,
  OP_ORI,
  OP_ORI32,
  OP_PCREL,
  OP_POPCNT,
  OP_PROBEW,
  OP_ROTL,
  OP_ROTL32,
  OP_ROTLI,
  OP_ROTLI32,
  OP_ROTR,
  OP_ROTR32,
  OP_ROTRI,
  OP_ROTRI32,
  OP_SAR,
  OP_SAR32,
  OP_SARI,
  OP_SARI32,
  OP_SEL,
  OP_SET_EQ,
  OP_SET_EQ32,
  OP_SET_EQI,
  OP_SET_EQI32,
  OP_SET_GES,
  OP_SET_GES32,
  OP_SET_GESI,
  OP_SET_GESI32,
  OP_SET_GEU,
  OP_SET_GEU32,
  OP_SET_GEUI,
  OP_SET_GEUI32,
  OP_SET_GTS,
  OP_SET_GTS32,
  OP_SET_GTSI,
  OP_SET_GTSI32,
  OP_SET_GTU,
  OP_SET_GTU32,
  OP_SET_GTUI,
  OP_SET_GTUI32,
  OP_SET_LES,
  OP_SET_LES32,
  OP_SET_LESI,
  OP_SET_LESI32,
  OP_SET_LEU,
  OP_SET_LEU32,
  OP_SET_LEUI,
  OP_SET_LEUI32,
  OP_SET_LTS,
  OP_SET_LTS32,
  OP_SET_LTSI,
  OP_SET_LTSI32,
  OP_SET_LTU,
  OP_SET_LTU32,
  OP_SET_LTUI,
  OP_SET_LTUI32,
  OP_SET_NE,
  OP_SET_NE32,
  OP_SET_NEI,
  OP_SET_NEI32,
  OP_SET_TSTEQ,
  OP_SET_TSTEQ32,
  OP_SET_TSTEQI,
  OP_SET_TSTEQI32,
  OP_SET_TSTNE,
  OP_SET_TSTNE32,
  OP_SET_TSTNEI,
  OP_SET_TSTNEI32,
  OP_SHL,
  OP_SHL32,
  OP_SHLI,
  OP_SHLI32,
  OP_SHR,
  OP_SHR32,
  OP_SHRI,
  OP_SHRI32,
  OP_ST8,
  OP_ST16,
  OP_ST32,
  OP_ST64,
  OP_ST128,
  OP_ST128A,
  OP_ST256,
  OP_ST256A,
  OP_SUB,
  OP_SUB32,
  OP_SUBI,
  OP_SUBI32,
  OP_VCALL,
  OP_VCALLF,
  OP_XOR,
  OP_XOR32,
  OP_XORI,
  OP_XORI32,
} from '../generated/ops';
import { flagCondition } from '../x86/flags';
import { raiseMisaligned } from '../x86/hooks';
import { hot } from './env';
import { ldU8, ldU16, ldU32, ldU64, probeRead, probeWrite, stU8, stU16, stU32, stU64 } from './memory';

/** Results of `interpret`: look the pc up again; deliver the pending fault; ExitReason + RUN_EXIT. */
export const RUN_DISPATCH: u32 = 0;
export const RUN_FAULT: u32 = 1;
export const RUN_EXIT: u32 = 2;

/** The block being interpreted; 0xffffffff while compiled code runs. Writes that would change it restart their instruction. */
export let currentBlock: usize = 0;
/** The op (a `goto`) that left the last block and whose chain pointer the dispatcher may fill in; 0: none. */
export let chainFrom: usize = 0;

export function setCurrentBlock(block: usize): void {
  currentBlock = block;
}
export function clearChain(): void {
  chainFrom = 0;
}

function a(cpu: usize, ip: usize): u64 {
  return load<u64>(cpu + ((<usize>load<u16>(ip, 4)) << 3));
}
function b(cpu: usize, ip: usize): u64 {
  return load<u64>(cpu + ((<usize>load<u16>(ip, 6)) << 3));
}
function set(cpu: usize, ip: usize, value: u64): void {
  store<u64>(cpu + ((<usize>load<u16>(ip, 2)) << 3), value);
}
function vectorD(cpu: usize, ip: usize): usize {
  return cpu + ((<usize>load<u16>(ip, 2)) << 3);
}
function vectorA(cpu: usize, ip: usize): usize {
  return cpu + ((<usize>load<u16>(ip, 4)) << 3);
}
function vectorB(cpu: usize, ip: usize): usize {
  return cpu + ((<usize>load<u16>(ip, 6)) << 3);
}

/** A pc after an addition, cut to what PcMask `mask` says. */
function maskPc(pc: u64, mask: u32): u64 {
  return mask === 2 ? pc : mask === 1 ? pc & 0xffffffff : pc & 0xffff;
}

function faultAt(cpu: usize, ip: usize, blockPc: u64): u32 {
  store<u64>(cpu + VCPU_PC, blockPc + <u64>load<u16>(ip, 12));
  return RUN_FAULT;
}

function mulHighU(x: u64, y: u64): u64 {
  const xl = x & 0xffffffff;
  const xh = x >> 32;
  const yl = y & 0xffffffff;
  const yh = y >> 32;
  const middle = xh * yl + ((xl * yl) >> 32);
  const cross = xl * yh + (middle & 0xffffffff);
  return xh * yh + (middle >> 32) + (cross >> 32);
}
function mulHighS(x: u64, y: u64): u64 {
  return mulHighU(x, y) - (<i64>x < 0 ? y : 0) - (<i64>y < 0 ? x : 0);
}

function load128(cpu: usize, to: usize, at: u64, mmu: u32): void {
  const low = ldU64(cpu, at, mmu);
  if (load<u32>(cpu + VCPU_FAULT_PENDING)) return;
  const high = ldU64(cpu, at + 8, mmu);
  if (load<u32>(cpu + VCPU_FAULT_PENDING)) return;
  store<u64>(to, low);
  store<u64>(to, high, 8);
}
function store128(cpu: usize, from: usize, at: u64, mmu: u32): void {
  if (!probeWrite(cpu, at, 16, mmu)) return;
  stU64(cpu, at, load<u64>(from), mmu);
  if (load<u32>(cpu + VCPU_FAULT_PENDING)) return;
  stU64(cpu, at + 8, load<u64>(from, 8), mmu);
}
function load256(cpu: usize, to: usize, at: u64, mmu: u32): void {
  if (!probeRead(cpu, at, 32, mmu)) return;
  load128(cpu, to, at, mmu);
  load128(cpu, to + 16, at + 16, mmu);
}
function store256(cpu: usize, from: usize, at: u64, mmu: u32): void {
  if (!probeWrite(cpu, at, 32, mmu)) return;
  store128(cpu, from, at, mmu);
  if (load<u32>(cpu + VCPU_FAULT_PENDING)) return;
  store128(cpu, from + 16, at + 16, mmu);
}

/**
 * Runs `block`, entered at the pc in the header, and what it chains to; returns RUN_DISPATCH, RUN_FAULT or an exit. `start`
 * is the address of the op to go on with where compiled code left the block (a side exit), 0: all of it.
 */
export function interpret(cpu: usize, block: usize, start: usize): u32 {
  const machine = <usize>load<u32>(cpu + VCPU_MACHINE);
  const mmu = load<u32>(cpu + VCPU_MMU_INDEX);
  const icount = load<u32>(machine + MACHINE_ICOUNT);
  for (;;) {
    const blockPc = load<u64>(cpu + VCPU_PC);
    // What is left of a block was counted when the block was entered.
    const count = start ? 0 : <u64>load<u16>(block + BLOCK_INSTRUCTIONS);
    if (icount && !start) {
      const left = load<u64>(cpu + VCPU_INSTRUCTION_BUDGET);
      if (<i64>left <= 0) return RUN_EXIT + EXIT_YIELD;
      store<u64>(cpu + VCPU_INSTRUCTION_BUDGET, left - count);
    }
    store<u64>(cpu + VCPU_INSTRUCTION_COUNT, load<u64>(cpu + VCPU_INSTRUCTION_COUNT) + count);
    store<u64>(cpu + VCPU_STAT_COLD_BLOCKS, load<u64>(cpu + VCPU_STAT_COLD_BLOCKS) + 1);
    store<u64>(cpu + VCPU_BLOCK_PC, blockPc);
    currentBlock = block;
    let next: usize = 0;
    let ip = block + BLOCK_SIZE;
    if (start) {
      ip = start;
      start = 0;
    }
    for (; ; ip += 16) {
      switch (<u32>load<u16>(ip)) {
        case OP_NOP:
          break;
        case OP_MOVI:
          set(cpu, ip, load<u64>(ip, 8));
          break;
        case OP_MOV:
          set(cpu, ip, a(cpu, ip));
          break;
        case OP_EXT8U:
          set(cpu, ip, <u64>(<u8>a(cpu, ip)));
          break;
        case OP_EXT8S:
          set(cpu, ip, <u64>(<i64>(<i8>a(cpu, ip))));
          break;
        case OP_EXT16U:
          set(cpu, ip, <u64>(<u16>a(cpu, ip)));
          break;
        case OP_EXT16S:
          set(cpu, ip, <u64>(<i64>(<i16>a(cpu, ip))));
          break;
        case OP_EXT32U:
          set(cpu, ip, <u64>(<u32>a(cpu, ip)));
          break;
        case OP_EXT32S:
          set(cpu, ip, <u64>(<i64>(<i32>a(cpu, ip))));
          break;
        case OP_EXT8H:
          set(cpu, ip, (a(cpu, ip) >> 8) & 0xff);
          break;
        case OP_DEP8:
          set(cpu, ip, (a(cpu, ip) & ~0xff) | (b(cpu, ip) & 0xff));
          break;
        case OP_DEP8H:
          set(cpu, ip, (a(cpu, ip) & ~0xff00) | ((b(cpu, ip) & 0xff) << 8));
          break;
        case OP_DEP16:
          set(cpu, ip, (a(cpu, ip) & ~0xffff) | (b(cpu, ip) & 0xffff));
          break;
        case OP_ADD:
          set(cpu, ip, a(cpu, ip) + b(cpu, ip));
          break;
        case OP_ADDI:
          set(cpu, ip, a(cpu, ip) + <u64>(<i64>load<i32>(ip, 8)));
          break;
        case OP_ADD32:
          set(cpu, ip, <u64>(<u32>a(cpu, ip) + <u32>b(cpu, ip)));
          break;
        case OP_ADDI32:
          set(cpu, ip, <u64>(<u32>a(cpu, ip) + load<u32>(ip, 8)));
          break;
        case OP_SUB:
          set(cpu, ip, a(cpu, ip) - b(cpu, ip));
          break;
        case OP_SUBI:
          set(cpu, ip, a(cpu, ip) - <u64>(<i64>load<i32>(ip, 8)));
          break;
        case OP_SUB32:
          set(cpu, ip, <u64>(<u32>a(cpu, ip) - <u32>b(cpu, ip)));
          break;
        case OP_SUBI32:
          set(cpu, ip, <u64>(<u32>a(cpu, ip) - load<u32>(ip, 8)));
          break;
        case OP_MUL:
          set(cpu, ip, a(cpu, ip) * b(cpu, ip));
          break;
        case OP_MULI:
          set(cpu, ip, a(cpu, ip) * <u64>(<i64>load<i32>(ip, 8)));
          break;
        case OP_MUL32:
          set(cpu, ip, <u64>(<u32>a(cpu, ip) * <u32>b(cpu, ip)));
          break;
        case OP_MULI32:
          set(cpu, ip, <u64>(<u32>a(cpu, ip) * load<u32>(ip, 8)));
          break;
        case OP_AND:
          set(cpu, ip, a(cpu, ip) & b(cpu, ip));
          break;
        case OP_ANDI:
          set(cpu, ip, a(cpu, ip) & <u64>(<i64>load<i32>(ip, 8)));
          break;
        case OP_AND32:
          set(cpu, ip, <u64>(<u32>a(cpu, ip) & <u32>b(cpu, ip)));
          break;
        case OP_ANDI32:
          set(cpu, ip, <u64>(<u32>a(cpu, ip) & load<u32>(ip, 8)));
          break;
        case OP_OR:
          set(cpu, ip, a(cpu, ip) | b(cpu, ip));
          break;
        case OP_ORI:
          set(cpu, ip, a(cpu, ip) | <u64>(<i64>load<i32>(ip, 8)));
          break;
        case OP_OR32:
          set(cpu, ip, <u64>(<u32>a(cpu, ip) | <u32>b(cpu, ip)));
          break;
        case OP_ORI32:
          set(cpu, ip, <u64>(<u32>a(cpu, ip) | load<u32>(ip, 8)));
          break;
        case OP_XOR:
          set(cpu, ip, a(cpu, ip) ^ b(cpu, ip));
          break;
        case OP_XORI:
          set(cpu, ip, a(cpu, ip) ^ <u64>(<i64>load<i32>(ip, 8)));
          break;
        case OP_XOR32:
          set(cpu, ip, <u64>(<u32>a(cpu, ip) ^ <u32>b(cpu, ip)));
          break;
        case OP_XORI32:
          set(cpu, ip, <u64>(<u32>a(cpu, ip) ^ load<u32>(ip, 8)));
          break;
        case OP_SHL:
          set(cpu, ip, a(cpu, ip) << b(cpu, ip));
          break;
        case OP_SHLI:
          set(cpu, ip, a(cpu, ip) << (<u64>(<i64>load<i32>(ip, 8))));
          break;
        case OP_SHL32:
          set(cpu, ip, <u64>((<u32>a(cpu, ip)) << (<u32>b(cpu, ip))));
          break;
        case OP_SHLI32:
          set(cpu, ip, <u64>((<u32>a(cpu, ip)) << load<u32>(ip, 8)));
          break;
        case OP_SHR:
          set(cpu, ip, a(cpu, ip) >> b(cpu, ip));
          break;
        case OP_SHRI:
          set(cpu, ip, a(cpu, ip) >> <u64>(<i64>load<i32>(ip, 8)));
          break;
        case OP_SHR32:
          set(cpu, ip, <u64>(<u32>a(cpu, ip) >> <u32>b(cpu, ip)));
          break;
        case OP_SHRI32:
          set(cpu, ip, <u64>(<u32>a(cpu, ip) >> load<u32>(ip, 8)));
          break;
        case OP_SAR:
          set(cpu, ip, <u64>(<i64>a(cpu, ip) >> <i64>b(cpu, ip)));
          break;
        case OP_SARI:
          set(cpu, ip, <u64>(<i64>a(cpu, ip) >> <i64>load<i32>(ip, 8)));
          break;
        case OP_SAR32:
          set(cpu, ip, <u64>(<u32>(<i32>a(cpu, ip) >> <i32>b(cpu, ip))));
          break;
        case OP_SARI32:
          set(cpu, ip, <u64>(<u32>(<i32>a(cpu, ip) >> load<i32>(ip, 8))));
          break;
        case OP_ROTL:
          set(cpu, ip, rotl<u64>(a(cpu, ip), b(cpu, ip)));
          break;
        case OP_ROTLI:
          set(cpu, ip, rotl<u64>(a(cpu, ip), <u64>(<i64>load<i32>(ip, 8))));
          break;
        case OP_ROTL32:
          set(cpu, ip, <u64>rotl<u32>(<u32>a(cpu, ip), <u32>b(cpu, ip)));
          break;
        case OP_ROTLI32:
          set(cpu, ip, <u64>rotl<u32>(<u32>a(cpu, ip), load<u32>(ip, 8)));
          break;
        case OP_ROTR:
          set(cpu, ip, rotr<u64>(a(cpu, ip), b(cpu, ip)));
          break;
        case OP_ROTRI:
          set(cpu, ip, rotr<u64>(a(cpu, ip), <u64>(<i64>load<i32>(ip, 8))));
          break;
        case OP_ROTR32:
          set(cpu, ip, <u64>rotr<u32>(<u32>a(cpu, ip), <u32>b(cpu, ip)));
          break;
        case OP_ROTRI32:
          set(cpu, ip, <u64>rotr<u32>(<u32>a(cpu, ip), load<u32>(ip, 8)));
          break;
        case OP_LEA:
          set(cpu, ip, a(cpu, ip) + (b(cpu, ip) << (<u64>load<u32>(ip, 12))) + <u64>(<i64>load<i32>(ip, 8)));
          break;
        case OP_LEA32:
          set(cpu, ip, <u64>(<u32>a(cpu, ip) + ((<u32>b(cpu, ip)) << load<u32>(ip, 12)) + load<u32>(ip, 8)));
          break;
        case OP_MULHU:
          set(cpu, ip, mulHighU(a(cpu, ip), b(cpu, ip)));
          break;
        case OP_MULHS:
          set(cpu, ip, mulHighS(a(cpu, ip), b(cpu, ip)));
          break;
        case OP_NOT:
          set(cpu, ip, ~a(cpu, ip));
          break;
        case OP_NEG:
          set(cpu, ip, 0 - a(cpu, ip));
          break;
        case OP_NOT32:
          set(cpu, ip, <u64>~(<u32>a(cpu, ip)));
          break;
        case OP_NEG32:
          set(cpu, ip, <u64>(<u32>(0 - a(cpu, ip))));
          break;
        case OP_CLZ:
          set(cpu, ip, clz<u64>(a(cpu, ip)));
          break;
        case OP_CLZ32:
          set(cpu, ip, <u64>clz<u32>(<u32>a(cpu, ip)));
          break;
        case OP_CTZ:
          set(cpu, ip, ctz<u64>(a(cpu, ip)));
          break;
        case OP_CTZ32:
          set(cpu, ip, <u64>ctz<u32>(<u32>a(cpu, ip)));
          break;
        case OP_POPCNT:
          set(cpu, ip, popcnt<u64>(a(cpu, ip)));
          break;
        case OP_BSWAP:
          set(cpu, ip, bswap<u64>(a(cpu, ip)));
          break;
        case OP_BSWAP32:
          set(cpu, ip, <u64>bswap<u32>(<u32>a(cpu, ip)));
          break;
        case OP_SET_EQ:
          set(cpu, ip, <u64>(a(cpu, ip) === b(cpu, ip)));
          break;
        case OP_SET_EQI:
          set(cpu, ip, <u64>(a(cpu, ip) === <u64>(<i64>load<i32>(ip, 8))));
          break;
        case OP_IF_EQ:
          if (!(a(cpu, ip) === b(cpu, ip))) ip += (<usize>load<u32>(ip, 8)) << 4;
          break;
        case OP_IF_EQI:
          if (!(a(cpu, ip) === <u64>(<i64>load<i32>(ip, 8)))) ip += (<usize>load<u32>(ip, 12)) << 4;
          break;
        case OP_SET_NE:
          set(cpu, ip, <u64>(a(cpu, ip) !== b(cpu, ip)));
          break;
        case OP_SET_NEI:
          set(cpu, ip, <u64>(a(cpu, ip) !== <u64>(<i64>load<i32>(ip, 8))));
          break;
        case OP_IF_NE:
          if (!(a(cpu, ip) !== b(cpu, ip))) ip += (<usize>load<u32>(ip, 8)) << 4;
          break;
        case OP_IF_NEI:
          if (!(a(cpu, ip) !== <u64>(<i64>load<i32>(ip, 8)))) ip += (<usize>load<u32>(ip, 12)) << 4;
          break;
        case OP_SET_LTU:
          set(cpu, ip, <u64>(a(cpu, ip) < b(cpu, ip)));
          break;
        case OP_SET_LTUI:
          set(cpu, ip, <u64>(a(cpu, ip) < <u64>(<i64>load<i32>(ip, 8))));
          break;
        case OP_IF_LTU:
          if (!(a(cpu, ip) < b(cpu, ip))) ip += (<usize>load<u32>(ip, 8)) << 4;
          break;
        case OP_IF_LTUI:
          if (!(a(cpu, ip) < <u64>(<i64>load<i32>(ip, 8)))) ip += (<usize>load<u32>(ip, 12)) << 4;
          break;
        case OP_SET_GEU:
          set(cpu, ip, <u64>(a(cpu, ip) >= b(cpu, ip)));
          break;
        case OP_SET_GEUI:
          set(cpu, ip, <u64>(a(cpu, ip) >= <u64>(<i64>load<i32>(ip, 8))));
          break;
        case OP_IF_GEU:
          if (!(a(cpu, ip) >= b(cpu, ip))) ip += (<usize>load<u32>(ip, 8)) << 4;
          break;
        case OP_IF_GEUI:
          if (!(a(cpu, ip) >= <u64>(<i64>load<i32>(ip, 8)))) ip += (<usize>load<u32>(ip, 12)) << 4;
          break;
        case OP_SET_LEU:
          set(cpu, ip, <u64>(a(cpu, ip) <= b(cpu, ip)));
          break;
        case OP_SET_LEUI:
          set(cpu, ip, <u64>(a(cpu, ip) <= <u64>(<i64>load<i32>(ip, 8))));
          break;
        case OP_IF_LEU:
          if (!(a(cpu, ip) <= b(cpu, ip))) ip += (<usize>load<u32>(ip, 8)) << 4;
          break;
        case OP_IF_LEUI:
          if (!(a(cpu, ip) <= <u64>(<i64>load<i32>(ip, 8)))) ip += (<usize>load<u32>(ip, 12)) << 4;
          break;
        case OP_SET_GTU:
          set(cpu, ip, <u64>(a(cpu, ip) > b(cpu, ip)));
          break;
        case OP_SET_GTUI:
          set(cpu, ip, <u64>(a(cpu, ip) > <u64>(<i64>load<i32>(ip, 8))));
          break;
        case OP_IF_GTU:
          if (!(a(cpu, ip) > b(cpu, ip))) ip += (<usize>load<u32>(ip, 8)) << 4;
          break;
        case OP_IF_GTUI:
          if (!(a(cpu, ip) > <u64>(<i64>load<i32>(ip, 8)))) ip += (<usize>load<u32>(ip, 12)) << 4;
          break;
        case OP_SET_LTS:
          set(cpu, ip, <u64>(<i64>a(cpu, ip) < <i64>b(cpu, ip)));
          break;
        case OP_SET_LTSI:
          set(cpu, ip, <u64>(<i64>a(cpu, ip) < <i64>load<i32>(ip, 8)));
          break;
        case OP_IF_LTS:
          if (!(<i64>a(cpu, ip) < <i64>b(cpu, ip))) ip += (<usize>load<u32>(ip, 8)) << 4;
          break;
        case OP_IF_LTSI:
          if (!(<i64>a(cpu, ip) < <i64>load<i32>(ip, 8))) ip += (<usize>load<u32>(ip, 12)) << 4;
          break;
        case OP_SET_GES:
          set(cpu, ip, <u64>(<i64>a(cpu, ip) >= <i64>b(cpu, ip)));
          break;
        case OP_SET_GESI:
          set(cpu, ip, <u64>(<i64>a(cpu, ip) >= <i64>load<i32>(ip, 8)));
          break;
        case OP_IF_GES:
          if (!(<i64>a(cpu, ip) >= <i64>b(cpu, ip))) ip += (<usize>load<u32>(ip, 8)) << 4;
          break;
        case OP_IF_GESI:
          if (!(<i64>a(cpu, ip) >= <i64>load<i32>(ip, 8))) ip += (<usize>load<u32>(ip, 12)) << 4;
          break;
        case OP_SET_LES:
          set(cpu, ip, <u64>(<i64>a(cpu, ip) <= <i64>b(cpu, ip)));
          break;
        case OP_SET_LESI:
          set(cpu, ip, <u64>(<i64>a(cpu, ip) <= <i64>load<i32>(ip, 8)));
          break;
        case OP_IF_LES:
          if (!(<i64>a(cpu, ip) <= <i64>b(cpu, ip))) ip += (<usize>load<u32>(ip, 8)) << 4;
          break;
        case OP_IF_LESI:
          if (!(<i64>a(cpu, ip) <= <i64>load<i32>(ip, 8))) ip += (<usize>load<u32>(ip, 12)) << 4;
          break;
        case OP_SET_GTS:
          set(cpu, ip, <u64>(<i64>a(cpu, ip) > <i64>b(cpu, ip)));
          break;
        case OP_SET_GTSI:
          set(cpu, ip, <u64>(<i64>a(cpu, ip) > <i64>load<i32>(ip, 8)));
          break;
        case OP_IF_GTS:
          if (!(<i64>a(cpu, ip) > <i64>b(cpu, ip))) ip += (<usize>load<u32>(ip, 8)) << 4;
          break;
        case OP_IF_GTSI:
          if (!(<i64>a(cpu, ip) > <i64>load<i32>(ip, 8))) ip += (<usize>load<u32>(ip, 12)) << 4;
          break;
        case OP_SET_TSTEQ:
          set(cpu, ip, <u64>((a(cpu, ip) & b(cpu, ip)) === 0));
          break;
        case OP_SET_TSTEQI:
          set(cpu, ip, <u64>((a(cpu, ip) & <u64>(<i64>load<i32>(ip, 8))) === 0));
          break;
        case OP_IF_TSTEQ:
          if (!((a(cpu, ip) & b(cpu, ip)) === 0)) ip += (<usize>load<u32>(ip, 8)) << 4;
          break;
        case OP_IF_TSTEQI:
          if (!((a(cpu, ip) & <u64>(<i64>load<i32>(ip, 8))) === 0)) ip += (<usize>load<u32>(ip, 12)) << 4;
          break;
        case OP_SET_TSTNE:
          set(cpu, ip, <u64>((a(cpu, ip) & b(cpu, ip)) !== 0));
          break;
        case OP_SET_TSTNEI:
          set(cpu, ip, <u64>((a(cpu, ip) & <u64>(<i64>load<i32>(ip, 8))) !== 0));
          break;
        case OP_IF_TSTNE:
          if (!((a(cpu, ip) & b(cpu, ip)) !== 0)) ip += (<usize>load<u32>(ip, 8)) << 4;
          break;
        case OP_IF_TSTNEI:
          if (!((a(cpu, ip) & <u64>(<i64>load<i32>(ip, 8))) !== 0)) ip += (<usize>load<u32>(ip, 12)) << 4;
          break;
        case OP_SET_EQ32:
          set(cpu, ip, <u64>(<u32>a(cpu, ip) === <u32>b(cpu, ip)));
          break;
        case OP_SET_EQI32:
          set(cpu, ip, <u64>(<u32>a(cpu, ip) === load<u32>(ip, 8)));
          break;
        case OP_IF_EQ32:
          if (!(<u32>a(cpu, ip) === <u32>b(cpu, ip))) ip += (<usize>load<u32>(ip, 8)) << 4;
          break;
        case OP_IF_EQI32:
          if (!(<u32>a(cpu, ip) === load<u32>(ip, 8))) ip += (<usize>load<u32>(ip, 12)) << 4;
          break;
        case OP_SET_NE32:
          set(cpu, ip, <u64>(<u32>a(cpu, ip) !== <u32>b(cpu, ip)));
          break;
        case OP_SET_NEI32:
          set(cpu, ip, <u64>(<u32>a(cpu, ip) !== load<u32>(ip, 8)));
          break;
        case OP_IF_NE32:
          if (!(<u32>a(cpu, ip) !== <u32>b(cpu, ip))) ip += (<usize>load<u32>(ip, 8)) << 4;
          break;
        case OP_IF_NEI32:
          if (!(<u32>a(cpu, ip) !== load<u32>(ip, 8))) ip += (<usize>load<u32>(ip, 12)) << 4;
          break;
        case OP_SET_LTU32:
          set(cpu, ip, <u64>(<u32>a(cpu, ip) < <u32>b(cpu, ip)));
          break;
        case OP_SET_LTUI32:
          set(cpu, ip, <u64>(<u32>a(cpu, ip) < load<u32>(ip, 8)));
          break;
        case OP_IF_LTU32:
          if (!(<u32>a(cpu, ip) < <u32>b(cpu, ip))) ip += (<usize>load<u32>(ip, 8)) << 4;
          break;
        case OP_IF_LTUI32:
          if (!(<u32>a(cpu, ip) < load<u32>(ip, 8))) ip += (<usize>load<u32>(ip, 12)) << 4;
          break;
        case OP_SET_GEU32:
          set(cpu, ip, <u64>(<u32>a(cpu, ip) >= <u32>b(cpu, ip)));
          break;
        case OP_SET_GEUI32:
          set(cpu, ip, <u64>(<u32>a(cpu, ip) >= load<u32>(ip, 8)));
          break;
        case OP_IF_GEU32:
          if (!(<u32>a(cpu, ip) >= <u32>b(cpu, ip))) ip += (<usize>load<u32>(ip, 8)) << 4;
          break;
        case OP_IF_GEUI32:
          if (!(<u32>a(cpu, ip) >= load<u32>(ip, 8))) ip += (<usize>load<u32>(ip, 12)) << 4;
          break;
        case OP_SET_LEU32:
          set(cpu, ip, <u64>(<u32>a(cpu, ip) <= <u32>b(cpu, ip)));
          break;
        case OP_SET_LEUI32:
          set(cpu, ip, <u64>(<u32>a(cpu, ip) <= load<u32>(ip, 8)));
          break;
        case OP_IF_LEU32:
          if (!(<u32>a(cpu, ip) <= <u32>b(cpu, ip))) ip += (<usize>load<u32>(ip, 8)) << 4;
          break;
        case OP_IF_LEUI32:
          if (!(<u32>a(cpu, ip) <= load<u32>(ip, 8))) ip += (<usize>load<u32>(ip, 12)) << 4;
          break;
        case OP_SET_GTU32:
          set(cpu, ip, <u64>(<u32>a(cpu, ip) > <u32>b(cpu, ip)));
          break;
        case OP_SET_GTUI32:
          set(cpu, ip, <u64>(<u32>a(cpu, ip) > load<u32>(ip, 8)));
          break;
        case OP_IF_GTU32:
          if (!(<u32>a(cpu, ip) > <u32>b(cpu, ip))) ip += (<usize>load<u32>(ip, 8)) << 4;
          break;
        case OP_IF_GTUI32:
          if (!(<u32>a(cpu, ip) > load<u32>(ip, 8))) ip += (<usize>load<u32>(ip, 12)) << 4;
          break;
        case OP_SET_LTS32:
          set(cpu, ip, <u64>(<i32>a(cpu, ip) < <i32>b(cpu, ip)));
          break;
        case OP_SET_LTSI32:
          set(cpu, ip, <u64>(<i32>a(cpu, ip) < load<i32>(ip, 8)));
          break;
        case OP_IF_LTS32:
          if (!(<i32>a(cpu, ip) < <i32>b(cpu, ip))) ip += (<usize>load<u32>(ip, 8)) << 4;
          break;
        case OP_IF_LTSI32:
          if (!(<i32>a(cpu, ip) < load<i32>(ip, 8))) ip += (<usize>load<u32>(ip, 12)) << 4;
          break;
        case OP_SET_GES32:
          set(cpu, ip, <u64>(<i32>a(cpu, ip) >= <i32>b(cpu, ip)));
          break;
        case OP_SET_GESI32:
          set(cpu, ip, <u64>(<i32>a(cpu, ip) >= load<i32>(ip, 8)));
          break;
        case OP_IF_GES32:
          if (!(<i32>a(cpu, ip) >= <i32>b(cpu, ip))) ip += (<usize>load<u32>(ip, 8)) << 4;
          break;
        case OP_IF_GESI32:
          if (!(<i32>a(cpu, ip) >= load<i32>(ip, 8))) ip += (<usize>load<u32>(ip, 12)) << 4;
          break;
        case OP_SET_LES32:
          set(cpu, ip, <u64>(<i32>a(cpu, ip) <= <i32>b(cpu, ip)));
          break;
        case OP_SET_LESI32:
          set(cpu, ip, <u64>(<i32>a(cpu, ip) <= load<i32>(ip, 8)));
          break;
        case OP_IF_LES32:
          if (!(<i32>a(cpu, ip) <= <i32>b(cpu, ip))) ip += (<usize>load<u32>(ip, 8)) << 4;
          break;
        case OP_IF_LESI32:
          if (!(<i32>a(cpu, ip) <= load<i32>(ip, 8))) ip += (<usize>load<u32>(ip, 12)) << 4;
          break;
        case OP_SET_GTS32:
          set(cpu, ip, <u64>(<i32>a(cpu, ip) > <i32>b(cpu, ip)));
          break;
        case OP_SET_GTSI32:
          set(cpu, ip, <u64>(<i32>a(cpu, ip) > load<i32>(ip, 8)));
          break;
        case OP_IF_GTS32:
          if (!(<i32>a(cpu, ip) > <i32>b(cpu, ip))) ip += (<usize>load<u32>(ip, 8)) << 4;
          break;
        case OP_IF_GTSI32:
          if (!(<i32>a(cpu, ip) > load<i32>(ip, 8))) ip += (<usize>load<u32>(ip, 12)) << 4;
          break;
        case OP_SET_TSTEQ32:
          set(cpu, ip, <u64>((<u32>a(cpu, ip) & <u32>b(cpu, ip)) === 0));
          break;
        case OP_SET_TSTEQI32:
          set(cpu, ip, <u64>((<u32>a(cpu, ip) & load<u32>(ip, 8)) === 0));
          break;
        case OP_IF_TSTEQ32:
          if (!((<u32>a(cpu, ip) & <u32>b(cpu, ip)) === 0)) ip += (<usize>load<u32>(ip, 8)) << 4;
          break;
        case OP_IF_TSTEQI32:
          if (!((<u32>a(cpu, ip) & load<u32>(ip, 8)) === 0)) ip += (<usize>load<u32>(ip, 12)) << 4;
          break;
        case OP_SET_TSTNE32:
          set(cpu, ip, <u64>((<u32>a(cpu, ip) & <u32>b(cpu, ip)) !== 0));
          break;
        case OP_SET_TSTNEI32:
          set(cpu, ip, <u64>((<u32>a(cpu, ip) & load<u32>(ip, 8)) !== 0));
          break;
        case OP_IF_TSTNE32:
          if (!((<u32>a(cpu, ip) & <u32>b(cpu, ip)) !== 0)) ip += (<usize>load<u32>(ip, 8)) << 4;
          break;
        case OP_IF_TSTNEI32:
          if (!((<u32>a(cpu, ip) & load<u32>(ip, 8)) !== 0)) ip += (<usize>load<u32>(ip, 12)) << 4;
          break;
        case OP_SEL:
          set(cpu, ip, a(cpu, ip) !== 0 ? b(cpu, ip) : load<u64>(cpu + ((<usize>load<u32>(ip, 8)) << 3)));
          break;
        case OP_LD8U:
          {
            const value = ldU8(cpu, a(cpu, ip) + <u64>(<i64>load<i32>(ip, 8)), mmu);
            if (load<u32>(cpu + VCPU_FAULT_PENDING)) return faultAt(cpu, ip, blockPc);
            set(cpu, ip, value);
          }
          break;
        case OP_LD8S:
          {
            const value = ldU8(cpu, a(cpu, ip) + <u64>(<i64>load<i32>(ip, 8)), mmu);
            if (load<u32>(cpu + VCPU_FAULT_PENDING)) return faultAt(cpu, ip, blockPc);
            set(cpu, ip, <u64>(<i64>(<i8>value)));
          }
          break;
        case OP_LD16U:
          {
            const value = ldU16(cpu, a(cpu, ip) + <u64>(<i64>load<i32>(ip, 8)), mmu);
            if (load<u32>(cpu + VCPU_FAULT_PENDING)) return faultAt(cpu, ip, blockPc);
            set(cpu, ip, value);
          }
          break;
        case OP_LD16S:
          {
            const value = ldU16(cpu, a(cpu, ip) + <u64>(<i64>load<i32>(ip, 8)), mmu);
            if (load<u32>(cpu + VCPU_FAULT_PENDING)) return faultAt(cpu, ip, blockPc);
            set(cpu, ip, <u64>(<i64>(<i16>value)));
          }
          break;
        case OP_LD32U:
          {
            const value = ldU32(cpu, a(cpu, ip) + <u64>(<i64>load<i32>(ip, 8)), mmu);
            if (load<u32>(cpu + VCPU_FAULT_PENDING)) return faultAt(cpu, ip, blockPc);
            set(cpu, ip, value);
          }
          break;
        case OP_LD32S:
          {
            const value = ldU32(cpu, a(cpu, ip) + <u64>(<i64>load<i32>(ip, 8)), mmu);
            if (load<u32>(cpu + VCPU_FAULT_PENDING)) return faultAt(cpu, ip, blockPc);
            set(cpu, ip, <u64>(<i64>(<i32>value)));
          }
          break;
        case OP_LD64:
          {
            const value = ldU64(cpu, a(cpu, ip) + <u64>(<i64>load<i32>(ip, 8)), mmu);
            if (load<u32>(cpu + VCPU_FAULT_PENDING)) return faultAt(cpu, ip, blockPc);
            set(cpu, ip, value);
          }
          break;
        case OP_LDM8:
          {
            const at = a(cpu, ip) + <u64>(<i64>load<i32>(ip, 8));
            if (!probeWrite(cpu, at, 1, mmu)) return faultAt(cpu, ip, blockPc);
            const value = ldU8(cpu, at, mmu);
            if (load<u32>(cpu + VCPU_FAULT_PENDING)) return faultAt(cpu, ip, blockPc);
            set(cpu, ip, value);
          }
          break;
        case OP_LDM16:
          {
            const at = a(cpu, ip) + <u64>(<i64>load<i32>(ip, 8));
            if (!probeWrite(cpu, at, 2, mmu)) return faultAt(cpu, ip, blockPc);
            const value = ldU16(cpu, at, mmu);
            if (load<u32>(cpu + VCPU_FAULT_PENDING)) return faultAt(cpu, ip, blockPc);
            set(cpu, ip, value);
          }
          break;
        case OP_LDM32:
          {
            const at = a(cpu, ip) + <u64>(<i64>load<i32>(ip, 8));
            if (!probeWrite(cpu, at, 4, mmu)) return faultAt(cpu, ip, blockPc);
            const value = ldU32(cpu, at, mmu);
            if (load<u32>(cpu + VCPU_FAULT_PENDING)) return faultAt(cpu, ip, blockPc);
            set(cpu, ip, value);
          }
          break;
        case OP_LDM64:
          {
            const at = a(cpu, ip) + <u64>(<i64>load<i32>(ip, 8));
            if (!probeWrite(cpu, at, 8, mmu)) return faultAt(cpu, ip, blockPc);
            const value = ldU64(cpu, at, mmu);
            if (load<u32>(cpu + VCPU_FAULT_PENDING)) return faultAt(cpu, ip, blockPc);
            set(cpu, ip, value);
          }
          break;
        case OP_ST8:
          stU8(cpu, a(cpu, ip) + <u64>(<i64>load<i32>(ip, 8)), b(cpu, ip), mmu);
          if (load<u32>(cpu + VCPU_FAULT_PENDING)) return faultAt(cpu, ip, blockPc);
          break;
        case OP_ST16:
          stU16(cpu, a(cpu, ip) + <u64>(<i64>load<i32>(ip, 8)), b(cpu, ip), mmu);
          if (load<u32>(cpu + VCPU_FAULT_PENDING)) return faultAt(cpu, ip, blockPc);
          break;
        case OP_ST32:
          stU32(cpu, a(cpu, ip) + <u64>(<i64>load<i32>(ip, 8)), b(cpu, ip), mmu);
          if (load<u32>(cpu + VCPU_FAULT_PENDING)) return faultAt(cpu, ip, blockPc);
          break;
        case OP_ST64:
          stU64(cpu, a(cpu, ip) + <u64>(<i64>load<i32>(ip, 8)), b(cpu, ip), mmu);
          if (load<u32>(cpu + VCPU_FAULT_PENDING)) return faultAt(cpu, ip, blockPc);
          break;
        case OP_LD128:
          {
            const at = a(cpu, ip) + <u64>(<i64>load<i32>(ip, 8));
            load128(cpu, vectorD(cpu, ip), at, mmu);
            if (load<u32>(cpu + VCPU_FAULT_PENDING)) return faultAt(cpu, ip, blockPc);
          }
          break;
        case OP_ST128:
          {
            const at = a(cpu, ip) + <u64>(<i64>load<i32>(ip, 8));
            store128(cpu, vectorB(cpu, ip), at, mmu);
            if (load<u32>(cpu + VCPU_FAULT_PENDING)) return faultAt(cpu, ip, blockPc);
          }
          break;
        case OP_LD128A:
          {
            const at = a(cpu, ip) + <u64>(<i64>load<i32>(ip, 8));
            if (at & 15) {
              raiseMisaligned(cpu);
              return faultAt(cpu, ip, blockPc);
            }
            load128(cpu, vectorD(cpu, ip), at, mmu);
            if (load<u32>(cpu + VCPU_FAULT_PENDING)) return faultAt(cpu, ip, blockPc);
          }
          break;
        case OP_ST128A:
          {
            const at = a(cpu, ip) + <u64>(<i64>load<i32>(ip, 8));
            if (at & 15) {
              raiseMisaligned(cpu);
              return faultAt(cpu, ip, blockPc);
            }
            store128(cpu, vectorB(cpu, ip), at, mmu);
            if (load<u32>(cpu + VCPU_FAULT_PENDING)) return faultAt(cpu, ip, blockPc);
          }
          break;
        case OP_LD256:
          {
            const at = a(cpu, ip) + <u64>(<i64>load<i32>(ip, 8));
            load256(cpu, vectorD(cpu, ip), at, mmu);
            if (load<u32>(cpu + VCPU_FAULT_PENDING)) return faultAt(cpu, ip, blockPc);
          }
          break;
        case OP_ST256:
          {
            const at = a(cpu, ip) + <u64>(<i64>load<i32>(ip, 8));
            store256(cpu, vectorB(cpu, ip), at, mmu);
            if (load<u32>(cpu + VCPU_FAULT_PENDING)) return faultAt(cpu, ip, blockPc);
          }
          break;
        case OP_LD256A:
          {
            const at = a(cpu, ip) + <u64>(<i64>load<i32>(ip, 8));
            if (at & 31) {
              raiseMisaligned(cpu);
              return faultAt(cpu, ip, blockPc);
            }
            load256(cpu, vectorD(cpu, ip), at, mmu);
            if (load<u32>(cpu + VCPU_FAULT_PENDING)) return faultAt(cpu, ip, blockPc);
          }
          break;
        case OP_ST256A:
          {
            const at = a(cpu, ip) + <u64>(<i64>load<i32>(ip, 8));
            if (at & 31) {
              raiseMisaligned(cpu);
              return faultAt(cpu, ip, blockPc);
            }
            store256(cpu, vectorB(cpu, ip), at, mmu);
            if (load<u32>(cpu + VCPU_FAULT_PENDING)) return faultAt(cpu, ip, blockPc);
          }
          break;
        case OP_PROBEW:
          if (!probeWrite(cpu, a(cpu, ip) + <u64>(<i64>load<i32>(ip, 8)), <u32>load<u16>(ip, 6), mmu))
            return faultAt(cpu, ip, blockPc);
          break;
        case OP_ENV_LD8U:
          set(cpu, ip, <u64>load<u8>(cpu + <usize>load<u32>(ip, 8)));
          break;
        case OP_ENV_LD16U:
          set(cpu, ip, <u64>load<u16>(cpu + <usize>load<u32>(ip, 8)));
          break;
        case OP_ENV_LD32U:
          set(cpu, ip, <u64>load<u32>(cpu + <usize>load<u32>(ip, 8)));
          break;
        case OP_ENV_ST8:
          store<u8>(cpu + <usize>load<u32>(ip, 8), <u8>a(cpu, ip));
          break;
        case OP_ENV_ST16:
          store<u16>(cpu + <usize>load<u32>(ip, 8), <u16>a(cpu, ip));
          break;
        case OP_ENV_ST32:
          store<u32>(cpu + <usize>load<u32>(ip, 8), <u32>a(cpu, ip));
          break;
        case OP_PCREL:
          set(cpu, ip, maskPc(blockPc + <u64>(<i64>load<i32>(ip, 8)), load<u32>(ip, 12)));
          break;
        case OP_FLAGS:
          {
            const src = b(cpu, ip); // may be the slot FLAG_RES
            store<u64>(cpu + VCPU_FLAG_RES, a(cpu, ip));
            store<u64>(cpu + VCPU_FLAG_SRC, src);
            store<u64>(cpu + VCPU_FLAG_OP, <u64>load<u32>(ip, 8));
          }
          break;
        case OP_COND:
          set(
            cpu,
            ip,
            flagCondition(
              load<u64>(cpu + VCPU_FLAG_OP),
              load<u64>(cpu + VCPU_FLAG_RES),
              load<u64>(cpu + VCPU_FLAG_SRC),
              load<u64>(cpu + VCPU_FLAG_SRC2),
              load<u32>(ip, 8),
            ),
          );
          break;
        case OP_CALL:
          set(cpu, ip, callHelper(load<u16>(ip, 14), cpu, a(cpu, ip), b(cpu, ip), load<u32>(ip, 8)));
          break;
        case OP_CALLF:
          {
            const value = callHelper(load<u16>(ip, 14), cpu, a(cpu, ip), b(cpu, ip), load<u32>(ip, 8));
            if (load<u32>(cpu + VCPU_FAULT_PENDING)) return faultAt(cpu, ip, blockPc);
            set(cpu, ip, value);
          }
          break;
        case OP_VCALL:
          callVectorHelper(
            load<u16>(ip, 14),
            cpu,
            vectorD(cpu, ip),
            vectorA(cpu, ip),
            vectorB(cpu, ip),
            load<u32>(ip, 8),
          );
          break;
        case OP_VCALLF:
          callVectorHelper(
            load<u16>(ip, 14),
            cpu,
            vectorD(cpu, ip),
            vectorA(cpu, ip),
            vectorB(cpu, ip),
            load<u32>(ip, 8),
          );
          if (load<u32>(cpu + VCPU_FAULT_PENDING)) return faultAt(cpu, ip, blockPc);
          break;
        case OP_GOTO: {
          const hint = <u32>load<u16>(ip, 2);
          const offset = load<i32>(ip, 8);
          store<u64>(cpu + VCPU_PC, maskPc(blockPc + <u64>(<i64>offset), hint >> 4));
          const backward: bool = offset < <i32>load<u16>(block + BLOCK_BYTES);
          if (backward && load<u32>(cpu + VCPU_EXIT_REQUEST)) return RUN_DISPATCH;
          next = <usize>load<u32>(ip, 4);
          if (!next || !load<u32>(next + BLOCK_VALID)) {
            chainFrom = ip;
            return RUN_DISPATCH;
          }
          if (load<u32>(next + BLOCK_ENTRY)) return RUN_DISPATCH;
          if (backward) {
            const heat = load<u32>(next + BLOCK_HEAT) + 1;
            store<u32>(next + BLOCK_HEAT, heat);
            if (heat === load<u32>(machine + MACHINE_HOT_THRESHOLD)) hot(next);
          }
          break;
        }
        case OP_JMP:
          store<u64>(cpu + VCPU_PC, a(cpu, ip));
          return RUN_DISPATCH;
        case OP_LEAVE:
          return RUN_DISPATCH;
        case OP_EXIT:
          return RUN_EXIT + load<u32>(ip, 8);
        default:
          unreachable();
      }
      if (next) break;
    }
    block = next;
  }
  return RUN_DISPATCH;
}
