/** The initial RAM file system: BusyBox, an init that brings up consoles, and the kernel modules asked for. */
import { gzipSync } from 'node:zlib';
import { UserError } from '../../src/base/errors.js';
import { CpioWriter } from './cpio.js';
import type { KernelModule } from './modules.js';

export interface InitrdOptions {
  readonly busybox: Uint8Array;
  readonly modules: readonly KernelModule[];
  /** More files, by absolute path. */
  readonly files?: Readonly<Record<string, Uint8Array | string>>;
  /** Compressed archives are smaller on disk; a guest boots faster from a plain one, for it has nothing to inflate. */
  readonly gzip?: boolean;
}

/** Shells on every console that exists; a serial port without a chip behind it is left alone. */
const INITTAB = `::sysinit:/etc/rc
ttyS0::respawn:/etc/console ttyS0
tty1::respawn:/etc/console tty1
::ctrlaltdel:/sbin/reboot
::shutdown:/bin/umount -a -r 2>/dev/null
`;

const RC = `#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts
mount -t devpts devpts /dev/pts
mount -t tmpfs run /run
mount -t tmpfs tmp /tmp
hostname tinamou
if [ -f /lib/modules/load ]; then
  while read -r module; do insmod "/lib/modules/$module.ko"; done < /lib/modules/load
fi
ifconfig lo 127.0.0.1 up
[ -x /etc/rc.local ] && . /etc/rc.local
:
`;

const CONSOLE = `#!/bin/sh
case $1 in
ttyS*) grep -q "^\${1#ttyS}: uart:[^u]" /proc/tty/driver/serial || exec sleep 2147483647 ;;
*) [ -c "/dev/$1" ] || exec sleep 2147483647 ;;
esac
export HOME=/root TERM=linux
case $1 in ttyS*) TERM=vt102 ;; esac
cd /
echo
echo "Welcome to $(uname -sr) on Tinamou. Type poweroff to end."
exec /bin/sh -l
`;

/** BusyBox carries its applets' names as one run of NUL-terminated strings that begins with `[` and `[[`. */
export function applets(busybox: Uint8Array): string[] {
  const bytes = Buffer.from(busybox.buffer, busybox.byteOffset, busybox.byteLength);
  const start = bytes.indexOf('\0[\0[[\0');
  if (start < 0) throw new UserError('the BusyBox binary lists no applets: fetch it again');
  const end = bytes.indexOf('\0\0', start + 1);
  return bytes.toString('latin1', start + 1, end).split('\0');
}

const SBIN = new Set([
  'init',
  'poweroff',
  'reboot',
  'halt',
  'insmod',
  'modprobe',
  'mdev',
  'getty',
  'ifconfig',
  'ip',
  'fsck',
]);

export function buildInitrd(options: InitrdOptions): Uint8Array {
  const c = new CpioWriter();
  for (const d of [
    'bin',
    'sbin',
    'dev',
    'etc',
    'lib',
    'lib/modules',
    'mnt',
    'proc',
    'root',
    'run',
    'sys',
    'tmp',
    'usr',
    'var',
  ])
    c.directory(d);
  c.symlink('usr/bin', '../bin').symlink('usr/sbin', '../sbin').symlink('var/run', '../run');
  // The kernel opens this for init before devtmpfs is there.
  c.character('dev/console', 5, 1);
  c.file('bin/busybox', options.busybox, 0o755);
  for (const name of applets(options.busybox)) {
    if (name === 'busybox') continue;
    if (SBIN.has(name)) c.symlink(`sbin/${name}`, '../bin/busybox');
    else c.symlink(`bin/${name}`, 'busybox');
  }
  c.symlink('init', 'sbin/init');
  c.file('etc/inittab', INITTAB).file('etc/rc', RC, 0o755).file('etc/console', CONSOLE, 0o755);
  c.file('etc/passwd', 'root::0:0:root:/root:/bin/sh\n').file('etc/group', 'root:x:0:\n').file('etc/fstab', '');
  if (options.modules.length > 0) {
    c.file('lib/modules/load', options.modules.map((m) => `${m.name}\n`).join(''));
    for (const m of options.modules) c.file(`lib/modules/${m.name}.ko`, m.bytes);
  }
  const made = new Set<string>();
  for (const [path, content] of Object.entries(options.files ?? {})) {
    const parts = path.split('/').filter(Boolean);
    for (let i = 1; i < parts.length; i++) {
      const folder = parts.slice(0, i).join('/');
      if (!made.has(folder)) c.directory(folder);
      made.add(folder);
    }
    c.file(parts.join('/'), content, 0o755);
  }
  const archive = c.finish();
  return options.gzip ? new Uint8Array(gzipSync(archive, { level: 9 })) : archive;
}
