/** Linux on q35: configuration space in memory, AHCI, interrupts by message and by line. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { tool } from '../../tools/guest/tool.js';
import { linuxMachine, powerOff, run, toPrompt } from './linux.js';

const skip = tool('mke2fs', ['-V']).status === 0 ? false : 'e2fsprogs is not installed';
let folder: string;

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'tinamou-q35-'));
});
after(() => rmSync(folder, { recursive: true, force: true }));

for (const [name, append] of [
  ['messages', ''],
  ['lines through the I/O APIC', ' pci=nomsi'],
  ['lines through the 8259s', ' pci=nomsi noapic'],
] as const) {
  test(`q35, ${name}: ext4 on AHCI keeps what is written, and a CD is read`, { skip, timeout: 600_000 }, async () => {
    const image = join(folder, 'disk.img');
    writeFileSync(image, '');
    truncateSync(image, 64 << 20);
    assert.equal(tool('mke2fs', ['-q', '-t', 'ext4', '-F', image]).status, 0);
    const disc = join(folder, 'disc.iso');
    writeFileSync(disc, Buffer.alloc(1 << 20, 'disc '));
    const vm = await linuxMachine({
      linux: 'linux-amd64',
      cpu: 'max',
      machine: 'q35',
      append: `console=ttyS0${append}`,
      initrdRequest: { modules: ['ahci', 'sd_mod', 'sr_mod', 'crc32c_generic', 'ext4'] },
      drives: [`file=${image},format=raw`],
      args: ['-cdrom', disc],
    });
    try {
      const said = await toPrompt(vm);
      assert.match(said, /MMCONFIG at \[mem 0xb0000000-0xbfffffff\]/);
      for (let i = 0; i < 30 && !/sda/.test(await run(vm, 'ls /sys/block')); i++) await run(vm, 'sleep 1');
      assert.match(await run(vm, 'cat /sys/block/sda/device/queue_depth'), /^3[12]$/);
      await run(vm, 'mount -t ext4 /dev/sda /mnt');
      await run(vm, 'dd if=/dev/urandom of=/mnt/big bs=64k count=64; sha256sum /mnt/big > /mnt/sum; sync', 120);
      await run(vm, 'echo 3 > /proc/sys/vm/drop_caches');
      assert.match(await run(vm, 'sha256sum -c /mnt/sum', 120), /big: OK/);
      assert.match(await run(vm, 'grep ahci /proc/interrupts'), append ? /(IO-APIC|XT-PIC)/ : /PCI-MSI/);
      assert.match(await run(vm, 'head -c 20 /dev/sr0'), /^disc disc disc disc/);
      await run(vm, 'umount /mnt');
      await powerOff(vm);
    } finally {
      await vm.dispose();
    }
    const checked = tool('e2fsck', ['-f', '-n', image]);
    assert.equal(checked.status, 0, checked.out + checked.errors);
  });
}

test('q35, nvme: ext4 keeps what is written, blocks are discarded', { skip, timeout: 600_000 }, async () => {
  const image = join(folder, 'nvme.img');
  writeFileSync(image, '');
  truncateSync(image, 64 << 20);
  assert.equal(tool('mke2fs', ['-q', '-t', 'ext4', '-F', image]).status, 0);
  const vm = await linuxMachine({
    linux: 'linux-amd64',
    cpu: 'max',
    machine: 'q35',
    initrdRequest: { modules: ['nvme', 'crc32c_generic', 'ext4'] },
    args: ['-drive', `if=none,id=d,file=${image},format=raw`, '-device', 'nvme,drive=d,serial=S1'],
  });
  try {
    await toPrompt(vm);
    for (let i = 0; i < 30 && !/nvme0n1/.test(await run(vm, 'ls /sys/block')); i++) await run(vm, 'sleep 1');
    assert.match(await run(vm, 'cat /sys/class/nvme/nvme0/serial'), /^S1/);
    await run(vm, 'mount -t ext4 /dev/nvme0n1 /mnt');
    await run(vm, 'dd if=/dev/urandom of=/mnt/big bs=64k count=64; sha256sum /mnt/big > /mnt/sum; sync', 120);
    await run(vm, 'echo 3 > /proc/sys/vm/drop_caches');
    assert.match(await run(vm, 'sha256sum -c /mnt/sum', 120), /big: OK/);
    assert.match(await run(vm, 'rm /mnt/big; fstrim -v /mnt'), /trimmed/);
    assert.match(await run(vm, 'umount /mnt; grep nvme0q /proc/interrupts'), /PCI-MSI/);
    await vm.monitorAsync('block_resize d 96M');
    const sectors = (): Promise<string> => run(vm, 'cat /sys/block/nvme0n1/size');
    for (let i = 0; i < 30 && (await sectors()) !== '196608'; i++) await run(vm, 'sleep 1');
    assert.equal(await sectors(), '196608', 'the guest is told of the new length');
    assert.doesNotMatch(await run(vm, 'dmesg'), /I\/O error|nvme.*(error|timeout)/i);
    await powerOff(vm);
  } finally {
    await vm.dispose();
  }
  const checked = tool('e2fsck', ['-f', '-n', image]);
  assert.equal(checked.status, 0, checked.out + checked.errors);
});
