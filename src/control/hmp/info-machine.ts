/** `info mtree`, `qtree`, `block`, `chardev`, `roms`, `jit`: what the machine is made of. */
import { UserError } from '../../base/errors.js';
import { chainOf } from '../../block/chain.js';
import type { Drive } from '../../block/drive.js';
import { infoText } from '../../block/image-info.js';
import type { BusNode } from '../../machine/machine.js';
import {
  describeAddressSpaces,
  describeAliasTargets,
  describeFlatViews,
  type RegionInfo,
} from '../../memory/describe.js';
import type { Session } from './context.js';
import { words } from './usage.js';

const hex16 = (value: number): string => BigInt(value).toString(16).padStart(16, '0');
/** Containers and I/O regions are one kind in QEMU's listing. */
const kindOf = (kind: string): string =>
  kind === 'ram' || kind === 'rom' ? kind : kind === 'romDevice' ? 'romd' : 'i/o';

function tree(s: Session, region: RegionInfo, depth: number, disabled: boolean): void {
  const { start, last, priority, kind, readOnly, name, alias, enabled } = region;
  if (!enabled && !disabled) return;
  const what = alias ? `alias ${name} @${alias.name} ${hex16(alias.start)}-${hex16(alias.last)}` : name;
  const shown = kindOf(alias?.kind ?? kind);
  s.print(
    `${'  '.repeat(depth)}${hex16(start)}-${hex16(last)} (prio ${priority}, ${readOnly && shown === 'ram' ? 'rom' : shown}): ${what}${enabled ? '' : ' [disabled]'}\n`,
  );
  for (const sub of region.subRegions) tree(s, sub, depth + 1, disabled);
}

function flatViews(s: Session): void {
  describeFlatViews(s.machine.memory).forEach(({ spaces, ranges }, i) => {
    s.print(`FlatView #${i}\n`);
    for (const { name, root } of spaces) s.print(` AS "${name}", root: ${root}\n`);
    s.print(` Root memory region: ${ranges.length > 0 ? spaces[0]!.root : '(none)'}\n`);
    if (ranges.length === 0) s.print('  No rendered FlatView\n');
    for (const { start, last, kind, readOnly, name, offset, priority } of ranges) {
      const shown = readOnly && kind === 'ram' ? 'rom' : kindOf(kind);
      const at = offset === 0 ? '' : ` @${hex16(offset)}`;
      s.print(`  ${hex16(start)}-${hex16(last)} (prio ${priority}, ${shown}): ${name}${at}\n`);
    }
    s.print('\n');
  });
}

const MTREE_OPTIONS = ['-f', '-D'];

export function infoMtree(s: Session, text: string): void {
  const { memory } = s.machine;
  const options = text.split(/\s+/).filter(Boolean);
  const unknown = options.find((option) => !MTREE_OPTIONS.includes(option));
  if (unknown !== undefined) throw new UserError(`info mtree: unsupported option '${unknown}': use -f or -D`);
  if (options.includes('-f')) {
    flatViews(s);
    return;
  }
  const disabled = options.includes('-D');
  for (const { name, root } of describeAddressSpaces(memory)) {
    s.print(`address-space: ${name}\n`);
    tree(s, root, 1, disabled);
    s.print('\n');
  }
  for (const region of describeAliasTargets(memory)) {
    s.print(`memory-region: ${region.name}\n`);
    tree(s, region, 1, disabled);
    s.print('\n');
  }
}

export function infoQtree(s: Session): void {
  const show = (bus: BusNode, indent: string): void => {
    s.print(`${indent}bus: ${bus.name}\n${indent}  type ${bus.type}\n`);
    for (const node of bus.devices) {
      s.print(`${indent}  dev: ${node.type}, id "${node.id}"\n`);
      for (const [name, value] of node.properties) s.print(`${indent}    ${name} = ${value}\n`);
      for (const line of node.details?.() ?? []) s.print(`${indent}    ${line}\n`);
      for (const below of node.buses) show(below, `${indent}    `);
    }
  };
  show(s.machine.root, '');
}

/** `info block [-v] [device]`. */
export function infoBlock(s: Session, text: string): void | Promise<void> {
  const given = words(text);
  const id = given.find((word) => !word.startsWith('-'));
  const drives = s.drives.filter((drive) => id === undefined || drive.id === id);
  if (given.includes('-v')) return infoImages(s, drives);
  drives.forEach((drive, i) => {
    if (i > 0) s.print('\n');
    describeDrive(s, drive);
  });
}

async function infoImages(s: Session, drives: readonly Drive[]): Promise<void> {
  for (const [i, drive] of drives.entries()) {
    if (i > 0) s.print('\n');
    describeDrive(s, drive);
    if (!drive.node) continue;
    s.print('\nImages:\n');
    for (const node of chainOf(drive.node)) s.print(`${await infoText(node, node.filename)}\n`);
  }
}

/** The id of the device that has a drive. */
function deviceOf(s: Session, drive: string): string | undefined {
  for (const { node } of s.machine.devices()) {
    const has = node.properties.some(([name, value]) => name === 'drive' && value.replaceAll('"', '') === drive);
    if (has && node.id !== '') return node.id;
  }
  return undefined;
}

function describeDrive(s: Session, drive: Drive): void {
  const { node, user } = drive;
  s.print(
    node
      ? `${drive.id}: ${node.filename} (${node.driver}${drive.readOnly ? ', read-only' : ''})\n`
      : `${drive.id}: [not inserted]\n`,
  );
  const device = deviceOf(s, drive.id);
  if (device) s.print(`    Attached to:      /machine/peripheral/${device}\n`);
  if (user?.removable) {
    s.print(
      `    Removable device: ${user.locked ? 'locked' : 'not locked'}, tray ${user.trayOpen ? 'open' : 'closed'}\n`,
    );
  }
  if (!node) return;
  s.print(`    Cache mode:       ${drive.writeCache ? 'writeback' : 'writethrough'}\n`);
  const [, ...below] = chainOf(node);
  if (below.length > 0) s.print(`    Backing file:     ${below[0]!.filename} (chain depth: ${below.length})\n`);
}

export function infoBlockStats(s: Session): void {
  for (const { id, statistics: t } of s.drives) {
    s.print(
      `${id}: rd_bytes=${t.readBytes} wr_bytes=${t.writtenBytes} rd_operations=${t.readOperations} wr_operations=${t.writeOperations} flush_operations=${t.flushOperations}\n`,
    );
  }
}

export function infoChardev(s: Session): void {
  for (const { id, backend } of s.chardevs()) s.print(`${id}: filename=${backend.filename}\n`);
}

export function infoRoms(s: Session): void {
  for (const { address, size, name } of s.roms) {
    s.print(`addr=${hex16(address)} size=0x${size.toString(16).padStart(6, '0')} mem=rom name="${name}"\n`);
  }
}

export function infoJit(s: Session): void {
  for (const { label, value } of s.translation()) s.print(`${label.padEnd(28)}${value}\n`);
}
