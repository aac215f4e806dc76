/**
 * A hard disk as an installation leaves it, made without root or loop devices: master boot record with GRUB's boot sector,
 * GRUB's core image behind it, one ext4 partition with kernel, initrd, grub.cfg and a BusyBox system.
 */
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  copyFileSync,
  mkdirSync,
  openSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fetchPiece, grubCore, grubModules, initrdImage, linuxImage } from '../../tools/guest/guests.js';

export const MENU_ENTRY = 'Linux on the hard disk';

const SECTOR = 512;
/** The partition begins here, as partitioning tools have it: the gap has room for GRUB's core image. */
const PARTITION_START = 1 << 20;
const PARTITION_BYTES = 96 << 20;

/** GRUB's modules that its core needs to read the partition, and one that it loads from there. */
const CORE_MODULES = ['biosdisk', 'part_msdos', 'ext2', 'normal', 'linux', 'serial', 'terminal', 'minicmd'];
const DISK_MODULES = ['echo'];

const GRUB_CFG = `
serial --unit=0 --speed=115200
terminal_input serial
terminal_output serial
set timeout=-1
menuentry '${MENU_ENTRY}' {
  insmod echo
  echo 'Loaded from the disk by GRUB'
  linux /boot/vmlinuz console=ttyS0 rdinit=/from-disk
  initrd /boot/initrd
}
menuentry 'Restart' {
  reboot
}
`;

/** First process in the initrd: finds the disk and hands over to the system on it. */
const FROM_DISK = `#!/bin/sh
mount -t proc proc /proc
mount -t devtmpfs dev /dev
while read -r module; do insmod "/lib/modules/$module.ko"; done < /lib/modules/load
until mount -t ext4 /dev/sda1 /mnt 2>/dev/null; do sleep 0.1; done
mount --move /dev /mnt/dev
exec switch_root /mnt /sbin/init
`;

const INITTAB = `::sysinit:/etc/rc
ttyS0::respawn:/bin/sh -l
::shutdown:/bin/sync
::shutdown:/bin/umount -a -r
`;

const RC = `#!/bin/sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -o remount,rw /
/bin/busybox --install -s
`;

/** Programs of Debian's e2fsprogs lie where only root's PATH looks. */
const TOOL_PATH = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`;

interface Said {
  readonly status: number | null;
  readonly out: string;
  readonly errors: string;
}

export function tool(command: string, args: readonly string[]): Said {
  const done = spawnSync(command, args, { encoding: 'utf8', env: { ...process.env, PATH: TOOL_PATH, LC_ALL: 'C' } });
  return { status: done.status, out: done.stdout ?? '', errors: done.error?.message ?? done.stderr };
}

/** How programs of e2fsprogs name the disk's file system. */
export const partition = (disk: string): string => `${disk}?offset=${PARTITION_START}`;

/** Makes the disk image in `folder` and gives its path. */
export async function makeGrubDisk(folder: string): Promise<string> {
  const disk = join(folder, 'disk.img');
  const root = join(folder, 'root');
  await fillRoot(root);
  const core = readFileSync(await grubCore(CORE_MODULES, '(hd0,msdos1)/boot/grub'));
  if (core.length > PARTITION_START - SECTOR) throw new Error('GRUB has outgrown the gap before the partition');
  const file = openSync(disk, 'w');
  writeSync(file, bootRecord(readFileSync(join(await grubModules(), 'boot.img'))), 0, SECTOR, 0);
  // Boot sector and core image expect the core image in the sectors that follow, which is where it goes.
  writeSync(file, core, 0, core.length, SECTOR);
  writeSync(file, new Uint8Array(1), 0, 1, PARTITION_START + PARTITION_BYTES - 1);
  closeSync(file);
  const made = tool('mke2fs', [
    ...['-q', '-F', '-t', 'ext4', '-L', 'root', '-d', root, '-E', `offset=${PARTITION_START}`],
    ...[disk, `${PARTITION_BYTES >> 10}k`],
  ]);
  if (made.status !== 0) throw new Error(`mke2fs: ${made.errors}`);
  return disk;
}

/** The boot sector with a partition table: one active partition of type 83h (Linux). */
function bootRecord(boot: Uint8Array): Uint8Array {
  const record = boot.slice(0, SECTOR);
  const view = new DataView(record.buffer, record.byteOffset, SECTOR);
  const ENTRY = 0x1be;
  // The boot sector's code for floppies lies where a hard disk has its signature and table.
  record.fill(0, 0x1b8, 510);
  // Cylinder, head and sector numbers that say "look at the linear ones".
  record.set([0x80, 0xfe, 0xff, 0xff, 0x83, 0xfe, 0xff, 0xff], ENTRY);
  view.setUint32(ENTRY + 8, PARTITION_START / SECTOR, true);
  view.setUint32(ENTRY + 12, PARTITION_BYTES / SECTOR, true);
  record.set([0x55, 0xaa], 510);
  return record;
}

async function fillRoot(root: string): Promise<void> {
  for (const d of ['bin', 'sbin', 'dev', 'etc', 'proc', 'root', 'boot/grub/i386-pc', 'usr/bin', 'usr/sbin', 'tmp']) {
    mkdirSync(join(root, d), { recursive: true });
  }
  const put = (path: string, text: string): void => writeFileSync(join(root, path), text, { mode: 0o755 });
  copyFileSync(join(await fetchPiece('busybox-amd64'), 'bin/busybox'), join(root, 'bin/busybox'));
  symlinkSync('busybox', join(root, 'bin/sh'));
  symlinkSync('../bin/busybox', join(root, 'sbin/init'));
  put('etc/inittab', INITTAB);
  put('etc/rc', RC);
  put('boot/grub/grub.cfg', GRUB_CFG);
  const modules = await grubModules();
  for (const name of [
    ...DISK_MODULES.map((m) => `${m}.mod`),
    'moddep.lst',
    'command.lst',
    'terminal.lst',
    'fs.lst',
    'crypto.lst',
  ]) {
    copyFileSync(join(modules, name), join(root, 'boot/grub/i386-pc', basename(name)));
  }
  copyFileSync(await linuxImage('linux-amd64'), join(root, 'boot/vmlinuz'));
  const initrd = await initrdImage({
    modules: ['ata_piix', 'sd_mod', 'crc32c_generic', 'ext4'],
    files: { '/from-disk': FROM_DISK },
  });
  mkdirSync(dirname(join(root, 'boot/initrd')), { recursive: true });
  copyFileSync(initrd, join(root, 'boot/initrd'));
}
