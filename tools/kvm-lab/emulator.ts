/** How the lab's QEMU translates. */
import { execFileSync } from 'node:child_process';
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

export function emulatorVersion(program: string): string {
  try {
    return execFileSync(program, ['--version'], { encoding: 'utf8' });
  } catch {
    throw new UserError('the lab needs QEMU: install the package qemu-system-x86');
  }
}
