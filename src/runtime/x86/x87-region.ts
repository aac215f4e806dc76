/** What compiled code with x87 instructions in line (jit/lower-x87.ts) asks for out of its way: shorter than in line. */
// hot path
import { PE } from '../float/control';
import {
  X86_CS_SELECTOR,
  X86_FCS,
  X86_FCW,
  X86_FDS,
  X86_FOP,
  X86_FP_TAGS,
  X86_FP_TOP,
  X86_FSW,
} from '../generated/x86';
import { C1, ES } from './x87-state';

/** Tags from register `base` on, bit 0 being its own, as memory has them; and the other way round. */
function toMemory(tags: u32, base: u32): u32 {
  return (((tags | (tags << 8)) << base) >> 8) & 0xff;
}
function fromMemory(tags: u32, base: u32): u32 {
  return ((tags | (tags << 8)) >> base) & 0xff;
}

/**
 * Memory gets what the code has kept in locals, but for registers. `what`: bits 0..2 TOP - base, 3 whether memory has another,
 * 4..11 tags that change, 12 whether the status word has changed, 13 whether to record the code selector, 16..26 the last opcode.
 * `data`: offset of the data selector to record, or 0.
 */
export function x87Store(
  cpu: usize,
  base: u64,
  tags: u64,
  fsw: u64,
  inexact: u64,
  c1: u64,
  what: u32,
  data: usize,
): void {
  const changed = (what >> 4) & 0xff;
  if (changed !== 0) store<u32>(cpu + X86_FP_TAGS, toMemory(u32(tags) ^ changed, u32(base)));
  if ((what & 8) !== 0) store<u32>(cpu + X86_FP_TOP, (u32(base) + what) & 7);
  if ((what & 0x1000) !== 0)
    store<u32>(cpu + X86_FSW, (u32(fsw) & ~C1) | (inexact !== 0 ? PE : 0) | (c1 !== 0 ? C1 : 0));
  store<u32>(cpu + X86_FOP, what >> 16);
  if ((what & 0x2000) !== 0) store<u32>(cpu + X86_FCS, load<u32>(cpu + X86_CS_SELECTOR));
  if (data !== 0) store<u32>(cpu + X86_FDS, load<u32>(cpu + data));
}

/**
 * After a helper: negative when it has left another TOP or other tags than foreseen. Else both are put into memory as the code
 * believes them to be there: tags from `base` on in bits 0..7, status word in bits 8..23, and bit 62 unless control and status
 * are such that the code may go on in line. `what`: bits 0..2 TOP foreseen, 3..5 TOP believed (both less `base`), 8..15 tags foreseen,
 * 16..23 those of them that are set, 24..31 tags believed to be the other way. `usual`: the control word's bits in `mask`.
 */
export function x87Resume(cpu: usize, base: u64, what: u32, mask: u32, usual: u32): u64 {
  const first = u32(base);
  let tags = fromMemory(load<u32>(cpu + X86_FP_TAGS), first);
  if (load<u32>(cpu + X86_FP_TOP) !== ((first + what) & 7) || (tags & (what >> 8) & 0xff) !== ((what >> 16) & 0xff))
    return u64.MAX_VALUE;
  tags ^= what >> 24;
  store<u32>(cpu + X86_FP_TOP, (first + (what >> 3)) & 7);
  store<u32>(cpu + X86_FP_TAGS, toMemory(tags, first));
  const fsw = load<u32>(cpu + X86_FSW);
  const isUsual = (load<u32>(cpu + X86_FCW) & mask) === usual && (fsw & ES) === 0;
  return u64(tags) | (u64(fsw) << 8) | (isUsual ? 0 : (<u64>1) << 62);
}
