/**
 * A hard disk as an installation leaves it: GRUB, and one ext4 partition with kernel, initrd, grub.cfg and a BusyBox system.
 */
import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { makeGrubImage } from '../../tools/guest/grub-image.js';
import { fetchPiece, grubModules, initrdImage, linuxImage } from '../../tools/guest/guests.js';

export const MENU_ENTRY = 'Linux on the hard disk';

const PARTITION_BYTES = 96 << 20;

/** GRUB's modules that it loads from the partition. */
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

/** Makes the disk image in `folder` and gives its path. */
export async function makeGrubDisk(folder: string): Promise<string> {
  const disk = join(folder, 'disk.img');
  const root = join(folder, 'root');
  await fillRoot(root);
  await makeGrubImage({ disk, root, label: 'root', partitionBytes: PARTITION_BYTES });
  return disk;
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
