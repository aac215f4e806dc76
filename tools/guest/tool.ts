/** Programs of the host, run to their end. */
import { spawn, spawnSync } from 'node:child_process';

/** Programs of Debian's e2fsprogs lie where only root's PATH looks. */
const ENVIRONMENT = { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`, LC_ALL: 'C' };

export interface Said {
  readonly status: number | null;
  readonly out: string;
  readonly errors: string;
}

export function tool(command: string, args: readonly string[]): Said {
  const done = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 28, env: ENVIRONMENT });
  return { status: done.status, out: done.stdout ?? '', errors: done.error?.message ?? done.stderr };
}

/** Lines kept of what a long-running program said, to show when it fails. */
const TAIL_LINES = 20;

/** Runs a program that takes its time, and tells of each line it says on standard output, standard error or `extra` (fd 3). */
export async function follow(
  command: readonly string[],
  heard: (line: string) => void,
  env: Readonly<Record<string, string>> = {},
): Promise<{ readonly status: number | null; readonly tail: string }> {
  const [program, ...args] = command as [string, ...string[]];
  const child = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    env: { ...ENVIRONMENT, ...env },
  });
  const tail: string[] = [];
  for (const stream of child.stdio.slice(1)) {
    let rest = '';
    (stream as NodeJS.ReadableStream).setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop()!;
      for (const line of lines) {
        tail.push(line);
        if (tail.length > TAIL_LINES) tail.shift();
        heard(line);
      }
    });
  }
  const status = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  return { status, tail: tail.join('\n') };
}
