/** tinamou-img and qemu-img on the same images in turns, as whole processes, with the start of the process taken off. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { DiskRow, Times } from './disk-report.js';

const OURS = fileURLToPath(new URL('../../bin/tinamou-img.js', import.meta.url));
const RUNS = 5;

function run(command: readonly string[]): Times {
  const started = performance.now();
  const [program, ...args] = command as [string, ...string[]];
  const { status, stderr } = spawnSync(
    'bash',
    ['-c', 'TIMEFORMAT="%U %S"; time "$@" >/dev/null', 'bash', program, ...args],
    { encoding: 'utf8' },
  );
  const elapsed = (performance.now() - started) / 1000;
  const numbers = /([\d.]+) ([\d.]+)\s*$/.exec(stderr);
  if (status !== 0 || !numbers) throw new Error(`${command.join(' ')}: ${stderr}`);
  return { elapsed, busy: Number(numbers[1]) + Number(numbers[2]) };
}

function best(times: readonly Times[]): Times {
  return { elapsed: Math.min(...times.map((t) => t.elapsed)), busy: Math.min(...times.map((t) => t.busy)) };
}

/** Images in `folder`: `raw` has `mib` MiB of data, `qcow2` the same. */
export function makeImages(folder: string, mib: number): void {
  const chunk = Buffer.alloc(1 << 20);
  const fd = fs.openSync(path.join(folder, 'raw'), 'w');
  for (let i = 0; i < mib; i++) {
    for (let j = 0; j < chunk.length; j += 4) chunk.writeUInt32LE(Math.imul(i * 262144 + j, 2654435761) >>> 0, j);
    fs.writeSync(fd, chunk);
  }
  fs.closeSync(fd);
  const [raw, qcow2] = ['raw', 'qcow2'].map((name) => path.join(folder, name)) as [string, string];
  const made = spawnSync('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', raw, qcow2], { encoding: 'utf8' });
  if (made.status !== 0) throw new Error(`qemu-img: ${made.error?.message ?? made.stderr}`);
}

export function measureImages(folder: string, mib: number, pattern: RegExp, report: (row: DiskRow) => void): void {
  const at = (name: string): string => path.join(folder, name);
  const count = String((mib << 20) / 65536);
  const bench = (format: string, ...args: string[]): string[] => ['bench', ...args, '-f', format, at(format)];
  const write = ['-w', '-t', 'unsafe'];
  const rows: [string, string[]][] = [];
  for (const [from, to] of [
    ['raw', 'raw'],
    ['raw', 'qcow2'],
    ['qcow2', 'raw'],
    ['qcow2', 'qcow2'],
  ] as const) {
    rows.push([`convert ${from} to ${to}`, ['convert', '-f', from, '-O', to, at(from), at('out')]]);
  }
  for (const format of ['raw', 'qcow2']) {
    rows.push(
      [`bench read ${format}, 64 KiB`, bench(format, '-c', count, '-s', '64k')],
      [`bench read ${format}, 4 KiB`, bench(format, '-c', '100000')],
      [`bench write ${format}, 64 KiB`, bench(format, ...write, '-c', count, '-s', '64k')],
      [`bench write ${format}, 4 KiB`, bench(format, ...write, '-c', '100000')],
    );
  }
  const programs = [['node', OURS], ['qemu-img']] as const;
  const start = programs.map((p) => best(Array.from({ length: RUNS }, () => run([...p, '--version']))));
  for (const [name, args] of rows) {
    if (!pattern.test(name)) continue;
    const times: Times[][] = [[], []];
    for (let i = 0; i < RUNS; i++) {
      for (const [k, p] of programs.entries()) times[k]!.push(run([...p, ...args]));
    }
    const [ours, theirs] = times.map((t, k) => {
      const b = best(t);
      return { elapsed: Math.max(1e-3, b.elapsed - start[k]!.elapsed), busy: Math.max(1e-3, b.busy - start[k]!.busy) };
    }) as [Times, Times];
    report({ name, bar: 0.7, ours, theirs });
  }
}
