/**
 * `npm run bench:disk [-- options]`: disks of Tinamou and of QEMU 7.2 side by side, each row in turns: tinamou-img against
 * qemu-img, and requests of a guest under tcg to a virtio disk. Given are the least elapsed and processor times of several
 * runs, and the ratio of throughputs.
 * `stalls`: how long image I/O holds up the machine's thread; status 1: for more than a millisecond, and not for lack of a processor.
 *   --mib N          size of the images (default 512)
 *   --only PATTERN   rows whose name matches (a regular expression)
 *   --folder PATH    where the images are made (default: in memory, where the host has such a folder)
 *   --profile        after each row in the guest: where Tinamou's time went in one more run
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { UserError } from '../src/base/errors.js';
import { measureGuests } from './disk-guest.js';
import { makeImages, measureImages } from './disk-images.js';
import { type DiskRow, header, line } from './disk-report.js';
import { measureStalls } from './disk-stalls.js';
import { leaveOutCertificates } from './environment.js';

leaveOutCertificates();

const { values } = parseArgs({
  options: {
    mib: { type: 'string', default: '512' },
    only: { type: 'string', default: '' },
    folder: { type: 'string', default: fs.existsSync('/dev/shm') ? '/dev/shm' : os.tmpdir() },
    profile: { type: 'boolean', default: false },
  },
});

async function main(): Promise<void> {
  const mib = Number(values.mib);
  if (!Number.isInteger(mib) || mib < 1) throw new UserError(`--mib '${values.mib}' is not a size`);
  const pattern = new RegExp(values.only);
  const folder = fs.mkdtempSync(path.join(values.folder, 'tinamou-bench-'));
  const report = (row: DiskRow): void => console.log(line(row));
  try {
    makeImages(folder, mib);
    console.log(`images of ${mib} MiB; seconds elapsed (processor)\n${header()}`);
    measureImages(folder, mib, pattern, report);
    if (pattern.test('stalls')) {
      const met = measureStalls(fs.mkdtempSync(path.join(os.tmpdir(), 'tinamou-stalls-')));
      if (!met) process.exitCode = 1;
    }
    await measureGuests(folder, pattern, values.profile, report);
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}

try {
  await main();
} catch (error) {
  if (!(error instanceof UserError)) throw error;
  console.error(`bench:disk: ${error.message}`);
  process.exitCode = 2;
}
