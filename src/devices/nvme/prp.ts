/** Physical region pages: where the data of a command lies. NVM Express 1.4, 4.3. */
import { getU64 } from '../../base/bytes.js';
import type { DmaMemory } from '../../memory/io.js';

const PRP1_AT = 24;
const PRP2_AT = 32;
const ENTRY_BYTES = 8;

/** `bytes` of RAM that a command names; undefined when its pages are misaligned or not in RAM. */
export function prpPieces(
  memory: DmaMemory,
  command: Uint8Array,
  bytes: number,
  page: number,
  forWriting: boolean,
): Uint8Array[] | undefined {
  const pieces: Uint8Array[] = [];
  /** True when all of it is RAM. */
  const add = (address: number, length: number): boolean => {
    for (let done = 0; done < length; ) {
      const piece = memory.ram(address + done, length - done, forWriting);
      if (!piece) return false;
      pieces.push(piece);
      done += piece.length;
    }
    return true;
  };
  const first = getU64(command, PRP1_AT);
  const head = Math.min(bytes, page - (first % page));
  if (first % 4 !== 0 || !add(first, head)) return undefined;
  let left = bytes - head;
  if (left === 0) return pieces;
  const second = getU64(command, PRP2_AT);
  if (left <= page) return second % page === 0 && add(second, left) ? pieces : undefined;
  // A list; its last entry in a page is the next list when there is more than one page left.
  const entry = new Uint8Array(ENTRY_BYTES);
  let at = second;
  if (at % ENTRY_BYTES !== 0) return undefined;
  while (left > 0) {
    if (!memory.ram(at, ENTRY_BYTES, false)) return undefined;
    memory.read(at, entry);
    const address = getU64(entry, 0);
    if (at % page === page - ENTRY_BYTES && left > page) {
      if (address % page !== 0) return undefined;
      at = address;
      continue;
    }
    const length = Math.min(left, page);
    if (address % page !== 0 || !add(address, length)) return undefined;
    left -= length;
    at += ENTRY_BYTES;
  }
  return pieces;
}
