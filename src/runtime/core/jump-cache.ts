/** The jump cache of a vCPU: blocks by linear pc, each in one of two places. */
// hot path

import { JUMP_CACHE_ENTRIES, JUMP_PC, JUMP_SIZE, VCPU_JUMP_CACHE } from '../generated/layout';

/** Copies a jump cache entry. */
function copyEntry(to: usize, from: usize): void {
  store<u64>(to, load<u64>(from));
  store<u64>(to, load<u64>(from, 8), 8);
  store<u64>(to, load<u64>(from, 16), 16);
}

/** Where the entry for `linear` goes that `jumpEntry` gave up to newer code: the neighbour. */
export function secondEntry(cpu: usize, linear: u64): usize {
  return jumpEntry(cpu, linear ^ 1);
}

/** The jump cache entry for `linear` is about to be filled: what it holds moves to its second place. */
export function displaceEntry(cpu: usize, linear: u64, entry: usize): void {
  if (load<u64>(entry + JUMP_PC) !== linear) copyEntry(secondEntry(cpu, linear), entry);
}

/** Is the entry for `linear` in its second place? Then the two change places. */
export function swapEntries(cpu: usize, linear: u64, entry: usize): bool {
  const second = secondEntry(cpu, linear);
  if (load<u64>(second + JUMP_PC) !== linear) return false;
  const pc = load<u64>(entry);
  const key = load<u64>(entry, 8);
  const block = load<u64>(entry, 16);
  copyEntry(entry, second);
  store<u64>(second, pc);
  store<u64>(second, key, 8);
  store<u64>(second, block, 16);
  return true;
}

/** The vCPU's jump cache entry for code at `linear`. Compiled code computes the same (src/jit/lower-memory.ts). */
export function jumpEntry(cpu: usize, linear: u64): usize {
  const hash = (<u32>linear ^ <u32>(linear >> 12)) & (JUMP_CACHE_ENTRIES - 1);
  return <usize>load<u32>(cpu + VCPU_JUMP_CACHE) + <usize>hash * JUMP_SIZE;
}
