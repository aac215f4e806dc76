/** The region tree and flat views as plain data: `info mtree`. */
import { FlatFlag } from '../ir/layout.js';
import type { AddressSpace } from './address-space.js';
import type { Memory } from './memory.js';
import type { MemoryRegion, RegionKind } from './region.js';

export interface RegionInfo {
  readonly name: string;
  readonly kind: RegionKind;
  /** Absolute addresses within the tree that it is shown in; `last` is inclusive. */
  readonly start: number;
  readonly last: number;
  readonly priority: number;
  readonly enabled: boolean;
  readonly readOnly: boolean;
  /** For an alias: the region shown, and which part of it. */
  readonly alias?: {
    readonly name: string;
    readonly kind: RegionKind;
    readonly start: number;
    readonly last: number;
  };
  readonly subRegions: readonly RegionInfo[];
}

export interface AddressSpaceInfo {
  readonly name: string;
  readonly root: RegionInfo;
}

export interface FlatRangeInfo {
  readonly start: number;
  readonly last: number;
  readonly name: string;
  readonly kind: RegionKind;
  readonly offset: number;
  readonly readOnly: boolean;
  /** Of its region within the container that holds it. */
  readonly priority: number;
}

/** A flat view and the address spaces that share it. */
export interface FlatViewInfo {
  readonly spaces: readonly { readonly name: string; readonly root: string }[];
  readonly ranges: readonly FlatRangeInfo[];
}

/** What an alias shows in the end. */
const behind = (region: MemoryRegion): MemoryRegion => (region.target ? behind(region.target) : region);

function describeRegion(region: MemoryRegion, start: number, priority: number): RegionInfo {
  const { target, targetOffset, size } = region;
  return {
    name: region.name,
    kind: region.kind,
    start,
    last: start + size - 1,
    priority,
    enabled: region.enabled,
    readOnly: region.readOnly,
    ...(target && {
      alias: { name: target.name, kind: behind(target).kind, start: targetOffset, last: targetOffset + size - 1 },
    }),
    // By address, as a reader looks for them; `subRegions` is ordered by who wins.
    subRegions: region.subRegions
      .map((sub) => describeRegion(sub.region, start + sub.offset, sub.priority))
      .sort((a, b) => a.start - b.start || b.priority - a.priority),
  };
}

export function describeAddressSpaces(memory: Memory): readonly AddressSpaceInfo[] {
  return memory.addressSpaces.map(({ name, root }) => ({ name, root: describeRegion(root, 0, 0) }));
}

/** Regions that only aliases show, as trees of their own: what aliases in `spaces` point to and no tree contains. */
export function describeAliasTargets(memory: Memory): readonly RegionInfo[] {
  const roots = new Set(memory.addressSpaces.map((space) => space.root));
  const found = new Set<MemoryRegion>();
  const topOf = (region: MemoryRegion): MemoryRegion => (region.parent ? topOf(region.parent) : region);
  const visit = (region: MemoryRegion): void => {
    if (region.target) {
      const top = topOf(region.target);
      if (!roots.has(top) && !found.has(top)) {
        found.add(top);
        visit(top);
      }
    }
    for (const sub of region.subRegions) visit(sub.region);
  };
  for (const root of roots) visit(root);
  return [...found].map((region) => describeRegion(region, 0, 0));
}

/** `info mtree -f`. */
export function describeFlatView(space: AddressSpace): readonly FlatRangeInfo[] {
  return space.ranges.map(({ start, last, owner, offset, flags }) => ({
    start,
    last,
    name: owner.name,
    kind: owner.kind,
    offset,
    readOnly: (flags & FlatFlag.ramRead) !== 0 && (flags & FlatFlag.ramWrite) === 0,
    priority: owner.parent?.subRegions.find((sub) => sub.region === owner)?.priority ?? 0,
  }));
}

/** Address spaces that look the same are told together. */
export function describeFlatViews(memory: Memory): readonly FlatViewInfo[] {
  const views = new Map<string, { spaces: { name: string; root: string }[]; ranges: readonly FlatRangeInfo[] }>();
  for (const space of memory.addressSpaces) {
    const ranges = describeFlatView(space);
    const key = JSON.stringify(ranges);
    const view = views.get(key) ?? { spaces: [], ranges };
    view.spaces.push({ name: space.name, root: space.root.name });
    views.set(key, view);
  }
  return [...views.values()];
}
