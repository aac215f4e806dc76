/** A guest's writes through the whole of the emulator into an image, and out again. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { findDataFile } from '../../src/host/node/data-files.js';
import { fileCalls } from '../../src/host/node/file-calls.js';
import { hasQemu, inScratch, makeQcow2, open, qemuImg } from './support.js';

const COMMAND = fileURLToPath(new URL('../../../bin/tinamou-system-x86_64.js', import.meta.url));
const skip = findDataFile('bios-256k.bin') === null ? 'SeaBIOS is not installed' : false;

/** Writes itself to the second sector of the disk, says so on the debug port, and halts. */
const BOOT_SECTOR = Uint8Array.from([
  ...[0x31, 0xc0, 0x8e, 0xc0], // xor ax, ax; mov es, ax
  ...[0xb8, 0x01, 0x03], // mov ax, 0301h: write one sector
  ...[0xb9, 0x02, 0x00], // mov cx, 2
  ...[0xba, 0x80, 0x00], // mov dx, 80h
  ...[0xbb, 0x00, 0x7c], // mov bx, 7c00h
  ...[0xcd, 0x13], // int 13h
  ...[0xb0, 0x57, 0xe6, 0xe9], // mov al, 'W'; out e9h, al
  ...[0xf4, 0xeb, 0xfd], // hlt; jmp back
]);

for (const [name, drive, signal] of [
  ['ide, ended by SIGTERM', (file: string) => ['-drive', `file=${file}`], 'SIGTERM'],
  [
    'virtio and -blockdev, ended by SIGINT',
    (file: string) => [
      '-blockdev',
      `driver=qcow2,node-name=n,file.driver=file,file.filename=${file}`,
      '-device',
      'virtio-blk-pci,drive=n',
    ],
    'SIGINT',
  ],
  [
    'nodes in -drive, with shared limits',
    (file: string) => [
      '-object',
      '{"qom-type":"throttle-group","id":"g","limits":{"iops-total":1000}}',
      '-drive',
      `driver=qcow2,file.driver=throttle,file.throttle-group=g,file.file.driver=file,file.file.filename=${file},id=d`,
    ],
    'SIGTERM',
  ],
  [
    'names of -drive’s parts',
    (file: string) => [
      '-drive',
      `driver=qcow2,file.filename=${file},cache.direct=on,l2-cache-size=1M,throttling.bps-total=9000000,aio=native`,
    ],
    'SIGTERM',
  ],
] as const) {
  test(`a guest writes to qcow2: ${name}`, { skip }, () =>
    inScratch(async (folder) => {
      const file = path.join(folder, 'a.qcow2');
      const out = path.join(folder, 'debug');
      await makeQcow2(file, { size: 4 << 20 });
      const sector = new Uint8Array(512);
      sector.set(BOOT_SECTOR);
      sector.set([0x55, 0xaa], 510);
      const before = await open(file);
      await before.write(0, sector);
      await before.close();
      const machine = spawn(
        process.execPath,
        [COMMAND, '-display', 'none', '-m', '32', '-debugcon', `file:${out}`, ...drive(file)],
        { stdio: ['ignore', 'ignore', 'pipe'] },
      );
      let errors = '';
      machine.stderr.on('data', (data: Buffer) => {
        errors += data.toString();
      });
      const ended = new Promise<number | null>((resolve) => machine.once('exit', resolve));
      const written = (): boolean => fs.existsSync(out) && fs.readFileSync(out, 'latin1').endsWith('W');
      for (let i = 0; i < 600 && !written() && machine.exitCode === null; i++) await sleep(100);
      assert.ok(written(), errors);
      // While it runs nobody else may write.
      if (fileCalls()) await assert.rejects(open(file), /lock/);
      machine.kill(signal);
      assert.equal(await ended, 0, errors);
      const after = await open(file, { readOnly: true });
      const second = new Uint8Array(512);
      await after.read(512, second);
      assert.deepEqual(second, sector);
      await after.close();
      if (hasQemu) qemuImg('check', file);
    }),
  );
}
