/** System instructions. What they do is in the helpers (helpers/system.ts); a row decodes and loads operands. */
import { Seg } from '../decode.js';
import { EFLAGS } from '../flags.js';
import { Mode } from '../state.js';
import { RAX, RDX, type Translator, Vector } from '../translator.js';
import type { Meaning, Row } from './row.js';

/** A helper without operands that may change pc, mode or pending requests. */
const leaving =
  (name: string): Meaning =>
  (t, i) =>
    t.callLeave(name, 0, 0, i.opSize / 8);

/** A helper that changes registers or flags only. */
const simple =
  (name: string): Meaning =>
  (t, i) =>
    t.callVoid(name, 0, 0, i.opSize / 8);

const nop: Meaning = () => undefined;

// ---------------------------------------------------------------- segments and descriptor tables

/** MOV Sreg: CS cannot be loaded, 6 and 7 do not exist. */
const movToSegment: Meaning = (t, i) => {
  const seg = i.reg & 7;
  if (seg === Seg.cs || seg > Seg.gs) return t.raise(Vector.ud);
  const v = t.readZ(1);
  t.callLeave('loadSegment', v, 0, seg === Seg.ss ? seg | 256 : seg);
};

const movFromSegment: Meaning = (t, i) => {
  const seg = i.reg & 7;
  if (seg > Seg.gs) return t.raise(Vector.ud);
  storeSelectorLike(t.selector(seg))(t, i);
};

/** A 16-bit value to E: 16 bits in memory, zero-extended in a register of the operand size. */
const storeSelectorLike =
  (v: number): Meaning =>
  (t, i) => {
    if (i.mod === 3) t.setReg(i.rm, i.opSize, v);
    else t.storeMem(16, v);
  };

const storeResult =
  (name: 'sldt' | 'str' | 'smsw'): Meaning =>
  (t, i) =>
    storeSelectorLike(t.call(name, t.b.temp()))(t, i);

/** Privilege is checked before the operand is read; where there is none yet, the helpers know what to raise. */
function mayLoad(t: Translator): boolean {
  if ((t.mode & (Mode.protected | Mode.vm86)) !== Mode.protected || (t.mode & Mode.cplMask) === 0) return true;
  t.raise(Vector.gp, 0);
  return false;
}

const fromSelector =
  (name: string, leave: boolean, loads = leave): Meaning =>
  (t) => {
    if (loads && !mayLoad(t)) return;
    const v = t.readZ(0);
    if (leave) t.callLeave(name, v);
    else t.callVoid(name, v);
  };

/** LAR, LSL. */
const inspect =
  (name: 'lar' | 'lsl'): Meaning =>
  (t, i) => {
    if (!t.needProtected()) return;
    const selector = t.readZ(1);
    t.setReg(i.reg, i.opSize, t.call(name, t.b.temp(), selector, t.regZ(i.reg, i.opSize)));
  };

const arpl: Meaning = (t) => {
  if (!t.needProtected()) return;
  const b = t.b;
  const memory = t.operandRegister(0) < 0;
  // A destination that is not changed need not be writable.
  if (memory) t.address(2, true);
  const old = memory ? t.loadMem(16) : t.readZ(0);
  const level = b.dai('andi32', b.temp(), t.readZ(1), 3);
  const raised = b.dab('set_ltu32', b.temp(), b.dai('andi32', b.temp(), old, 3), level);
  const body = b.beginIfImm('ne', raised, 0);
  t.write(0, b.dab('or', level, level, b.dai('andi32', b.temp(), old, ~3)));
  b.endIf(body);
  t.mergeFlags(b.dai('shli32', b.temp(), raised, 6), EFLAGS.zf);
};

const tableStore =
  (name: 'sgdt' | 'sidt'): Meaning =>
  (t, i) =>
    t.callVoid(name, t.address(t.long ? 10 : 6, true), 0, t.long ? 8 : i.opSize / 8);
const tableLoad =
  (name: 'lgdt' | 'lidt'): Meaning =>
  (t, i) =>
    t.callLeave(name, t.address(t.long ? 10 : 6), 0, t.long ? 8 : i.opSize / 8);

// ---------------------------------------------------------------- control registers and the rest

const movFromCr: Meaning = (t, i) => {
  t.setReg(i.rm, t.long ? 64 : 32, t.call('readCr', t.b.temp(), 0, 0, i.reg));
};
const movToCr: Meaning = (t, i) => {
  t.callLeave('writeCr', t.regZ(i.rm, t.long ? 64 : 32), 0, i.reg);
};
const movFromDr: Meaning = (t, i) => t.setReg(i.rm, t.long ? 64 : 32, t.call('readDr', t.b.temp(), 0, 0, i.reg));
const movToDr: Meaning = (t, i) => t.callLeave('writeDr', t.regZ(i.rm, t.long ? 64 : 32), 0, i.reg);

const lmsw: Meaning = (t) => {
  if (mayLoad(t)) t.callLeave('lmsw', t.readZ(0));
};
const invlpg: Meaning = (t) => t.callLeave('invlpg', t.address());
const invpcid: Meaning = (t, i) => {
  const type = t.regZ(i.reg, t.long ? 64 : 32);
  t.callLeave('invpcid', type, t.address(16));
};

const monitor: Meaning = (t, i) => {
  const ea = i.addrSize === 64 ? RAX : t.zext(RAX, i.addrSize);
  t.callVoid('monitor', t.linear(i.seg < 0 ? Seg.ds : i.seg, ea, 1, false));
};

const random =
  (name: 'rdrand' | 'rdseed'): Meaning =>
  (t, i) =>
    t.setReg(i.rm, i.opSize, t.call(name, t.b.temp(), 0, 0, i.opSize / 8));

const rdpid: Meaning = (t, i) => t.setReg(i.rm, t.long ? 64 : 32, t.call('rdpid', t.b.temp()));

const readBase =
  (which: 0 | 1): Meaning =>
  (t, i) =>
    t.setReg(i.rm, i.opSize, t.call('readBase', t.b.temp(), 0, 0, which));
const writeBase =
  (which: 0 | 1): Meaning =>
  (t, i) =>
    t.callLeave('writeBase', t.regZ(i.rm, i.opSize), 0, which);

const cli: Meaning = (t) => t.callVoid('cli');

// ---------------------------------------------------------------- ports

/** Bytes at the port: the lowest opcode bit says byte or not. */
const portBytes = (opcode: number, opSize: number): number => ((opcode & 1) === 0 ? 1 : opSize === 16 ? 2 : 4);

const input: Meaning = (t, i) => {
  const bytes = portBytes(i.opcode, i.opSize);
  const port = t.isImmediate(1) ? t.constant(i.imm & 0xff) : t.zext(RDX, 16);
  t.storeNextPc();
  t.setReg(0, bytes * 8, t.call('inPort', t.b.temp(), port, 0, bytes));
  t.leave();
};

const output: Meaning = (t, i) => {
  const bytes = portBytes(i.opcode, i.opSize);
  const port = t.isImmediate(0) ? t.constant(i.imm & 0xff) : t.zext(RDX, 16);
  t.callLeave('outPort', port, t.zext(RAX, bytes * 8), bytes);
};

export const SYSTEM_ROWS: readonly Row[] = [
  ['8C /r', 'MOV Ev,Sw', '', movFromSegment],
  ['8E /r', 'MOV Sw,Ew', '', movToSegment],
  ['0F 00 /0', 'SLDT Ev', '', storeResult('sldt')],
  ['0F 00 /1', 'STR Ev', '', storeResult('str')],
  ['0F 00 /2', 'LLDT Ew', '', fromSelector('lldt', true)],
  ['0F 00 /3', 'LTR Ew', '', fromSelector('ltr', false, true)],
  ['0F 00 /4', 'VERR Ew', '', fromSelector('verr', false)],
  ['0F 00 /5', 'VERW Ew', '', fromSelector('verw', false)],
  ['0F 01 /0', 'SGDT Ms', '', tableStore('sgdt')],
  ['0F 01 /1', 'SIDT Ms', '', tableStore('sidt')],
  ['0F 01 /2', 'LGDT Ms', '', tableLoad('lgdt')],
  ['0F 01 /3', 'LIDT Ms', '', tableLoad('lidt')],
  ['0F 01 /4', 'SMSW Ev', '', storeResult('smsw')],
  ['0F 01 /6', 'LMSW Ew', '', lmsw],
  ['0F 01 /7', 'INVLPG Mb', '', invlpg],
  ['0F 01 C8', 'MONITOR', 'monitor', monitor],
  ['0F 01 C9', 'MWAIT', 'monitor', leaving('mwait')],
  ['0F 01 CA', 'CLAC', 'smap', leaving('clac')],
  ['0F 01 CB', 'STAC', 'smap', leaving('stac')],
  ['0F 01 D0', 'XGETBV', 'xsave', simple('xgetbv')],
  ['0F 01 D1', 'XSETBV', 'xsave', leaving('xsetbv')],
  ['0F 01 EE', 'RDPKRU', 'pku', simple('rdpkru')],
  ['0F 01 EF', 'WRPKRU', 'pku', leaving('wrpkru')],
  ['0F 01 F8 o64', 'SWAPGS', '', simple('swapgs')],
  ['0F 01 F9', 'RDTSCP', 'rdtscp', simple('rdtscp')],
  ['0F 02 /r', 'LAR Gv,Ew', '', inspect('lar')],
  ['0F 03 /r', 'LSL Gv,Ew', '', inspect('lsl')],
  ['63 /r i64', 'ARPL Ew,Gw', '', arpl],
  ['0F 05', 'SYSCALL', 'syscall', leaving('syscall')],
  ['0F 07', 'SYSRETW|SYSRETD|SYSRETQ', 'syscall', leaving('sysret')],
  ['0F 34', 'SYSENTER', 'sep', leaving('sysenter')],
  ['0F 35', 'SYSEXITW|SYSEXITD|SYSEXITQ', 'sep', leaving('sysexit')],
  ['0F 06', 'CLTS', '', leaving('clts')],
  ['0F 08', 'INVD', '', (t) => t.callVoid('wbinvd', 0, 0, 1)],
  ['0F 09', 'WBINVD', '', (t) => t.callVoid('wbinvd')],
  ['0F 20 /r modreg f64', 'MOV R,C', '', movFromCr],
  ['0F 22 /r modreg f64', 'MOV C,R', '', movToCr],
  ['0F 21 /r modreg f64', 'MOV R,D', '', movFromDr],
  ['0F 23 /r modreg f64', 'MOV D,R', '', movToDr],
  ['0F 30', 'WRMSR', 'msr', leaving('wrmsr')],
  ['0F 31', 'RDTSC', 'tsc', simple('rdtsc')],
  ['0F 32', 'RDMSR', 'msr', simple('rdmsr')],
  ['0F 33', 'RDPMC', '', simple('rdpmc')],
  ['0F A2', 'CPUID', '', simple('cpuid')],
  ['0F AA', 'RSM', '', leaving('rsm')],
  ['66 0F 38 82 /r', 'INVPCID Gy,Mdq', 'invpcid', invpcid],
  ['0F C7 /6', 'RDRAND Rv', 'rdrand', random('rdrand')],
  ['0F C7 /7', 'RDSEED Rv', 'rdseed', random('rdseed')],
  ['F3 0F C7 /7', 'RDPID R', 'rdpid', rdpid],
  ['F3 0F AE /0 o64', 'RDFSBASE Ry', 'fsgsbase', readBase(0)],
  ['F3 0F AE /1 o64', 'RDGSBASE Ry', 'fsgsbase', readBase(1)],
  ['F3 0F AE /2 o64', 'WRFSBASE Ry', 'fsgsbase', writeBase(0)],
  ['F3 0F AE /3 o64', 'WRGSBASE Ry', 'fsgsbase', writeBase(1)],
  ['NP 0F AE E8', 'LFENCE', 'sse2', nop],
  ['NP 0F AE F0', 'MFENCE', 'sse2', nop],
  ['NP 0F AE F8', 'SFENCE', 'sse', nop],
  ['NP 0F AE /7', 'CLFLUSH Mb', 'clflush', (t) => void t.loadMem(8)],
  ['66 0F AE /7', 'CLFLUSHOPT Mb', 'clflushopt', (t) => void t.loadMem(8)],
  ['66 0F AE /6', 'CLWB Mb', 'clwb', (t) => void t.loadMem(8)],
  ['FA', 'CLI', '', cli],
  ['FB', 'STI', '', leaving('sti')],
  ['F4', 'HLT', '', leaving('hlt')],
  ['F3 90', 'PAUSE', '', leaving('pause')],
  ['E4', 'IN AL,Ib', '', input],
  ['E5', 'IN rAX,Ib', '', input],
  ['EC', 'IN AL,DX', '', input],
  ['ED', 'IN rAX,DX', '', input],
  ['E6', 'OUT Ib,AL', '', output],
  ['E7', 'OUT Ib,rAX', '', output],
  ['EE', 'OUT DX,AL', '', output],
  ['EF', 'OUT DX,rAX', '', output],
];
