/** Debian on a disk of its own (`npm run guest:debian`): packages, a compiler, and what is left after an end without warning. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, before, test } from 'node:test';
import { packageFile, sourceArchive } from '../../tools/guest/guests.js';
import { tool } from '../../tools/guest/tool.js';
import { assertClean, checkFileSystem, DebianProcess, img, missingDebian, overlay } from './debian.js';

const skip = tool('mke2fs', ['-V']).status === 0 ? await missingDebian() : 'e2fsprogs is not installed';
const timeout = 3_600_000;
let folder: string;

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'tinamou-debian-test-'));
});
after(() => rmSync(folder, { recursive: true, force: true }));

/** A package archive without signatures, as apt takes it from a folder. */
async function makeArchive(path: string, names: readonly string[]): Promise<void> {
  mkdirSync(path, { recursive: true });
  const paragraphs: string[] = [];
  for (const name of names) {
    const file = await packageFile(name);
    copyFileSync(file, join(path, basename(file)));
    const bytes = readFileSync(file);
    paragraphs.push(
      [
        tool('dpkg-deb', ['-f', file]).out.trim(),
        `Filename: ./${basename(file)}`,
        `Size: ${bytes.length}`,
        `SHA256: ${createHash('sha256').update(bytes).digest('hex')}`,
        '',
      ].join('\n'),
    );
  }
  writeFileSync(join(path, 'Packages'), paragraphs.join('\n'));
}

test('apt and dpkg install from local packages, gcc compiles a program, and poweroff leaves the disk clean', {
  skip,
  timeout,
}, async () => {
  const shared = join(folder, 'shared');
  await makeArchive(shared, ['jq', 'libjq1', 'libonig5']);
  copyFileSync(await packageFile('hello'), join(shared, 'hello.deb'));
  copyFileSync(await sourceArchive('bzip2'), join(shared, 'bzip2.tar.gz'));
  const image = await overlay(join(folder, 'packages.qcow2'));
  const debian = await DebianProcess.start(image, [
    ...['-fsdev', `local,id=f,path=${shared},security_model=none,readonly=on`],
    ...['-device', 'virtio-9p-pci,fsdev=f,mount_tag=shared'],
  ]);
  try {
    assert.equal(await debian.run('systemctl --failed --no-legend'), '');
    assert.equal(await debian.run('findmnt -n -o SOURCE /'), '/dev/vda1');
    await debian.run('mount -t 9p -o trans=virtio,version=9p2000.L,ro shared /mnt');

    await debian.run('dpkg -i /mnt/hello.deb');
    assert.equal(await debian.run('hello'), 'Hello, world!');
    await debian.run("echo 'deb [trusted=yes] file:/mnt ./' > /etc/apt/sources.list");
    await debian.run('apt-get -q update');
    assert.match(await debian.run('apt-get -q -y install jq'), /Setting up libonig5/);
    assert.equal(await debian.run(`echo '{"a": [1, 2, 3]}' | jq -Mc '.a | map(. * 2)'`), '[2,4,6]');
    await debian.run('apt-get -q -y purge hello jq libjq1 libonig5');
    assert.equal(await debian.run('dpkg --audit'), '');
    assert.equal(await debian.run('dpkg --verify'), '');

    // Its makefile ends with tests: files compressed and decompressed, compared with what they should be.
    await debian.run('tar -C /root -xzf /mnt/bzip2.tar.gz && cd /root/bzip2-* && make > /root/make.log 2>&1', 1800);
    assert.match(await debian.run('cat /root/make.log'), /If you got this far and the 'cmp's didn't complain/);
    await debian.run('./bzip2 -k < /boot/vmlinuz-* | ./bzip2 -d | cmp - /boot/vmlinuz-*');
    assert.equal(await debian.run('dmesg --level=err,crit,alert,emerg'), '');
    await debian.powerOff();
  } finally {
    await debian.kill();
  }
  img('check', image);
  assertClean(image);
});

/** Writes files one after the other, each made durable and then named on the console, while others come and go. */
const BUSY = [
  'cd /root; i=0',
  'while :; do i=$((i+1))',
  'head -c $((i * 7919 % 300000)) /dev/urandom > kept.$i; sha256sum kept.$i > sum.$i',
  'sync kept.$i sum.$i .; echo "durable $i"',
  'for j in 1 2 3 4 5; do head -c 50000 /dev/zero > scratch.$j; mv scratch.$j moved.$j; done; rm moved.*',
  'done',
].join('; ');

test('after SIGKILL in mid-write the journal leaves the disk clean, with all that was durable', {
  skip,
  timeout,
}, async () => {
  const image = await overlay(join(folder, 'killed.qcow2'));
  for (let round = 0; round < 3; round++) {
    const debian = await DebianProcess.start(image);
    let durable = 0;
    try {
      debian.serial.write(`${BUSY}\n`);
      await debian.serial.waitFor(`durable ${10 + 7 * round}\r\n`, { timeout: 600 });
      await new Promise((resolve) => setTimeout(resolve, 300 + 170 * round));
    } finally {
      await debian.kill();
    }
    durable = Number([...debian.serial.text.matchAll(/^durable (\d+)\r$/gm)].at(-1)![1]);

    // What an end at this moment may leave in the image is clusters that nobody uses.
    const checked = tool('qemu-img', ['check', image]);
    assert.ok(checked.status === 0 || checked.status === 3, checked.out + checked.errors);
    assert.match(checkFileSystem(image).said, /recover/i, 'the guest was not in the middle of anything');

    const again = await DebianProcess.start(image);
    try {
      assert.match(await again.run('dmesg; journalctl -b --no-pager'), /recovering journal|recovery complete|orphan/i);
      assert.equal(await again.run('systemctl --failed --no-legend'), '');
      const count = await again.run(
        `i=0; while [ $i -lt ${durable} ]; do i=$((i+1)); sha256sum -c --status sum.$i || break; done; echo $i`,
      );
      assert.equal(Number(count), durable);
      await again.run('rm -f kept.* sum.* scratch.* moved.*');
      await again.powerOff();
    } finally {
      await again.kill();
    }
    assertClean(image);
  }
});
