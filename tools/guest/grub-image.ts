/**
 * A hard disk image that a BIOS starts, made without root or loop devices: master boot record with GRUB's boot sector, GRUB's
 * core image behind it, and one ext4 partition filled from a folder.
 */
import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../../src/base/errors.js';
import { grubCore, grubModules } from './guests.js';
import { tool } from './tool.js';

const SECTOR = 512;
/** The partition begins here, as partitioning tools have it: the gap has room for GRUB's core image. */
export const PARTITION_START = 1 << 20;

/** GRUB's modules that its core needs to read the partition and start Linux from it. */
const CORE_MODULES = ['biosdisk', 'part_msdos', 'ext2', 'normal', 'linux', 'serial', 'terminal', 'minicmd'];

/** How programs of e2fsprogs name the disk's file system. */
export const partition = (disk: string): string => `${disk}?offset=${PARTITION_START}`;

export interface GrubImage {
  readonly disk: string;
  /** What the partition has at first; `/boot/grub/grub.cfg` is GRUB's. */
  readonly root: string;
  readonly label: string;
  readonly partitionBytes: number;
  /** Goes before mke2fs: a program that shows it other owners of files. */
  readonly under?: readonly string[];
}

export async function makeGrubImage(image: GrubImage): Promise<void> {
  const { disk, root, label, partitionBytes, under = [] } = image;
  const core = readFileSync(await grubCore(CORE_MODULES, '(hd0,msdos1)/boot/grub'));
  if (core.length > PARTITION_START - SECTOR) throw new UserError('GRUB has outgrown the gap before the partition');
  const file = openSync(disk, 'w');
  const boot = readFileSync(join(await grubModules(), 'boot.img'));
  writeSync(file, bootRecord(boot, partitionBytes), 0, SECTOR, 0);
  // Boot sector and core image expect the core image in the sectors that follow, which is where it goes.
  writeSync(file, core, 0, core.length, SECTOR);
  ftruncateSync(file, PARTITION_START + partitionBytes);
  closeSync(file);
  const [program, ...args] = [
    ...[...under, 'mke2fs', '-q', '-F', '-t', 'ext4', '-L', label, '-d', root],
    // What is left to the guest's kernel would be written by it in its first minutes.
    ...['-E', `offset=${PARTITION_START},lazy_itable_init=0,lazy_journal_init=0`],
    ...[disk, `${partitionBytes / 1024}k`],
  ] as [string, ...string[]];
  const made = tool(program, args);
  if (made.status !== 0) {
    throw new UserError(`mke2fs cannot make ${disk} (${made.errors.trim()}): is e2fsprogs installed?`);
  }
}

/** The boot sector with a partition table: one active partition of type 83h (Linux). */
function bootRecord(boot: Uint8Array, partitionBytes: number): Uint8Array {
  const record = boot.slice(0, SECTOR);
  const view = new DataView(record.buffer, record.byteOffset, SECTOR);
  const ENTRY = 0x1be;
  // The boot sector's code for floppies lies where a hard disk has its signature and table.
  record.fill(0, 0x1b8, 510);
  // Cylinder, head and sector numbers that say "look at the linear ones".
  record.set([0x80, 0xfe, 0xff, 0xff, 0x83, 0xfe, 0xff, 0xff], ENTRY);
  view.setUint32(ENTRY + 8, PARTITION_START / SECTOR, true);
  view.setUint32(ENTRY + 12, partitionBytes / SECTOR, true);
  record.set([0x55, 0xaa], 510);
  return record;
}
