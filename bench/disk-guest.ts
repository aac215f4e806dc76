/** Disks in the guest under tcg: the same kernel, program and image in Tinamou and in QEMU, in turns. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { UserError } from '../src/base/errors.js';
import { initrdImage, linuxImage } from '../tools/guest/guests.js';
import type { DiskRow, Times } from './disk-report.js';
import { Guest, PROMPT } from './guest.js';
import { PEERS, tinamou } from './machines.js';

const SOURCE = new URL('../../bench/guest-programs/disk-io.c', import.meta.url).pathname;
const RUNS = 3;
/** Requests of so many KiB, by how many are under way at a time: enough that translating the guest's kernel weighs little. */
const LOADS = [
  { kib: 4, bar: 1, requests: { 1: 20_000, 32: 100_000 } },
  { kib: 256, bar: null, requests: { 1: 2000, 8: 2000 } },
] as const;

function buildProgram(folder: string): Uint8Array {
  const program = path.join(folder, 'disk-io');
  const made = spawnSync('gcc', ['-O2', '-static', '-o', program, SOURCE], { encoding: 'utf8' });
  if (made.status !== 0) throw new UserError(`gcc cannot build disk-io: ${made.error?.message ?? made.stderr}`);
  return new Uint8Array(fs.readFileSync(program));
}

interface Machine {
  readonly guest: Guest;
  /** Processor seconds of the process so far. */
  busy(): number;
}

export async function measureGuests(
  folder: string,
  pattern: RegExp,
  profile: boolean,
  report: (row: DiskRow) => void,
): Promise<void> {
  const names = ['raw', 'qcow2'].flatMap((format) =>
    ['read', 'write'].flatMap((operation) =>
      ['sequential', 'random'].flatMap((order) =>
        LOADS.flatMap(({ kib, bar, requests: byDepth }) =>
          Object.entries(byDepth).map(([depth, requests]) => ({
            format,
            bar,
            name: `guest ${operation} ${format}, ${order} ${kib} KiB, depth ${depth}`,
            command: `/disk-io /dev/vda ${operation} ${order} ${requests} ${depth} ${kib * 1024}`,
          })),
        ),
      ),
    ),
  );
  const files = {
    kernel: await linuxImage('linux-amd64'),
    initrd: await initrdImage({ modules: ['virtio_pci', 'virtio_blk'], files: { '/disk-io': buildProgram(folder) } }),
  };
  for (const format of ['raw', 'qcow2']) {
    const wanted = names.filter((n) => n.format === format && pattern.test(n.name));
    if (wanted.length === 0) continue;
    const machines: Machine[] = [];
    try {
      for (const side of ['tinamou', 'qemu'] as const) {
        // Each has its own copy: neither locks the other out, and both write the same.
        const image = path.join(folder, `${side}.${format}`);
        fs.copyFileSync(path.join(folder, format), image);
        const command = side === 'tinamou' ? tinamou(64, files, 'max') : PEERS[64].command(files, 'max');
        const guest = new Guest(side, {
          ...command,
          args: [...command.args, '-drive', `file=${image},format=${format},if=virtio`],
        });
        machines.push({ guest, busy: () => guest.processorSeconds });
        await guest.until(PROMPT);
        await guest.run('stty cols 500; dmesg -n 1');
      }
      for (const { name, bar, command } of wanted) {
        const best: Times[] = machines.map(() => ({
          elapsed: Number.POSITIVE_INFINITY,
          busy: Number.POSITIVE_INFINITY,
        }));
        for (let i = 0; i < RUNS; i++) {
          for (const [k, { guest, busy }] of machines.entries()) {
            const before = busy();
            const { seconds } = await guest.run(command, { from: 'go\r', to: '\nover' });
            best[k] = {
              elapsed: Math.min(best[k]!.elapsed, seconds),
              busy: Math.min(best[k]!.busy, busy() - before),
            };
          }
        }
        report({ name, bar, ours: best[0]!, theirs: best[1]! });
        if (profile) {
          await machines[0]!.guest.monitor('profile start');
          await machines[0]!.guest.run(command);
          console.log(await machines[0]!.guest.monitor('profile stop'));
        }
      }
    } finally {
      for (const { guest } of machines) await guest.stop();
    }
  }
}
