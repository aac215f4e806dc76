/** A region tree as a sorted list of ranges that do not overlap. */
import { FlatFlag } from '../ir/layout.js';
import type { MemoryRegion } from './region.js';

/** One range; the fields are those of FLAT_RANGE (src/ir/layout.ts), plus the region object. */
export interface FlatRange {
  readonly start: number;
  /** Inclusive. */
  readonly last: number;
  /** FlatFlag */
  readonly flags: number;
  /** Linear-memory address of `start`, for RAM and ROM; else 0. */
  readonly host: number;
  /** Number of the I/O region that answers what RAM does not; 0: nothing does. */
  readonly region: number;
  /** Offset of `start` in its region. */
  readonly offset: number;
  readonly owner: MemoryRegion;
}

/** Flattens `root`. Addresses in no range are unassigned. */
export function flatten(root: MemoryRegion): FlatRange[] {
  const ranges: FlatRange[] = [];
  render(ranges, root, 0, 0, root.size - 1, false);
  return coalesce(ranges);
}

/** Adds what of `region`, whose offset 0 lies at `base`, is seen within first..last and not covered yet. */
function render(
  ranges: FlatRange[],
  region: MemoryRegion,
  base: number,
  first: number,
  last: number,
  readOnly: boolean,
): void {
  if (!region.enabled) return;
  const from = Math.max(first, base);
  const to = Math.min(last, base + region.size - 1);
  if (from > to) return;
  const locked = readOnly || region.readOnly;
  if (region.target) {
    render(ranges, region.target, base - region.targetOffset, from, to, locked);
    return;
  }
  for (const sub of region.subRegions) render(ranges, sub.region, base + sub.offset, from, to, locked);
  if (region.kind !== 'container') fill(ranges, region, base, from, to, locked);
}

function fill(
  ranges: FlatRange[],
  region: MemoryRegion,
  base: number,
  first: number,
  last: number,
  readOnly: boolean,
): void {
  let at = 0;
  let from = first;
  while (from <= last) {
    while (at < ranges.length && ranges[at]!.last < from) at++;
    const next = ranges[at];
    if (next && next.start <= from) {
      from = next.last + 1;
      continue;
    }
    const to = next ? Math.min(last, next.start - 1) : last;
    ranges.splice(at, 0, makeRange(region, base, from, to, readOnly));
    from = to + 1;
  }
}

function makeRange(region: MemoryRegion, base: number, start: number, last: number, readOnly: boolean): FlatRange {
  const offset = start - base;
  const usesRam = region.ram !== undefined && region.romdMode;
  let flags = region.index ? FlatFlag.ioWrite : 0;
  if (usesRam) flags |= FlatFlag.ramRead;
  else if (region.index) flags |= FlatFlag.ioRead;
  if (region.kind === 'ram' && !readOnly) flags |= FlatFlag.ramWrite;
  if (region.dirtyLog) flags |= FlatFlag.dirtyLog;
  const host = region.ram && usesRam ? region.ram.host + offset : 0;
  return { start, last, flags, host, region: region.index, offset, owner: region };
}

/** Joins neighbours that continue each other, so that splitting a container does not split its pages. */
function coalesce(ranges: readonly FlatRange[]): FlatRange[] {
  const joined: FlatRange[] = [];
  for (const range of ranges) {
    const before = joined.at(-1);
    if (
      before &&
      before.owner === range.owner &&
      before.flags === range.flags &&
      before.last + 1 === range.start &&
      before.offset + (range.start - before.start) === range.offset
    ) {
      joined[joined.length - 1] = { ...before, last: range.last };
    } else joined.push(range);
  }
  return joined;
}
