/** SeaBIOS starts GRUB from a hard disk, GRUB a kernel, and that a system on ext4, which keeps what is written to it. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { VirtualMachine } from '../../src/app/lib/index.js';
import { partition } from '../../tools/guest/grub-image.js';
import { biosFile } from '../../tools/guest/guests.js';
import { missing } from '../../tools/guest/missing.js';
import { tool } from '../../tools/guest/tool.js';
import { MENU_ENTRY, makeGrubDisk } from './grub-disk.js';
import { powerOff, run, SLOWER, TIERS, type Tier, tierName, toPrompt } from './linux.js';

const skip =
  tool('mke2fs', ['-V']).status === 0
    ? await missing('seabios', 'linux-amd64', 'busybox-amd64', 'grub', 'grub-tools', 'libdevmapper')
    : 'e2fsprogs is not installed';
let folder: string;
let disk: string;

before(() => {
  if (!skip) folder = mkdtempSync(join(tmpdir(), 'tinamou-disk-'));
});
after(() => {
  if (!skip) rmSync(folder, { recursive: true, force: true });
});

async function bootDisk(tier: Tier): Promise<VirtualMachine> {
  const vm = await VirtualMachine.create({
    bios: await biosFile('bios-256k.bin'),
    cpu: 'max',
    memory: '256M',
    drives: [`file=${disk},format=raw`],
    tier,
  });
  try {
    vm.start();
    await vm.serial.waitFor(MENU_ENTRY, { timeout: 120 * SLOWER[tier] });
    vm.serial.write('\r');
    await vm.serial.waitFor('Loaded from the disk by GRUB', { timeout: 60 * SLOWER[tier] });
    await toPrompt(vm, tier);
    return vm;
  } catch (error) {
    await vm.dispose();
    throw error;
  }
}

function checkFileSystem(): void {
  const checked = tool('e2fsck', ['-f', '-n', partition(disk)]);
  assert.equal(checked.status, 0, checked.out + checked.errors);
  assert.match(checked.out, /Pass 5/);
  assert.doesNotMatch(checked.out + checked.errors, /recover|not cleanly/i);
}

for (const tier of TIERS) {
  const options = { skip, timeout: 600_000 * SLOWER[tier] };
  const seconds = 60 * SLOWER[tier];

  test(
    `a file written on the disk is there afterwards, and the file system clean, ${tierName(tier)}`,
    options,
    async () => {
      disk = await makeGrubDisk(mkdtempSync(join(folder, 'disk-')));
      checkFileSystem();
      const vm = await bootDisk(tier);
      try {
        assert.match(await run(vm, 'mount'), /^\/dev\/\w+ on \/ type ext4 \(rw/m);
        assert.equal(await run(vm, 'echo kept > /root/file; mkdir -p /root/many; cat /root/file'), 'kept');
        await run(vm, 'i=0; while [ $i -lt 200 ]; do echo $i > /root/many/$i; i=$((i+1)); done', seconds);
        await run(
          vm,
          'dd if=/bin/busybox of=/root/copy bs=4k; rm -f /root/many/1*; cmp /bin/busybox /root/copy && echo same',
          seconds,
        );
        await powerOff(vm);
      } finally {
        await vm.dispose();
      }
      checkFileSystem();
      assert.equal(
        tool('debugfs', ['-R', 'cat /root/file', partition(disk)])
          .out.split('\n')
          .at(-2),
        'kept',
      );
      const many = tool('debugfs', ['-R', 'ls -p /root/many', partition(disk)]).out.match(/^\/\d+\/100644\//gm);
      assert.equal(many?.length, 89);
    },
  );

  test(`another start finds the file, ${tierName(tier)}`, options, async () => {
    const vm = await bootDisk(tier);
    try {
      assert.equal(await run(vm, 'cat /root/file'), 'kept');
      assert.equal(await run(vm, 'cmp /bin/busybox /root/copy && echo same', seconds), 'same');
      await powerOff(vm);
    } finally {
      await vm.dispose();
    }
    checkFileSystem();
  });
}
