/** `-d` of a small guest, from its first reset on. What QEMU's log has for the same firmware stands here. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';

const COMMAND = path.resolve(import.meta.dirname, '../../../bin/tinamou-system-x86_64.js');
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tinamou-test-'));
after(() => fs.rmSync(folder, { recursive: true }));

const SIZE = 0x1_0000;
/** Vector 3 is at IRET (ff80); INT3; an empty IDT; CR0.PE on; INT3 again, which ends in a triple fault. */
const CODE = 'c7060c0080ffc7060e0000f0cd032e0f011660ff0f20c00c010f22c0cd03';

test('-d int tells of interrupts in protected mode alone, cpu_reset of the reset at power-on', {
  timeout: 60_000,
}, () => {
  const image = new Uint8Array(SIZE);
  image.set(Buffer.from(CODE, 'hex'), 0xff00);
  image[0xff80] = 0xcf;
  image.set([0xea, 0x00, 0xff, 0x00, 0xf0], 0xfff0);
  const [bios, log] = [path.join(folder, 'bios'), path.join(folder, 'log')];
  fs.writeFileSync(bios, image);
  const args = ['-bios', bios, '-nodefaults', '-display', 'none', '-no-reboot', '-d', 'int,cpu_reset', '-D', log];
  const done = spawnSync(process.execPath, [COMMAND, ...args], { encoding: 'utf8', timeout: 50_000 });
  assert.equal(done.status, 0, done.stderr);
  const lines = fs.readFileSync(log, 'utf8').split('\n');
  assert.equal(lines[0], 'CPU Reset (CPU 0)');
  assert.deepEqual(
    lines.filter((line) => line.includes(' v=')).map((line) => line.slice(0, 30)),
    ['     0: v=03 e=0000 i=1 cpl=0 ', '     1: v=0d e=001a i=0 cpl=0 ', '     2: v=08 e=0000 i=0 cpl=0 '],
  );
});
