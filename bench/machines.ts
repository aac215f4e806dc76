/** The machines that are compared: the same kernel, initrd, RAM and processor in each. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { initrdImage, type LinuxName, linuxImage, programFiles } from '../tools/guest/guests.js';
import type { Command } from './guest.js';
import { type Bits, buildSuite } from './suite.js';

const root = join(import.meta.dirname, '../..');
export const RAM_MIB = 256;

export interface Files {
  readonly kernel: string;
  readonly initrd: string;
}

const linuxName = (bits: Bits): LinuxName => (bits === 64 ? 'linux-amd64' : 'linux-686');

/** A system of BusyBox alone, for boots. */
export async function plainFiles(bits: Bits): Promise<Files> {
  const linux = linuxName(bits);
  return { kernel: await linuxImage(linux), initrd: await initrdImage({ linux }) };
}

/** A system that has the suite and, with 64 bits, the programs that commands run. */
export async function workFiles(bits: Bits): Promise<Files> {
  const linux = linuxName(bits);
  const suite = new Uint8Array(readFileSync(buildSuite(bits)));
  const files = { '/suite': suite, ...(bits === 64 && (await programFiles())) };
  return { kernel: await linuxImage(linux), initrd: await initrdImage({ linux, files }) };
}

const COMMAND_LINE = 'console=ttyS0';

/** Options that Tinamou and QEMU share. */
const options = (f: Files, cpu: string): string[] => [
  ...['-kernel', f.kernel, '-initrd', f.initrd, '-append', COMMAND_LINE],
  ...['-cpu', cpu, '-m', String(RAM_MIB), '-nographic', '-no-reboot'],
];

const SYSTEMS = { 64: 'system-x86_64', 32: 'system-i386' } as const;

export const tinamouCommand = (bits: Bits, args: readonly string[]): Command => ({
  program: process.execPath,
  args: [join(root, `bin/tinamou-${SYSTEMS[bits]}.js`), ...args],
});

export const tinamou = (bits: Bits, f: Files, cpu: string): Command => tinamouCommand(bits, options(f, cpu));

const qemu = (f: Files, cpu: string): Command => ({
  program: 'qemu-system-x86_64',
  args: ['-accel', 'tcg', '-nic', 'none', ...options(f, cpu)],
});

const v86 = (f: Files): Command => ({
  program: process.execPath,
  args: [join(import.meta.dirname, 'v86.js'), f.kernel, f.initrd, COMMAND_LINE, String(RAM_MIB)],
});

/** What Tinamou is compared with. v86 has one processor model. */
export const PEERS: Readonly<
  Record<Bits, { readonly name: string; readonly title: string; readonly command: (f: Files, cpu: string) => Command }>
> = {
  64: { name: 'qemu', title: 'qemu-system-x86_64 -accel tcg', command: qemu },
  32: { name: 'v86', title: 'v86', command: v86 },
};
