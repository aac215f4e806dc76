/** IN and OUT. */
import { portIn, portOut } from '../core/env';
import { faulted } from './cpu';
import { ioBreakpoint } from './debug';
import { ioAllowed } from './tasks';

export function checkIo(cpu: usize, a: u64, _b: u64, imm: u32): u64 {
  if (ioAllowed(cpu, <u32>a & 0xffff, imm)) ioBreakpoint(cpu, <u32>a & 0xffff, imm);
  return 0;
}
export function inPort(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  checkIo(cpu, a, b, imm);
  if (faulted(cpu)) return 0;
  const value = <u64>portIn(cpu, <u32>a & 0xffff, imm);
  return imm === 1 ? value & 0xff : imm === 2 ? value & 0xffff : value;
}
export function outPort(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  checkIo(cpu, a, b, imm);
  if (faulted(cpu)) return 0;
  const value = imm === 1 ? b & 0xff : imm === 2 ? b & 0xffff : b & 0xffffffff;
  portOut(cpu, <u32>a & 0xffff, imm, <u32>value);
  return 0;
}
