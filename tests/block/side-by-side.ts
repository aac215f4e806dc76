/** tinamou-img beside qemu-img: the same commands in two folders must say the same. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { main } from '../../src/app/img/main.js';
import { inScratch, needsQemu, randomizer } from './support.js';

interface Outcome {
  readonly status: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs in this process, in a folder. */
export async function ours(folder: string, args: readonly string[]): Promise<Outcome> {
  let out = '';
  let err = '';
  const before = process.cwd();
  process.chdir(folder);
  try {
    const io = {
      out: (t: string) => {
        out += t;
      },
      err: (t: string) => {
        err += t;
      },
    };
    const status = await main(args, io, '0');
    return { status, out, err };
  } finally {
    process.chdir(before);
  }
}

/** QEMU finds out how many rounds of a key take a while by its own processor time, and gives up where the host tells none of it. */
const UNTIMED = 'Unable to get accurate CPU usage';
const TRIES = 5;

export function theirs(folder: string, args: readonly string[], tries = TRIES): Outcome {
  const { status, stdout, stderr } = spawnSync('qemu-img', args, { encoding: 'utf8', cwd: folder });
  if (status !== 0 && stderr.includes(UNTIMED) && tries > 1) return theirs(folder, args, tries - 1);
  return { status, out: stdout, err: stderr };
}

/** What differs by nature: names, times, sizes on the host's disk. */
const leveled = (o: Outcome): Outcome => ({
  status: o.status,
  out: o.out
    .replace(/disk size: .*/g, 'disk size: ~')
    .replace(/"actual-size": \d+/g, '"actual-size": 0')
    .replace(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/g, 'DATE')
    .replace(/"date-(n?sec)": \d+/g, '"date-$1": 0')
    .replace(/in [\d.]+ seconds/, 'in T seconds')
    .replace(/uuid: .*/g, 'uuid: ~')
    .replace(/iters: \d+/g, 'iters: 0')
    .replace(/\bcid("?): \d+/g, 'cid$1: 0'),
  err: o.err.replaceAll('qemu-img', 'tinamou-img'),
});

/** Each line is run by both programs, each in its own folder; what they say must be equal. */
export function sideBySide(name: string, lines: readonly string[], prepare: (folder: string) => void = () => {}): void {
  test(`tinamou-img as qemu-img: ${name}`, needsQemu, () =>
    inScratch(async (folder) => {
      const [a, b] = ['ours', 'theirs'].map((n) => path.join(folder, n)) as [string, string];
      for (const f of [a, b]) {
        fs.mkdirSync(f);
        prepare(f);
      }
      for (const line of lines) {
        const args = line.split(' ').map((w) => (w === "''" ? '' : w));
        const mine = leveled(await ours(a, args));
        const other = leveled(theirs(b, args));
        assert.deepEqual(mine, other, line);
      }
    }),
  );
}

/** Makes `raw`, of 1 MiB: noise and zeroes. */
export const filled = (folder: string): void => {
  const random = randomizer(4);
  const bytes = new Uint8Array(1 << 20);
  for (let i = 0; i < bytes.length; i++) bytes[i] = i % 200_000 < 90_000 ? random(256) : 0;
  fs.writeFileSync(path.join(folder, 'raw'), bytes);
};

sideBySide('create and info', [
  'create -f qcow2 a 10M',
  'info a',
  'info --output=json a',
  'create -f qcow2 -o compat=0.10,cluster_size=4k b 1G',
  'info b',
  'info --output=json b',
  'create -f qcow2 -b a -F qcow2 c',
  'info c',
  'info --output=json c',
  'info --backing-chain c',
  'info --backing-chain --output=json c',
  'create -f qcow2 -o extended_l2=on,lazy_refcounts=on,refcount_bits=1 d 1.5G',
  'info d',
  'create -f raw e 12345678',
  'info e',
  'info --output=json e',
  'create -f qcow2 -o data_file=df,data_file_raw=on f 1M',
  'info f',
  'create -f qcow2 -o preallocation=metadata g 1M',
  'create -f qcow2 -o preallocation=full h 1M',
  'create -q -f qcow2 i 1M',
]);
