/** A Debian 12 system on a disk of its own, with a C compiler: made by debootstrap, started by GRUB, used by tests and people. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { VirtualMachine } from '../../src/app/lib/index.js';
import { UserError } from '../../src/base/errors.js';
import { Apt } from './apt.js';
import { cached } from './cache.js';
import {
  CODENAME,
  firstStage,
  PRIVATE_MOUNTS,
  secondStageByChroot,
  secondStageProgress,
  secondStageScript,
} from './debootstrap.js';
import { makeGrubImage } from './grub-image.js';
import { initrdImage, linuxImage } from './guests.js';
import { Progress } from './progress.js';
import { tool } from './tool.js';

const IMG = fileURLToPath(new URL('../../../bin/tinamou-img.js', import.meta.url));

/** Beyond what Debian calls essential and required. */
const PACKAGES = [
  ...['systemd-sysv', 'udev', 'dbus', 'libpam-systemd', 'linux-image-amd64', 'initramfs-tools', 'zstd'],
  ...['apt', 'debian-archive-keyring', 'e2fsprogs', 'fdisk', 'pciutils', 'kmod', 'procps', 'iproute2', 'less', 'nano'],
  ...['gcc', 'libc6-dev', 'make'],
];

/** Drivers of all disks that a machine may have, for the initial RAM disk. */
const DISK_DRIVERS = ['virtio_pci', 'virtio_blk', 'virtio_scsi', 'sd_mod', 'ahci', 'ata_piix', 'nvme', 'ext4'];

const PARTITION_BYTES = 8 * 2 ** 30 - 2 ** 20;
const LABEL = 'debian';
export const HOST_NAME = 'debian';
const SETUP = '/debian-setup';

const GRUB_CFG = `serial --unit=0 --speed=115200
terminal_input serial console
terminal_output serial console
set timeout=0
menuentry 'Debian GNU/Linux 12' {
  linux /vmlinuz root=LABEL=${LABEL} ro quiet console=tty0 console=ttyS0
  initrd /initrd.img
}
`;

const INITRAMFS_HOOK = `#!/bin/sh
[ "$1" = prereqs ] && exit 0
. /usr/share/initramfs-tools/hook-functions
manual_add_modules ${DISK_DRIVERS.join(' ')}
`;

/** Files that packages neither own nor ask about, by path. */
const FILES: Readonly<Record<string, string>> = {
  'etc/hostname': `${HOST_NAME}\n`,
  'etc/hosts': `127.0.0.1 localhost\n127.0.1.1 ${HOST_NAME}\n::1 localhost ip6-localhost\n`,
  'etc/fstab': `LABEL=${LABEL} / ext4 errors=remount-ro 0 1\n`,
  'etc/initramfs-tools/conf.d/drivers': 'MODULES=list\n',
  'etc/initramfs-tools/hooks/drivers': INITRAMFS_HOOK,
  'boot/grub/grub.cfg': GRUB_CFG,
};

/** root has no password, and packages come from where this host has them. */
const afterwards = (site: string): string => `passwd --delete root
apt-get clean
rm -f /etc/resolv.conf ${SETUP}
echo 'deb ${site} ${CODENAME} main' > /etc/apt/sources.list
`;

function fill(root: string, site: string): void {
  const put = (path: string, text: string, mode: number): void => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
    chmodSync(join(root, path), mode);
  };
  for (const [path, text] of Object.entries(FILES)) put(path, text, text.startsWith('#!') ? 0o755 : 0o644);
  put(SETUP, secondStageScript(afterwards(site)), 0o755);
}

/** Whether the second stage can run on this host: by root, who may mount, on the guest's architecture. */
const canChroot = (): boolean =>
  process.getuid?.() === 0 &&
  process.arch === 'x64' &&
  tool(PRIVATE_MOUNTS[0]!, [...PRIVATE_MOUNTS.slice(1), 'mount', '-t', 'tmpfs', 'none', '/mnt']).status === 0;

/** The second stage in a guest: slower, but it needs nothing from the host. */
async function secondStageInGuest(disk: string, packages: number, progress: Progress): Promise<void> {
  const PROMPT = '/ # ';
  const HOUR = 3600;
  const vm = await VirtualMachine.create({
    kernel: await linuxImage('linux-amd64'),
    initrd: await initrdImage({ modules: ['virtio_pci', 'virtio_blk', 'crc32c_generic', 'ext4'] }),
    append: 'console=ttyS0 quiet',
    cpu: 'max',
    memory: '1G',
    args: ['-drive', `file=${disk},format=raw,if=virtio,cache=unsafe`],
  });
  const say = (command: string, seconds: number): Promise<string> =>
    vm.serial.run(command, PROMPT, { timeout: seconds });
  try {
    vm.start();
    await vm.serial.waitFor(PROMPT, { timeout: HOUR });
    await say('mount -t ext4 /dev/vda1 /mnt', HOUR);
    const heard = secondStageProgress(progress, packages);
    vm.serial.write(`chroot /mnt ${SETUP} && echo second-stage-"done"\n`);
    for (;;) {
      const line = await vm.serial.waitFor(/\n|second-stage-done|\/ # $/, { timeout: HOUR });
      if (line.includes('second-stage-done')) break;
      if (line.endsWith(PROMPT)) throw new UserError(`debootstrap's second stage failed in the guest: ${line}`);
      heard(line);
    }
    await say('umount -a -r', HOUR);
    vm.serial.write('poweroff\n');
    await vm.ended;
  } finally {
    progress.end();
    await vm.dispose();
  }
}

export interface DebianRequest {
  /** Run the second stage in a guest even where the host can. */
  readonly inGuest?: boolean;
  /** Told when a step begins. */
  readonly step?: (text: string) => void;
}

/** Path of the disk in the cache, a qcow2 image; made when it is not there. Use it as a backing file, or copy it. */
export function debianDisk(request: DebianRequest = {}): Promise<string> {
  return cached('debian-12.qcow2', (made) => makeDisk(made, request));
}

async function makeDisk(made: string, request: DebianRequest): Promise<void> {
  const step = request.step ?? (() => {});
  const inGuest = request.inGuest || !canChroot();
  const isRoot = process.getuid?.() === 0;
  if (!isRoot && tool('fakeroot', ['--version']).status !== 0) {
    throw new UserError('files on a Debian disk have owners: install fakeroot, or run this as root');
  }
  const scratch = mkdtempSync(join(tmpdir(), 'tinamou-debian-'));
  try {
    const state = join(scratch, 'owners');
    writeFileSync(state, '');
    const under = isRoot ? [] : ['fakeroot', '-i', state, '-s', state, '--'];
    const root = join(scratch, 'root');
    const raw = join(scratch, 'disk.raw');
    const progress = new Progress();
    const apt = new Apt();
    step('fetching packages and unpacking them (debootstrap, first stage)');
    const packages = await firstStage({ apt, root, scratch, packages: PACKAGES, under, progress });
    const site = apt.site(CODENAME);
    if (!site) throw new UserError(`apt knows no archive of Debian 12 (${CODENAME}): check /etc/apt/sources.list`);
    fill(root, site);
    if (!inGuest) {
      step('configuring packages (debootstrap, second stage)');
      await secondStageByChroot(root, SETUP, packages, progress);
    }
    step('making the file system');
    await makeGrubImage({ disk: raw, root, label: LABEL, partitionBytes: PARTITION_BYTES, under });
    if (inGuest) {
      step('configuring packages in a guest (debootstrap, second stage)');
      await secondStageInGuest(raw, packages, progress);
    }
    step('making the image');
    const done = tool(process.execPath, [IMG, 'convert', '-f', 'raw', '-O', 'qcow2', raw, made]);
    if (done.status !== 0) throw new UserError(`tinamou-img: ${done.errors.trim()}`);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
