/**
 * Privileged behaviour, compared with QEMU: each guest of testdata/ prints what it sees, and testdata/NAME.expected is what
 * `qemu-system-x86_64 -M pc -cpu max -accel tcg` printed. `UPDATE_GOLDEN=1` assembles the guests again (nasm) and asks QEMU.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gunzipSync, gzipSync } from 'node:zlib';
import { runGuest } from './guest.js';
import { runMachineGuest } from './machine-guest.js';

const testdata = fileURLToPath(new URL('../../../tests/privileged/testdata/', import.meta.url));
const GUESTS = ['real', 'protected', 'v86', 'paging', 'long', 'debug', 'descriptors', 'gates', 'permissions'];
const update = process.env['UPDATE_GOLDEN'] !== undefined;

/** Guests that need the whole machine, with how many processors. */
const MACHINE_GUESTS: readonly (readonly [string, number])[] = [
  ['apic', 2],
  ['smm', 1],
  ['architecture', 1],
  ['fpu', 1],
];
/** Guests about what QEMU does not do: their expected output was checked by hand. */
const NOT_ON_QEMU = new Set(['architecture', 'fpu']);

function assemble(name: string, cpus = 1): Buffer {
  const image = join(testdata, `${name}.bin.gz`);
  if (!update && existsSync(image)) return gunzipSync(readFileSync(image));
  const folder = mkdtempSync(join(tmpdir(), 'tinamou-guest-'));
  const bin = join(folder, 'guest.bin');
  try {
    const nasm = spawnSync('nasm', ['-w-prefix-seg', '-f', 'bin', '-o', bin, `${name}.asm`], { cwd: testdata });
    assert.equal(nasm.status, 0, String(nasm.stderr));
    const bytes = readFileSync(bin);
    writeFileSync(image, gzipSync(bytes, { level: 9 }));
    if (NOT_ON_QEMU.has(name)) return bytes;
    const output = join(folder, 'output');
    spawnSync(
      'qemu-system-x86_64',
      [
        ...[
          '-M',
          'pc',
          '-accel',
          'tcg',
          '-cpu',
          'max',
          '-m',
          '16',
          '-smp',
          String(cpus),
          '-bios',
          bin,
          '-display',
          'none',
          '-no-reboot',
        ],
        ...['-debugcon', `file:${output}`, '-device', 'isa-debug-exit,iobase=0xf4,iosize=1'],
      ],
      { timeout: 10_000 },
    );
    writeFileSync(join(testdata, `${name}.expected`), readFileSync(output));
    return bytes;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The interpreter alone; every region compiled at once. */
const TIERS: readonly (readonly [string, number])[] = [
  ['interpreted', Number.POSITIVE_INFINITY],
  ['compiled', 1],
];

for (const [tier, hotThreshold] of TIERS) {
  for (const name of GUESTS) {
    test(`${name} sees what it sees on QEMU, ${tier}`, () => {
      const { output, end } = runGuest(assemble(name), { hotThreshold });
      assert.equal(output, readFileSync(join(testdata, `${name}.expected`), 'latin1'));
      assert.equal(end, 'halted');
    });
  }
  for (const [name, cpus] of MACHINE_GUESTS) {
    test(`${name} sees on our PC what it should, ${tier}`, async () => {
      const output = await runMachineGuest(assemble(name, cpus), { cpus, hotThreshold });
      assert.equal(output, readFileSync(join(testdata, `${name}.expected`), 'latin1'));
    });
  }
}
