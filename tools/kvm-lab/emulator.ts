/** How the lab's QEMU translates. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { UserError } from '../../src/base/errors.js';

/** The first whose threads agree on what code is in memory: [major, minor]. */
const AGREES = [8, 1] as const;

/**
 * The `-accel` option for a lab of so many processors. Before 8.1 a thread of QEMU may go on with code that another one overwrote
 * while it was being translated, for ever (their commit deba78709ae8). V8 and the Linux kernel overwrite code all the time: V8's
 * WebAssembly ends with SIGSEGV, the kernel stands still. One thread for all processors has nothing to disagree with.
 */
export function labAccelerator(version: string, processors: number): string {
  const [, major, minor] = /version (\d+)\.(\d+)/.exec(version) ?? [];
  const agrees = Number(major) > AGREES[0] || (Number(major) === AGREES[0] && Number(minor) >= AGREES[1]);
  return processors === 1 || agrees ? 'tcg' : 'tcg,thread=single';
}

/**
 * The processor of this host that a lab keeps to, if its emulated ones share one thread. QEMU's VMRUN says with an `or` to memory that
 * a virtual interrupt waits (helper_vmrun), while its other threads say in the same word that an interrupt of a device does: without
 * a lock, so that on two processors one of the two is lost. Then the lab's timer has come and nobody knows: it stands still for ever, or until
 * another interrupt. On one processor an instruction is not divided.
 *
 * `allowed` is the list in /proc/self/status of those that this process may use; `any` chooses one of them.
 */
export function hostProcessor(allowed: string, any: number): number {
  const all = allowed.split(',').flatMap((range) => {
    const [first, last = first] = range.split('-').map(Number);
    return Array.from({ length: last! - first! + 1 }, (_, i) => first! + i);
  });
  return all[any % all.length]!;
}

export function allowedProcessors(): string {
  return /^Cpus_allowed_list:\s*(\S+)/m.exec(readFileSync('/proc/self/status', 'utf8'))![1]!;
}

export function emulatorVersion(program: string): string {
  try {
    return execFileSync(program, ['--version'], { encoding: 'utf8' });
  } catch {
    throw new UserError('the lab needs QEMU: install the package qemu-system-x86');
  }
}
