/** The guest CPU suite (kernels/*.c): built by the host's gcc for 64 and 32 bits, without a C library. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../src/base/errors.js';
import type { Guest } from './guest.js';

const root = join(import.meta.dirname, '../..');
const SOURCES = join(root, 'bench/kernels');

const FLAGS = [
  ...['-O2', '-static', '-nostdlib', '-ffreestanding', '-fno-pie', '-no-pie'],
  ...['-fno-stack-protector', '-fno-math-errno', '-fno-asynchronous-unwind-tables', '-Wall', '-Wextra'],
  // The intrinsics' headers would otherwise ask for the C library's allocator.
  '-D_MM_MALLOC_H_INCLUDED',
];

export type Bits = 32 | 64;

/** Path of the suite's program, built when sources or compiler changed. Throws UserError. */
export function buildSuite(bits: Bits): string {
  const files = readdirSync(SOURCES).sort();
  const flags = [`-m${bits}`, ...FLAGS];
  const version = spawnSync('gcc', ['--version'], { encoding: 'utf8' });
  if (version.error) throw new UserError('the benchmark compiles its kernels with gcc: install gcc');
  const digest = createHash('sha256').update(version.stdout).update(flags.join('\0'));
  for (const f of files) digest.update(f).update(readFileSync(join(SOURCES, f)));
  const program = join(root, 'dist/bench', `suite${bits}-${digest.digest('hex').slice(0, 16)}`);
  if (existsSync(program)) return program;
  mkdirSync(join(root, 'dist/bench'), { recursive: true });
  const sources = files.filter((f) => f.endsWith('.c')).map((f) => join(SOURCES, f));
  const done = spawnSync('gcc', [...flags, '-o', program, ...sources], { encoding: 'utf8' });
  if (done.status !== 0) throw new UserError(`gcc cannot build the suite: ${done.stderr}`);
  return program;
}

/** Names of the suite's kernels, in the order of the program's table. */
export function kernelNames(): string[] {
  const [suite] = readFileSync(join(SOURCES, 'suite.c'), 'utf8').split('/* system */');
  const order = suite!.match(/&(\w+)_kernel/g) ?? [];
  return order.map((m) => m.slice(1, -'_kernel'.length));
}

/** A kernel's checksum on the host's own processor; undefined where that can't run it. */
export function nativeChecksum(program: string, kernel: string): string | undefined {
  const done = spawnSync(program, [kernel], { encoding: 'utf8', timeout: 120_000 });
  return done.status === 0 ? RESULT.exec(done.stdout)?.[1] : undefined;
}

const RESULT = /^\w+ ([0-9a-f]+) (\d+)$/m;

export interface KernelRun {
  readonly checksum: string;
  /** Seconds by the guest's clock, and by the host's between the two lines that frame the run. */
  readonly guest: number;
  readonly host: number;
}

/** Runs a kernel once in a booted guest that has the suite as /suite. */
export async function runKernel(guest: Guest, kernel: string): Promise<KernelRun> {
  const { text, seconds } = await guest.run(`/suite ${kernel}`, { from: `go ${kernel}\r`, to: `\n${kernel} ` });
  const found = RESULT.exec(text);
  if (!found) throw new UserError(`${guest.name}: no result from kernel '${kernel}': ${text.slice(-300)}`);
  return { checksum: found[1]!, guest: Number(found[2]) / 1e6, host: seconds };
}
