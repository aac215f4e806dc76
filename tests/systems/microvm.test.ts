/** Linux on microvm: no PCI, virtio devices in memory, found by ACPI. */
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
  folder = mkdtempSync(join(tmpdir(), 'tinamou-microvm-'));
});
after(() => rmSync(folder, { recursive: true, force: true }));

test('microvm: a disk, random numbers and a power-off', { skip, timeout: 600_000 }, async (t) => {
  const image = join(folder, 'disk.img');
  writeFileSync(image, '');
  truncateSync(image, 64 << 20);
  assert.equal(tool('mke2fs', ['-q', '-t', 'ext4', '-F', image]).status, 0);
  const start = performance.now();
  const vm = await linuxMachine({
    linux: 'linux-amd64',
    cpu: 'max',
    machine: 'microvm',
    initrdRequest: { modules: ['virtio_mmio', 'virtio_blk', 'virtio_rng', 'crc32c_generic', 'ext4'] },
    drives: [`if=virtio,file=${image},format=raw`],
    args: ['-device', 'virtio-rng-device'],
  });
  try {
    await toPrompt(vm);
    t.diagnostic(`${((performance.now() - start) / 1000).toFixed(1)} s to the prompt`);
    await run(vm, 'mount -t ext4 /dev/vda /mnt');
    await run(vm, 'dd if=/dev/urandom of=/mnt/big bs=64k count=64; sha256sum /mnt/big > /mnt/sum; sync', 120);
    await run(vm, 'echo 3 > /proc/sys/vm/drop_caches');
    assert.match(await run(vm, 'sha256sum -c /mnt/sum', 120), /big: OK/);
    assert.match(await run(vm, 'umount /mnt; cat /sys/class/misc/hw_random/rng_current'), /virtio_rng/);
    assert.match(await run(vm, 'ls /sys/bus/pci/devices | wc -l'), /^0$/);
    await powerOff(vm);
  } finally {
    await vm.dispose();
  }
  const checked = tool('e2fsck', ['-f', '-n', image]);
  assert.equal(checked.status, 0, checked.out + checked.errors);
});
