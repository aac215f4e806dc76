/** Debian packages that tests and benchmarks compare with: installed when we may, named when we may not. */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Program (or file) that shows the package is there, and the package. */
const WANTED = [
  ['qemu-system-x86_64', 'qemu-system-x86'],
  ['qemu-img', 'qemu-utils'],
  ['nbdinfo', 'libnbd-bin'],
  ['gcc', 'gcc'],
  ['/usr/include/stdio.h', 'libc6-dev'],
  ['objdump', 'binutils'],
  ['iasl', 'acpica-tools'],
  ['nasm', 'nasm'],
  ['busybox', 'busybox-static'],
  ['cpio', 'cpio'],
  ['mke2fs', 'e2fsprogs'],
];

const has = (program) =>
  (program.startsWith('/') && existsSync(program)) ||
  [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'].some((dir) => {
    try {
      accessSync(join(dir, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });

/** Installs what is missing (as root, with apt-get); otherwise says which tests will be skipped for want of what. */
export function ensurePackages() {
  const missing = WANTED.filter(([program]) => !has(program)).map(([, name]) => name);
  if (missing.length === 0) return;
  if (process.getuid?.() === 0 && has('apt-get')) {
    console.error(`tinamou: installing for comparisons: ${missing.join(' ')}`);
    const apt = (...args) =>
      spawnSync('apt-get', args, {
        stdio: ['ignore', 'ignore', 2],
        env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
      }).status === 0;
    if (apt('update', '-qq') && apt('install', '-y', '-qq', '--no-install-recommends', ...missing)) return;
  }
  console.error(`tinamou: not installed, so tests that compare with it are skipped: ${missing.join(' ')}`);
}

if (process.argv[1] === import.meta.filename) ensurePackages();
