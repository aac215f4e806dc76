/** The machines that are compared: the same kernel, initrd, RAM and processor in each. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { initrdImage, linuxImage } from '../tools/guest/guests.js';
import type { Command } from './guest.js';
import { type Bits, buildSuite } from './suite.js';

const root = join(import.meta.dirname, '../..');
export const RAM_MIB = 256;

export interface Files {
  readonly kernel: string;
  readonly initrd: string;
}

/** What the guests of the 64-bit rows have: BusyBox and the suite. */
export async function files(bits: Bits): Promise<Files> {
  const linux = bits === 64 ? 'linux-amd64' : 'linux-686';
  const suite = new Uint8Array(readFileSync(buildSuite(bits)));
  return { kernel: await linuxImage(linux), initrd: await initrdImage({ linux, files: { '/suite': suite } }) };
}

/** Options that Tinamou and QEMU share. */
const options = (f: Files, cpu: string): string[] => [
  ...['-kernel', f.kernel, '-initrd', f.initrd, '-append', 'console=ttyS0 quiet'],
  ...['-cpu', cpu, '-m', String(RAM_MIB), '-nographic', '-no-reboot'],
];

const SYSTEMS = { 64: 'system-x86_64', 32: 'system-i386' } as const;

export const tinamou = (bits: Bits, f: Files, cpu: string): Command => ({
  program: process.execPath,
  args: [join(root, `bin/tinamou-${SYSTEMS[bits]}.js`), ...options(f, cpu)],
});

export const qemu = (bits: Bits, f: Files, cpu: string): Command => ({
  program: `qemu-${SYSTEMS[bits]}`,
  args: ['-accel', 'tcg', '-nic', 'none', ...options(f, cpu)],
});
