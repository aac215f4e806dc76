/** `info`, `check`, `map` and `snapshot`: what an image is, and whether it is in order. */
import { UserError } from '../../base/errors.js';
import { chainStatus } from '../../block/chain.js';
import type { CheckResult } from '../../block/check.js';
import { relativeTo } from '../../block/filename.js';
import type { FormatNode, InfoValue } from '../../block/format.js';
import { infoText } from '../../block/image-info.js';
import { isJsonName } from '../../block/options-name.js';
import { snapshotTable } from '../../block/snapshot-table.js';
import { type Command, using } from './context.js';
import { sizeOption, UsageError } from './getopt.js';
import { outputFormat, toJson } from './output.js';

export async function info(c: Command): Promise<number> {
  const json = outputFormat(c) === 'json';
  const whole = c.options.has('backing-chain');
  const parts: InfoValue[] = [];
  const texts: string[] = [];
  const seen = new Set<string>();
  let format = c.options.get('f');
  // Each image is opened by itself: one that cannot be opened is named.
  for (let name: string | undefined = c.image(); name !== undefined; ) {
    if (seen.has(name)) throw new UserError(`Backing file '${name}' creates an infinite loop.`);
    seen.add(name);
    const first = seen.size === 1;
    const node = await c.open(
      name,
      { readOnly: true, noBacking: true, forCheck: true, ...(format !== undefined && { format }) },
      first && c.options.has('image-opts'),
    );
    await using(node, async () => {
      const shown =
        isJsonName(name!) || (first && c.options.has('image-opts')) ? node.filename : name!.replace(/^file:/, '');
      if (json) parts.push(await infoJson(node, shown));
      else texts.push(await infoText(node, shown));
      name = whole && node.backingFile ? relativeTo(shown, node.backingFile) : undefined;
      format = node.backingFormat || undefined;
    });
  }
  c.print(json ? `${toJson(whole ? parts : parts[0]!)}\n` : texts.join('\n'));
  return 0;
}

async function infoJson(node: FormatNode, filename: string): Promise<InfoValue> {
  const facts = (await node.info?.()) ?? {};
  const snapshots = (await node.snapshots?.list()) ?? [];
  const allocated = node.allocatedBytes?.();
  return {
    ...(facts.compressed && { compressed: true }),
    ...(node.backingFormat && { 'backing-filename-format': node.backingFormat }),
    ...(snapshots.length > 0 && {
      snapshots: snapshots.map((s) => ({
        ...(s.icount !== undefined && { icount: s.icount }),
        'vm-clock-nsec': s.vmClockNs % 1e9,
        name: s.name,
        'date-sec': s.seconds,
        'date-nsec': s.nanoseconds,
        'vm-clock-sec': Math.floor(s.vmClockNs / 1e9),
        id: s.id,
        'vm-state-size': s.vmStateBytes,
      })),
    }),
    'virtual-size': node.length,
    filename,
    ...(facts.clusterSize !== undefined && { 'cluster-size': facts.clusterSize }),
    format: node.driver,
    ...(allocated !== undefined && { 'actual-size': allocated }),
    ...(facts.specific && { 'format-specific': { type: facts.specific.type, data: facts.specific.data } }),
    ...(node.backingFile && { 'full-backing-filename': relativeTo(filename, node.backingFile) }),
    ...(facts.encrypted && { encrypted: true }),
    ...(node.backingFile && { 'backing-filename': node.backingFile }),
    'dirty-flag': facts.dirty ?? false,
  };
}

export async function snapshot(c: Command): Promise<number> {
  const actions = ['l', 'a', 'c', 'd'].filter((a) => c.options.has(a));
  if (actions.length > 1) throw new UsageError("Cannot mix '-l', '-a', '-c', '-d'");
  const action = actions[0] ?? 'l';
  const name = c.options.get(action) ?? '';
  if (action !== 'l') c.refuseSharing();
  const node = await c.open(c.image(), { readOnly: action === 'l', noBacking: action === 'l' });
  await using(node, async () => {
    const { snapshots } = node;
    if (action === 'l') {
      const list = (await snapshots?.list()) ?? [];
      if (list.length > 0) c.print(`Snapshot list:\n${snapshotTable(list)}`);
      return;
    }
    const doing = { a: 'apply', c: 'create', d: 'delete' }[action]!;
    const fail = (reason: string): never => {
      throw new UserError(`Could not ${doing} snapshot '${name}': ${reason}`);
    };
    if (!snapshots) {
      const reasons = { a: 'Block driver does not support snapshots', d: 'snapshot not found' };
      return fail(reasons[action as 'a' | 'd'] ?? '-95 (Operation not supported)');
    }
    // As with qemu-img, one is applied by its number or its name, and deleted by its name alone.
    const known = (await snapshots.list()).find((s) => s.name === name || (action === 'a' && s.id === name));
    if (action !== 'c' && !known)
      fail(action === 'd' ? 'snapshot not found' : 'Failed to load snapshot: No such file or directory');
    try {
      if (action === 'c') await snapshots.create({ name, time: Date.now() / 1000 });
      else if (action === 'a') await snapshots.apply(name);
      else await snapshots.delete(known!.id);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      fail(error.message);
    }
  });
  return 0;
}

const CHECK_FAILED = 1;
const CORRUPT = 2;
const LEAKS = 3;
const NOT_SUPPORTED = 63;

export async function check(c: Command): Promise<number> {
  const json = outputFormat(c) === 'json';
  const what = c.options.get('r');
  if (what !== undefined && what !== 'leaks' && what !== 'all') {
    throw new UsageError(`Unknown option value for -r (expecting 'leaks' or 'all'): ${what}`);
  }
  const format = c.options.get('f');
  const filename = c.image();
  if (what !== undefined) c.refuseSharing();
  const node = await c.open(filename, {
    readOnly: what === undefined,
    forCheck: true,
    cache: c.cache('T', 'writeback'),
    ...(format !== undefined && { format }),
  });
  return using(node, async () => {
    if (!node.check) {
      c.error('This image format does not support checks');
      return NOT_SUPPORTED;
    }
    const result = await node.check(what === undefined ? null : { leaks: true, errors: what === 'all' });
    if (!c.quiet) for (const line of result.messages) c.io.err(`${line}\n`);
    if (json) c.print(`${toJson(checkJson(result, filename, node.driver))}\n`);
    else {
      if (result.corruptionsFixed > 0 || result.leaksFixed > 0) {
        c.say(
          `The following inconsistencies were found and repaired:\n\n    ${result.leaksFixed} leaked clusters\n    ${result.corruptionsFixed} corruptions\n\nDouble checking the fixed image now...\n`,
        );
      }
      if (!c.quiet) c.print(checkText(result));
    }
    if (result.corruptions > 0) return CORRUPT;
    if (result.leaks > 0) return LEAKS;
    return result.checkErrors > 0 ? CHECK_FAILED : 0;
  });
}

function checkText(r: CheckResult): string {
  let text = '';
  if (r.corruptions === 0 && r.leaks === 0 && r.checkErrors === 0) text += 'No errors were found on the image.\n';
  else {
    if (r.corruptions > 0) {
      text += `\n${r.corruptions} errors were found on the image.\nData may be corrupted, or further writes to the image may corrupt it.\n`;
    }
    if (r.leaks > 0) {
      text += `\n${r.leaks} leaked clusters were found on the image.\nThis means waste of disk space, but no harm to data.\n`;
    }
    if (r.checkErrors > 0) text += `\n${r.checkErrors} internal errors have occurred during the check.\n`;
  }
  if (r.totalClusters !== 0 && r.allocatedClusters !== 0) {
    const percent = (n: number, of: number): string => ((n * 100) / of).toFixed(2);
    text += `${r.allocatedClusters}/${r.totalClusters} = ${percent(r.allocatedClusters, r.totalClusters)}% allocated, ${percent(r.fragmentedClusters, r.allocatedClusters)}% fragmented, ${percent(r.compressedClusters, r.allocatedClusters)}% compressed clusters\n`;
  }
  if (r.imageEndOffset > 0) text += `Image end offset: ${r.imageEndOffset}\n`;
  return text;
}

function checkJson(r: CheckResult, filename: string, format: string): InfoValue {
  return {
    ...(r.imageEndOffset > 0 && { 'image-end-offset': r.imageEndOffset }),
    ...(r.compressedClusters > 0 && { 'compressed-clusters': r.compressedClusters }),
    ...(r.totalClusters > 0 && { 'total-clusters': r.totalClusters }),
    ...(r.corruptions > 0 && { corruptions: r.corruptions }),
    ...(r.corruptionsFixed > 0 && { 'corruptions-fixed': r.corruptionsFixed }),
    'check-errors': r.checkErrors,
    ...(r.leaks > 0 && { leaks: r.leaks }),
    ...(r.leaksFixed > 0 && { 'leaks-fixed': r.leaksFixed }),
    ...(r.allocatedClusters > 0 && { 'allocated-clusters': r.allocatedClusters }),
    filename,
    format,
    ...(r.fragmentedClusters > 0 && { 'fragmented-clusters': r.fragmentedClusters }),
  };
}

interface MapEntry {
  start: number;
  length: number;
  readonly depth: number;
  readonly present: boolean;
  readonly zero: boolean;
  readonly data: boolean;
  readonly offset: number | undefined;
  readonly filename: string | undefined;
  readonly compressed: boolean;
}

/** Longest range asked about at a time. */
const MAP_STEP = 1 << 30;

export async function map(c: Command): Promise<number> {
  const json = outputFormat(c) === 'json';
  const format = c.options.get('f');
  const start = c.options.has('s') ? sizeOption('start offset', c.options.get('s')!) : 0;
  const longest = c.options.has('l') ? sizeOption('max length', c.options.get('l')!) : undefined;
  const node = await c.open(c.image(), { readOnly: true, ...(format !== undefined && { format }) });
  await using(node, async () => {
    const end = Math.min(node.length, longest === undefined ? node.length : start + longest);
    let current: MapEntry | undefined;
    let first = true;
    if (!json) c.print(`${'Offset'.padEnd(16)}${'Length'.padEnd(16)}${'Mapped to'.padEnd(16)}File\n`);
    const show = (e: MapEntry, last: boolean): void => {
      if (!json) {
        if (!e.data || e.zero) return;
        if (e.offset === undefined || e.filename === undefined) {
          throw new UserError('File contains external, encrypted or compressed clusters.');
        }
        const hex = (n: number): string => `${n === 0 ? '0' : `0x${n.toString(16)}`}`.padEnd(16);
        c.print(`${hex(e.start)}${hex(e.length)}${hex(e.offset)}${e.filename}\n`);
        return;
      }
      const place = e.offset === undefined ? '' : `, "offset": ${e.offset}`;
      c.print(
        `${first ? '[' : ''}{ "start": ${e.start}, "length": ${e.length}, "depth": ${e.depth}, "present": ${e.present}, "zero": ${e.zero}, "data": ${e.data}${place}}${last ? '' : ',\n'}`,
      );
      first = false;
    };
    for (let at = start; at < end; ) {
      const s = await chainStatus(node, at, Math.min(end - at, MAP_STEP));
      const entry: MapEntry = {
        start: at,
        length: s.length,
        depth: s.depth,
        present: s.allocated,
        zero: s.zero,
        data: s.data,
        offset: s.data || s.offset !== undefined ? s.offset : undefined,
        filename: s.offset === undefined ? undefined : s.file?.filename,
        compressed: s.compressed ?? false,
      };
      at += s.length;
      if (current && joins(current, entry)) current.length += entry.length;
      else {
        if (current) show(current, false);
        current = entry;
      }
    }
    if (current) show(current, true);
    if (json) c.print(current ? ']\n' : '[]\n');
  });
  return 0;
}

function joins(a: MapEntry, b: MapEntry): boolean {
  return (
    a.zero === b.zero &&
    a.data === b.data &&
    a.present === b.present &&
    a.depth === b.depth &&
    a.compressed === b.compressed &&
    a.filename === b.filename &&
    (a.offset === undefined ? b.offset === undefined : b.offset === a.offset + a.length)
  );
}
