/** The guest's own virtio drivers: Debian's kernel finds every device, uses it, and the host sees what it did. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { tool } from './grub-disk.js';
import { linuxMachine, powerOff, run, toPrompt } from './linux.js';

const skip = tool('mke2fs', ['-V']).status === 0 ? false : 'e2fsprogs is not installed';
const timeout = 600_000;
const KERNEL = { linux: 'linux-amd64', cpu: 'max' } as const;
let folder: string;

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'tinamou-virtio-'));
});
after(() => rmSync(folder, { recursive: true, force: true }));

/** An empty ext4 image. */
function ext4Image(name: string, bytes = 64 << 20): string {
  const path = join(folder, name);
  writeFileSync(path, '');
  truncateSync(path, bytes);
  const made = tool('mke2fs', ['-q', '-t', 'ext4', '-F', path]);
  assert.equal(made.status, 0, made.errors);
  return path;
}

function checkFileSystem(path: string): void {
  const checked = tool('e2fsck', ['-f', '-n', path]);
  assert.equal(checked.status, 0, checked.out + checked.errors);
  assert.doesNotMatch(checked.out + checked.errors, /recover|not cleanly/i);
}

const VARIANTS: readonly (readonly [name: string, properties: string])[] = [
  ['transitional', ''],
  ['legacy', ',disable-modern=on'],
  ['modern with packed rings', ',disable-legacy=on,packed=on'],
  ['modern without MSI-X and event index', ',disable-legacy=on,vectors=0,event_idx=off,indirect_desc=off'],
];
for (const [name, properties] of VARIANTS) {
  test(`virtio-blk-pci, ${name}: ext4 on /dev/vda keeps what is written`, { skip, timeout }, async () => {
    const image = ext4Image(`${name}.img`);
    const vm = await linuxMachine({
      ...KERNEL,
      initrdRequest: { modules: ['virtio_pci', 'virtio_blk', 'ext4'] },
      args: [
        '-drive',
        `if=none,id=d,file=${image},format=raw`,
        '-device',
        `virtio-blk-pci,drive=d,serial=S1${properties}`,
      ],
    });
    try {
      await toPrompt(vm);
      assert.equal(await run(vm, 'cat /sys/block/vda/serial'), 'S1');
      assert.equal(await run(vm, 'cat /sys/block/vda/size'), String((64 << 20) / 512));
      await run(vm, 'mount -t ext4 /dev/vda /mnt');
      await run(vm, 'i=0; while [ $i -lt 100 ]; do echo $i > /mnt/$i; i=$((i+1)); done; sync', 120);
      await run(vm, 'dd if=/dev/urandom of=/mnt/big bs=64k count=160; sync; sha256sum /mnt/big > /mnt/sum', 120);
      await run(vm, 'echo 3 > /proc/sys/vm/drop_caches');
      assert.match(await run(vm, 'sha256sum -c /mnt/sum', 120), /big: OK/);
      await run(vm, 'rm /mnt/1*; umount /mnt');
      assert.doesNotMatch(await run(vm, 'dmesg'), /I\/O error|virtio.*(error|fail)/i);
      await powerOff(vm);
    } finally {
      await vm.dispose();
    }
    checkFileSystem(image);
    const sum = tool('debugfs', ['-R', 'cat /sum', image]).out.split(' ')[0];
    const dump = join(folder, 'big');
    tool('debugfs', ['-R', `dump /big ${dump}`, image]);
    assert.equal(tool('sha256sum', [dump]).out.split(' ')[0], sum);
  });
}
