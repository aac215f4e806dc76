/** Guests of tests and benchmarks end with what started them, however that ends: killed, too. */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { tool } from './tool.js';

const LOOK_MS = 1000;

/** Of util-linux: asks Linux to kill the process when its parent has died. */
const BOUND = ['setpriv', '--pdeathsig', 'KILL', '--'] as const;
let bound: readonly string[] | undefined;

/** Starts a process that ends with this one, on Linux with util-linux; elsewhere one that ends when this one ends in order. */
export function spawnBound(program: string, args: readonly string[], options: SpawnOptions = {}): ChildProcess {
  bound ??= tool(BOUND[0], [...BOUND.slice(1), 'true']).status === 0 ? BOUND : [];
  const [first, ...rest] = [...bound, program, ...args] as [string, ...string[]];
  const child = spawn(first, rest, options);
  const kill = (): void => void child.kill('SIGKILL');
  process.once('exit', kill);
  child.once('exit', () => process.off('exit', kill));
  return child;
}

/** For a process that runs guests itself: it ends soon after the one that started it. */
export function endWithParent(): void {
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent) process.exit(1);
  }, LOOK_MS).unref();
}
