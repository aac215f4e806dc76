/**
 * System management mode: the state save area in its AMD64 form (AMD APM vol. 2 table 10-1, revision 0x20064) for processors
 * with long mode, in the older 32-bit form (revision 0x20000) for others.
 */
import { smiEntered } from '../core/env';
import { physLd16, physLd32, physLd64, physSt16, physSt32, physSt64 } from '../core/memory';
import { VCPU_ADDRESS_SPACE, VCPU_HALTED } from '../generated/layout';
import {
  FEATURE_LM,
  SEG_CS,
  SEG_GDTR,
  SEG_IDTR,
  SEG_LDTR,
  SEG_SS,
  SEG_TR,
  X86_CPL,
  X86_CR0,
  X86_CR3,
  X86_CR4,
  X86_DR,
  X86_EFER,
  X86_IN_SMM,
  X86_NMI_BLOCKED,
  X86_SMBASE,
} from '../generated/x86';
import { flushAll } from './address-spaces';
import {
  CR0_EM,
  CR0_PE,
  CR0_PG,
  CR0_TS,
  cr0,
  fault,
  getPc,
  has,
  inVm86,
  isProtected,
  reg,
  segAttr,
  segBase,
  segLimit,
  segSelector,
  setPc,
  setReg,
  setSegment,
  UD,
} from './cpu';
import { DR7_FIXED } from './debug';
import { readEflags, writeEflags } from './flags';
import { afterFlags } from './interrupt-flag';
import { updateMode } from './mode';
import { REAL_DATA, setCpl } from './segments';

const REVISION64: u32 = 0x20064;
const REVISION32: u32 = 0x20000;
const RELOCATES: u32 = 0x20000;
const FLAT_ATTR: u32 = 0x8000 | REAL_DATA;
const FLAGS_ALL: u64 = 0x3f7fd5;

/** Save areas count from SMBASE + 8000h. */
function area(cpu: usize): u64 {
  return load<u64>(cpu + X86_SMBASE) + 0x8000;
}

/** System segments in the 64-bit area: GDTR 7e60, LDTR 7e70, IDTR 7e80, TR 7e90. */
function systemSlot(seg: u32): u32 {
  if (seg === SEG_GDTR) return 0x7e60;
  if (seg === SEG_LDTR) return 0x7e70;
  return seg === SEG_IDTR ? 0x7e80 : 0x7e90;
}
function save64(cpu: usize, at: u64): void {
  for (let seg: u32 = 0; seg < 10; seg++) {
    const to = at + (seg < 6 ? 0x7e00 + seg * 16 : systemSlot(seg));
    physSt16(cpu, to, segSelector(cpu, seg));
    physSt16(cpu, to + 2, segAttr(cpu, seg));
    physSt32(cpu, to + 4, segLimit(cpu, seg));
    physSt64(cpu, to + 8, segBase(cpu, seg));
  }
  physSt64(cpu, at + 0x7ed0, load<u64>(cpu + X86_EFER));
  physSt16(cpu, at + 0x7ec8, load<u32>(cpu + VCPU_HALTED) !== 0 ? 0x100 : 0);
  for (let i: u32 = 0; i < 16; i++) physSt64(cpu, at + 0x7ff8 - i * 8, reg(cpu, i));
  physSt64(cpu, at + 0x7f78, getPc(cpu));
  physSt64(cpu, at + 0x7f70, readEflags(cpu));
  physSt64(cpu, at + 0x7f68, load<u64>(cpu + X86_DR + 48));
  physSt64(cpu, at + 0x7f60, load<u64>(cpu + X86_DR + 56));
  physSt64(cpu, at + 0x7f48, load<u64>(cpu + X86_CR4));
  physSt64(cpu, at + 0x7f50, load<u64>(cpu + X86_CR3));
  physSt64(cpu, at + 0x7f58, cr0(cpu));
  physSt32(cpu, at + 0x7efc, REVISION64);
  physSt32(cpu, at + 0x7f00, load<u64>(cpu + X86_SMBASE));
}
function load64(cpu: usize, at: u64): void {
  store<u64>(cpu + X86_EFER, physLd64(cpu, at + 0x7ed0));
  for (let seg: u32 = 0; seg < 10; seg++) {
    const from = at + (seg < 6 ? 0x7e00 + seg * 16 : systemSlot(seg));
    setSegment(
      cpu,
      seg,
      <u32>physLd16(cpu, from),
      physLd64(cpu, from + 8),
      <u32>physLd32(cpu, from + 4),
      <u32>physLd16(cpu, from + 2),
    );
  }
  for (let i: u32 = 0; i < 16; i++) setReg(cpu, i, physLd64(cpu, at + 0x7ff8 - i * 8));
  setPc(cpu, physLd64(cpu, at + 0x7f78));
  writeEflags(cpu, physLd64(cpu, at + 0x7f70), FLAGS_ALL);
  store<u64>(cpu + X86_DR + 48, physLd64(cpu, at + 0x7f68));
  store<u64>(cpu + X86_DR + 56, physLd64(cpu, at + 0x7f60));
  store<u64>(cpu + X86_CR4, physLd64(cpu, at + 0x7f48));
  store<u64>(cpu + X86_CR3, physLd64(cpu, at + 0x7f50));
  store<u64>(cpu + X86_CR0, physLd64(cpu, at + 0x7f58));
  if ((<u32>physLd32(cpu, at + 0x7efc) & RELOCATES) !== 0) store<u64>(cpu + X86_SMBASE, physLd32(cpu, at + 0x7f00));
  if ((<u32>physLd16(cpu, at + 0x7ec8) & 0x100) !== 0) store<u32>(cpu + VCPU_HALTED, 1);
}

/** Hidden parts of ES, CS, SS from 7f84, of DS, FS, GS from 7f2c: attributes, limit, base. */
function hidden32(seg: u32): u32 {
  return seg < 3 ? 0x7f84 + seg * 12 : 0x7f2c + (seg - 3) * 12;
}
function save32(cpu: usize, at: u64): void {
  physSt32(cpu, at + 0x7ffc, cr0(cpu));
  physSt32(cpu, at + 0x7ff8, load<u64>(cpu + X86_CR3));
  physSt32(cpu, at + 0x7ff4, readEflags(cpu));
  physSt32(cpu, at + 0x7ff0, getPc(cpu));
  for (let i: u32 = 0; i < 8; i++) physSt32(cpu, at + 0x7fd0 + i * 4, reg(cpu, i));
  physSt32(cpu, at + 0x7fcc, load<u64>(cpu + X86_DR + 48));
  physSt32(cpu, at + 0x7fc8, load<u64>(cpu + X86_DR + 56));
  physSt32(cpu, at + 0x7fc4, segSelector(cpu, SEG_TR));
  physSt32(cpu, at + 0x7f64, segBase(cpu, SEG_TR));
  physSt32(cpu, at + 0x7f60, segLimit(cpu, SEG_TR));
  physSt32(cpu, at + 0x7f5c, segAttr(cpu, SEG_TR));
  physSt32(cpu, at + 0x7fc0, segSelector(cpu, SEG_LDTR));
  physSt32(cpu, at + 0x7f80, segBase(cpu, SEG_LDTR));
  physSt32(cpu, at + 0x7f7c, segLimit(cpu, SEG_LDTR));
  physSt32(cpu, at + 0x7f78, segAttr(cpu, SEG_LDTR));
  physSt32(cpu, at + 0x7f74, segBase(cpu, SEG_GDTR));
  physSt32(cpu, at + 0x7f70, segLimit(cpu, SEG_GDTR));
  physSt32(cpu, at + 0x7f58, segBase(cpu, SEG_IDTR));
  physSt32(cpu, at + 0x7f54, segLimit(cpu, SEG_IDTR));
  for (let seg: u32 = 0; seg < 6; seg++) {
    physSt32(cpu, at + 0x7fa8 + seg * 4, segSelector(cpu, seg));
    const to = at + hidden32(seg);
    physSt32(cpu, to, segAttr(cpu, seg));
    physSt32(cpu, to + 4, segLimit(cpu, seg));
    physSt32(cpu, to + 8, segBase(cpu, seg));
  }
  physSt32(cpu, at + 0x7f14, load<u64>(cpu + X86_CR4));
  physSt16(cpu, at + 0x7f02, load<u32>(cpu + VCPU_HALTED) !== 0 ? 1 : 0);
  physSt32(cpu, at + 0x7efc, REVISION32);
  physSt32(cpu, at + 0x7ef8, load<u64>(cpu + X86_SMBASE));
}
function load32(cpu: usize, at: u64): void {
  store<u64>(cpu + X86_CR0, physLd32(cpu, at + 0x7ffc));
  store<u64>(cpu + X86_CR3, physLd32(cpu, at + 0x7ff8));
  writeEflags(cpu, physLd32(cpu, at + 0x7ff4), FLAGS_ALL);
  setPc(cpu, physLd32(cpu, at + 0x7ff0));
  for (let i: u32 = 0; i < 8; i++) setReg(cpu, i, physLd32(cpu, at + 0x7fd0 + i * 4));
  store<u64>(cpu + X86_DR + 48, physLd32(cpu, at + 0x7fcc));
  store<u64>(cpu + X86_DR + 56, physLd32(cpu, at + 0x7fc8));
  setSegment(
    cpu,
    SEG_TR,
    <u32>physLd16(cpu, at + 0x7fc4),
    physLd32(cpu, at + 0x7f64),
    <u32>physLd32(cpu, at + 0x7f60),
    <u32>physLd32(cpu, at + 0x7f5c),
  );
  setSegment(
    cpu,
    SEG_LDTR,
    <u32>physLd16(cpu, at + 0x7fc0),
    physLd32(cpu, at + 0x7f80),
    <u32>physLd32(cpu, at + 0x7f7c),
    <u32>physLd32(cpu, at + 0x7f78),
  );
  setSegment(cpu, SEG_GDTR, 0, physLd32(cpu, at + 0x7f74), <u32>physLd32(cpu, at + 0x7f70), 0);
  setSegment(cpu, SEG_IDTR, 0, physLd32(cpu, at + 0x7f58), <u32>physLd32(cpu, at + 0x7f54), 0);
  for (let seg: u32 = 0; seg < 6; seg++) {
    const from = at + hidden32(seg);
    setSegment(
      cpu,
      seg,
      <u32>physLd16(cpu, at + 0x7fa8 + seg * 4),
      physLd32(cpu, from + 8),
      <u32>physLd32(cpu, from + 4),
      <u32>physLd32(cpu, from),
    );
  }
  store<u64>(cpu + X86_CR4, physLd32(cpu, at + 0x7f14));
  if ((<u32>physLd32(cpu, at + 0x7efc) & RELOCATES) !== 0) store<u64>(cpu + X86_SMBASE, physLd32(cpu, at + 0x7ef8));
  if ((physLd16(cpu, at + 0x7f02) & 1) !== 0) store<u32>(cpu + VCPU_HALTED, 1);
}

/** A system management interrupt: saves the state and starts the handler. */
export function enterSmm(cpu: usize): void {
  store<u32>(cpu + X86_IN_SMM, 1);
  store<u32>(cpu + VCPU_ADDRESS_SPACE, 1);
  smiEntered(cpu, 1);
  const at = area(cpu);
  if (has(cpu, FEATURE_LM)) save64(cpu, at);
  else save32(cpu, at);
  store<u32>(cpu + VCPU_HALTED, 0);
  // NMIs wait for RSM; whether one was being handled already is kept in a second bit.
  store<u32>(cpu + X86_NMI_BLOCKED, load<u32>(cpu + X86_NMI_BLOCKED) !== 0 ? 3 : 2);
  store<u64>(cpu + X86_EFER, 0);
  writeEflags(cpu, 0, FLAGS_ALL);
  setPc(cpu, 0x8000);
  const base = load<u64>(cpu + X86_SMBASE);
  for (let seg: u32 = 0; seg < 6; seg++) setSegment(cpu, seg, 0, 0, 0xffffffff, FLAT_ATTR);
  setSegment(cpu, SEG_CS, <u32>(base >> 4) & 0xffff, base, 0xffffffff, FLAT_ATTR);
  store<u64>(cpu + X86_CR0, cr0(cpu) & ~(CR0_PE | CR0_EM | CR0_TS | CR0_PG));
  store<u64>(cpu + X86_CR4, 0);
  store<u64>(cpu + X86_DR + 56, DR7_FIXED);
  store<u32>(cpu + X86_CPL, 0);
  flushAll(cpu);
  updateMode(cpu);
}

export function rsm(cpu: usize, _a: u64, _b: u64, _imm: u32): u64 {
  if (load<u32>(cpu + X86_IN_SMM) === 0) return fault(cpu, UD, 0);
  const at = area(cpu);
  if (has(cpu, FEATURE_LM)) load64(cpu, at);
  else load32(cpu, at);
  store<u32>(cpu + X86_IN_SMM, 0);
  store<u32>(cpu + VCPU_ADDRESS_SPACE, 0);
  store<u32>(cpu + X86_NMI_BLOCKED, load<u32>(cpu + X86_NMI_BLOCKED) === 3 ? 1 : 0);
  smiEntered(cpu, 0);
  if (!isProtected(cpu)) setCpl(cpu, 0);
  else if (inVm86(cpu)) setCpl(cpu, 3);
  else setCpl(cpu, (segAttr(cpu, SEG_SS) >> 5) & 3);
  flushAll(cpu);
  updateMode(cpu);
  afterFlags(cpu);
  return 0;
}
