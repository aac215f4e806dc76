/** Translated blocks: storage, lookup by host address and mode, and what happens when their code is written. */
// hot path

import { clearChain, currentBlock } from '../generated/interpreter';
import {
  BLOCK_BYTES,
  BLOCK_ENTRY,
  BLOCK_HASH,
  BLOCK_HASH_NEXT,
  BLOCK_HOST,
  BLOCK_HOST2,
  BLOCK_INSTRUCTIONS,
  BLOCK_MODE,
  BLOCK_PAGE_NEXT,
  BLOCK_PAGE2_NEXT,
  BLOCK_REGION,
  BLOCK_VALID,
  JUMP_CACHE_ENTRIES,
  JUMP_MODE,
  JUMP_PC,
  JUMP_SIZE,
  MACHINE_BLOCK_HASH,
  MACHINE_CODE_EPOCH,
  MACHINE_CODE_GRANULES,
  MACHINE_CODE_PAGES,
  MACHINE_VCPU_COUNT,
  MACHINE_VCPUS,
  VCPU_EXECUTED_PAGES,
  VCPU_EXIT_REQUEST,
  VCPU_JUMP_CACHE,
  VCPU_MACHINE,
} from '../generated/layout';
import { blockInvalidated } from './env';
import { jumpEntry, secondEntry } from './jump-cache';
import { watchWrites } from './memory';

const PAGE: u32 = 4096;

/** Changes whenever compiled code may have become void: guest calls in progress do not go back into it then. */
export let codeEpoch: u32 = 0;

/** Guest calls in progress return to the dispatcher instead of going on in their region. Compiled code reads it in the machine's record. */
export function newEpoch(machine: usize): void {
  codeEpoch++;
  store<u32>(machine + MACHINE_CODE_EPOCH, codeEpoch);
}

function hashSlot(machine: usize, host: u32, mode: u32): usize {
  const hash = (host * 0x9e3779b1 + mode * 0x85ebca6b) >> 14;
  return <usize>load<u32>(machine + MACHINE_BLOCK_HASH) + <usize>((hash & (BLOCK_HASH - 1)) << 2);
}

/** The valid block for code at `host` under `mode`, or 0. */
export function findBlock(machine: usize, host: u32, mode: u32): usize {
  let block = <usize>load<u32>(hashSlot(machine, host, mode));
  while (block) {
    if (load<u32>(block + BLOCK_HOST) === host && load<u32>(block + BLOCK_MODE) === mode) return block;
    block = <usize>load<u32>(block + BLOCK_HASH_NEXT);
  }
  return 0;
}

/** Bits of the 64-byte granules that [offset, offset + bytes) touches inside one page. */
function granules(offset: u32, bytes: u32): u64 {
  const first = offset >> 6;
  const last = min<u32>((offset + bytes - 1) >> 6, 63);
  return ((<u64>-1) << (<u64>first)) & (<u64>-1 >> <u64>(63 - last));
}

function linkPage(machine: usize, block: usize, host: u32, bytes: u32, nextField: usize): void {
  const page = <usize>(host >> 12);
  const head = <usize>load<u32>(machine + MACHINE_CODE_PAGES) + (page << 2);
  const first = load<u32>(head);
  store<u32>(block + nextField, first);
  store<u32>(head, <u32>block);
  const bits = <usize>load<u32>(machine + MACHINE_CODE_GRANULES) + (page << 3);
  store<u64>(bits, load<u64>(bits) | granules(host & 0xfff, bytes));
  if (first === 0) watchWrites(machine, <usize>(host & ~0xfff), <usize>(host | 0xfff));
}

/** Enters a block whose head the host has filled in: it can be found, and writes to its code are seen. */
export function addBlock(machine: usize, block: usize): void {
  const host = load<u32>(block + BLOCK_HOST);
  const bytes = <u32>load<u16>(block + BLOCK_BYTES);
  const slot = hashSlot(machine, host, load<u32>(block + BLOCK_MODE));
  store<u32>(block + BLOCK_HASH_NEXT, load<u32>(slot));
  store<u32>(slot, <u32>block);
  store<u32>(block + BLOCK_VALID, 1);
  const inPage: u32 = 4096 - (host & 0xfff);
  linkPage(machine, block, host, min<u32>(bytes, inPage), BLOCK_PAGE_NEXT);
  const host2 = load<u32>(block + BLOCK_HOST2);
  if (host2) linkPage(machine, block, host2, bytes - inPage, BLOCK_PAGE2_NEXT);
}

/** Makes a block unfindable; compiled regions that contain it are dropped by the host. */
export function invalidateBlock(machine: usize, block: usize): void {
  if (!load<u32>(block + BLOCK_VALID)) return;
  store<u32>(block + BLOCK_VALID, 0);
  let at = hashSlot(machine, load<u32>(block + BLOCK_HOST), load<u32>(block + BLOCK_MODE));
  while (load<u32>(at)) {
    if (load<u32>(at) === <u32>block) {
      store<u32>(at, load<u32>(block + BLOCK_HASH_NEXT));
      break;
    }
    at = <usize>load<u32>(at) + BLOCK_HASH_NEXT;
  }
  if (load<u32>(block + BLOCK_REGION) || load<u32>(block + BLOCK_ENTRY)) {
    newEpoch(machine);
    blockInvalidated(block);
  }
}

/** Drops every vCPU's jump cache: entries may name blocks whose storage is used anew, or pages that moved. */
export function clearJumpCaches(machine: usize): void {
  const count = load<u32>(machine + MACHINE_VCPU_COUNT);
  for (let i: u32 = 0; i < count; i++) clearJumpCache(<usize>load<u32>(machine + MACHINE_VCPUS + <usize>(i << 2)));
}

export function clearJumpCache(cpu: usize): void {
  newEpoch(<usize>load<u32>(cpu + VCPU_MACHINE));
  memory.fill(<usize>load<u32>(cpu + VCPU_JUMP_CACHE), 0, <usize>JUMP_CACHE_ENTRIES * JUMP_SIZE);
}

/** Notes that the jump cache has an entry for code at `linear`. */
export function markExecuted(cpu: usize, linear: u64): void {
  const page = <usize>(linear >> 12);
  const word = cpu + VCPU_EXECUTED_PAGES + (((page >> 6) & 63) << 3);
  store<u64>(word, load<u64>(word) | ((<u64>1) << (<u64>page & 63)));
}

const LONGEST_INSTRUCTION: u64 = 15;

/** The translation of one linear page is void: so are the vCPU's jump cache entries in it, and into it. */
export function flushJumpPage(cpu: usize, linear: u64): void {
  const page = <usize>(linear >> 12);
  const word = cpu + VCPU_EXECUTED_PAGES + (((page >> 6) & 63) << 3);
  if (!((load<u64>(word) >> (<u64>page & 63)) & 1)) return;
  newEpoch(<usize>load<u32>(cpu + VCPU_MACHINE));
  // Hash bits above the page offset are the same for all of the page: its entries are in one run.
  const run = (<u32>page ^ <u32>(page >> 12)) & (JUMP_CACHE_ENTRIES / PAGE - 1);
  let entry = <usize>load<u32>(cpu + VCPU_JUMP_CACHE) + <usize>(run * PAGE) * JUMP_SIZE;
  const end = entry + <usize>PAGE * JUMP_SIZE;
  for (; entry < end; entry += JUMP_SIZE) {
    // No valid key is 0: generations count from 1.
    if (load<u64>(entry + JUMP_PC) >> 12 === linear >> 12) store<u64>(entry + JUMP_MODE, 0);
  }
  // An instruction that begins in the page before may end in this one.
  for (let back: u64 = 1; back < LONGEST_INSTRUCTION; back++) {
    const pc = (linear & ~0xfff) - back;
    entry = jumpEntry(cpu, pc);
    if (load<u64>(entry + JUMP_PC) === pc) store<u64>(entry + JUMP_MODE, 0);
    entry = secondEntry(cpu, pc);
    if (load<u64>(entry + JUMP_PC) === pc) store<u64>(entry + JUMP_MODE, 0);
  }
}

/** True when the block is in the list of the page at `page` as its first page. */
function startsIn(block: usize, page: u32): bool {
  return (load<u32>(block + BLOCK_HOST) & ~0xfff) === page;
}

/** The block's bytes inside the page at `page`, as granules of that page. */
function granulesOf(block: usize, page: u32): u64 {
  const host = load<u32>(block + BLOCK_HOST);
  const bytes = <u32>load<u16>(block + BLOCK_BYTES);
  const inPage: u32 = 4096 - (host & 0xfff);
  return startsIn(block, page) ? granules(host & 0xfff, min<u32>(bytes, inPage)) : granules(0, bytes - inPage);
}

function overlaps(block: usize, page: u32, from: u32, to: u32): bool {
  const host = load<u32>(block + BLOCK_HOST);
  const bytes = <u32>load<u16>(block + BLOCK_BYTES);
  if (startsIn(block, page)) return host < to && host + bytes > from;
  return page < to && page + bytes - (4096 - (host & 0xfff)) > from;
}

/**
 * Would a write (inside one page) change the block that is running, beyond its last instruction? While compiled code runs,
 * any translated code counts.
 */
export function hitsRunningCode(machine: usize, host: usize, bytes: u32): bool {
  const bits = load<u64>(<usize>load<u32>(machine + MACHINE_CODE_GRANULES) + ((host >> 12) << 3));
  if (!(bits & granules(<u32>host & 0xfff, bytes))) return false;
  if (currentBlock === 0xffffffff) return true;
  if (currentBlock === 0 || load<u16>(currentBlock + BLOCK_INSTRUCTIONS) === 1) return false;
  return overlaps(currentBlock, <u32>host & ~0xfff, <u32>host, <u32>host + bytes);
}

/** Bytes of RAM inside one page have changed: blocks that were made from them are no longer valid. */
export function codeWritten(machine: usize, host: usize, bytes: u32): void {
  const head = <usize>load<u32>(machine + MACHINE_CODE_PAGES) + ((host >> 12) << 2);
  if (load<u32>(head) === 0) return;
  const bits = <usize>load<u32>(machine + MACHINE_CODE_GRANULES) + ((host >> 12) << 3);
  if (!(load<u64>(bits) & granules(<u32>host & 0xfff, bytes))) return;
  const page = <u32>host & ~0xfff;
  const from = <u32>host;
  const to = from + bytes;
  let kept: u64 = 0;
  let hit = false;
  let at = head;
  let block = <usize>load<u32>(head);
  while (block) {
    const nextField = startsIn(block, page) ? BLOCK_PAGE_NEXT : BLOCK_PAGE2_NEXT;
    const next = <usize>load<u32>(block + nextField);
    if (load<u32>(block + BLOCK_VALID) && overlaps(block, page, from, to)) {
      invalidateBlock(machine, block);
      hit = true;
    }
    if (load<u32>(block + BLOCK_VALID)) {
      kept |= granulesOf(block, page);
      at = block + nextField;
    } else store<u32>(at, <u32>next);
    block = next;
  }
  store<u64>(bits, kept);
  if (!hit) return;
  // The running block may be among them: stop chained execution at its next poll.
  const count = load<u32>(machine + MACHINE_VCPU_COUNT);
  for (let i: u32 = 0; i < count; i++) {
    atomic.or<u32>(<usize>load<u32>(machine + MACHINE_VCPUS + <usize>(i << 2)) + VCPU_EXIT_REQUEST, 1);
  }
}

/** The same for a range that may span pages (device DMA). */
export function codeRangeWritten(machine: usize, host: usize, bytes: u32): void {
  while (bytes) {
    const part = min<u32>(bytes, 4096 - (<u32>host & 0xfff));
    codeWritten(machine, host, part);
    host += part;
    bytes -= part;
  }
}

/** Forgets all blocks (storage full, or none may be reused). The host drops its compiled regions. */
export function resetCode(machine: usize, ramPages: u32): void {
  newEpoch(machine);
  memory.fill(<usize>load<u32>(machine + MACHINE_CODE_PAGES), 0, (<usize>ramPages) << 2);
  memory.fill(<usize>load<u32>(machine + MACHINE_CODE_GRANULES), 0, (<usize>ramPages) << 3);
  memory.fill(<usize>load<u32>(machine + MACHINE_BLOCK_HASH), 0, (<usize>BLOCK_HASH) << 2);
  clearChain();
  clearJumpCaches(machine);
}
