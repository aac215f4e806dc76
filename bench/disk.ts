/**
 * `npm run bench:disk`: tinamou-img and qemu-img on the same images in turns, as whole processes. Given are the least elapsed
 * and processor times of several runs and the ratio of throughputs, with the start of the process taken off.
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const OURS = fileURLToPath(new URL('../../bin/tinamou-img.js', import.meta.url));
const RUNS = 5;
const DATA_MIB = Number(process.argv[2] ?? 512);

interface Times {
  readonly elapsed: number;
  /** User and system. */
  readonly busy: number;
}

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

const folder = fs.mkdtempSync(path.join(fs.existsSync('/dev/shm') ? '/dev/shm' : os.tmpdir(), 'tinamou-bench-'));
try {
  const at = (name: string): string => path.join(folder, name);
  const chunk = Buffer.alloc(1 << 20);
  const fd = fs.openSync(at('raw'), 'w');
  for (let i = 0; i < DATA_MIB; i++) {
    for (let j = 0; j < chunk.length; j += 4) chunk.writeUInt32LE(Math.imul(i * 262144 + j, 2654435761) >>> 0, j);
    fs.writeSync(fd, chunk);
  }
  fs.closeSync(fd);
  spawnSync('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', at('raw'), at('qcow2')]);
  const count = String((DATA_MIB << 20) / 65536);
  const rows: readonly (readonly [string, readonly string[]])[] = [
    ['convert raw to qcow2', ['convert', '-f', 'raw', '-O', 'qcow2', at('raw'), at('out')]],
    ['convert qcow2 to raw', ['convert', '-f', 'qcow2', '-O', 'raw', at('qcow2'), at('out')]],
    ['bench read raw, 64 KiB', ['bench', '-c', count, '-s', '64k', '-f', 'raw', at('raw')]],
    ['bench read qcow2, 64 KiB', ['bench', '-c', count, '-s', '64k', '-f', 'qcow2', at('qcow2')]],
    ['bench read qcow2, 4 KiB', ['bench', '-c', '100000', '-f', 'qcow2', at('qcow2')]],
    [
      'bench write qcow2, 64 KiB',
      ['bench', '-w', '-t', 'unsafe', '-c', count, '-s', '64k', '-f', 'qcow2', at('qcow2')],
    ],
    ['bench write qcow2, 4 KiB', ['bench', '-w', '-t', 'unsafe', '-c', '100000', '-f', 'qcow2', at('qcow2')]],
  ];
  const programs = [['node', OURS], ['qemu-img']] as const;
  const start = programs.map((p) => best(Array.from({ length: RUNS }, () => run([...p, '--version']))));
  console.log(
    `${DATA_MIB} MiB; least of ${RUNS} runs in turns; seconds elapsed (processor), start of the process taken off`,
  );
  console.log(`${''.padEnd(28)}${'tinamou'.padEnd(18)}${'qemu'.padEnd(18)}throughput ratio, elapsed (processor)`);
  for (const [name, args] of rows) {
    const times: Times[][] = [[], []];
    for (let i = 0; i < RUNS; i++) {
      for (const [k, p] of programs.entries()) times[k]!.push(run([...p, ...args]));
    }
    const [ours, theirs] = times.map((t, k) => {
      const b = best(t);
      return { elapsed: Math.max(1e-3, b.elapsed - start[k]!.elapsed), busy: Math.max(1e-3, b.busy - start[k]!.busy) };
    }) as [Times, Times];
    const show = (t: Times): string => `${t.elapsed.toFixed(3)} (${t.busy.toFixed(3)})`.padEnd(18);
    console.log(
      `${name.padEnd(28)}${show(ours)}${show(theirs)}${(theirs.elapsed / ours.elapsed).toFixed(2)} (${(theirs.busy / ours.busy).toFixed(2)})`,
    );
  }
} finally {
  fs.rmSync(folder, { recursive: true });
}
