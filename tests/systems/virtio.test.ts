/** The guest's own virtio drivers: Debian's kernel finds every device, uses it, and the host sees what it did. */
import assert from 'node:assert/strict';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { tool } from '../../tools/guest/tool.js';
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

/** What the guest's end of the socket said. */
async function untilSaid(socket: Socket, text: string): Promise<void> {
  await new Promise<void>((resolve) => {
    let said = '';
    socket.on('data', (data) => {
      said += String(data);
      if (said.includes(text)) resolve();
    });
  });
}

test('random numbers, a channel and a terminal, a balloon', { timeout }, async () => {
  const path = join(folder, 'channel');
  const server = createServer();
  const connected = new Promise<Socket>((resolve) => server.once('connection', resolve));
  server.listen(path);
  const vm = await linuxMachine({
    ...KERNEL,
    initrdRequest: { modules: ['virtio_pci', 'virtio_rng', 'virtio_console', 'virtio_balloon'] },
    args: [
      ...['-device', 'virtio-rng-pci', '-device', 'virtio-balloon-pci', '-device', 'virtio-serial-pci'],
      ...['-chardev', `socket,id=c,path=${path}`, '-device', 'virtserialport,chardev=c,name=org.example'],
      ...['-chardev', `file,id=f,path=${join(folder, 'terminal')}`, '-device', 'virtconsole,chardev=f'],
    ],
  });
  try {
    await toPrompt(vm);
    assert.match(await run(vm, 'cat /sys/class/misc/hw_random/rng_current'), /virtio_rng/);
    const random = await run(vm, 'dd if=/dev/hwrng bs=64 count=4 2>/dev/null | sha256sum');
    assert.notEqual(await run(vm, 'dd if=/dev/hwrng bs=64 count=4 2>/dev/null | sha256sum'), random);

    const socket = await connected;
    assert.equal(await run(vm, 'cat /sys/class/virtio-ports/vport2p1/name'), 'org.example');
    await run(vm, 'echo to the host > /dev/vport2p1');
    await untilSaid(socket, 'to the host');
    socket.write('to the guest\n');
    assert.equal(await run(vm, 'head -n 1 /dev/vport2p1'), 'to the guest');

    await run(vm, 'echo on the terminal > /dev/hvc0');
    assert.match(readFileSync(join(folder, 'terminal'), 'utf8'), /on the terminal/);

    assert.equal(vm.monitor('info balloon'), 'balloon: actual=256\n');
    vm.monitor('balloon 192');
    for (let i = 0; i < 100 && vm.monitor('info balloon') !== 'balloon: actual=192\n'; i++) await run(vm, 'sleep 1');
    assert.equal(vm.monitor('info balloon'), 'balloon: actual=192\n');
    assert.ok(Number(await run(vm, "awk '/MemTotal/ { print $2 }' /proc/meminfo")) < 192 * 1024);
    await powerOff(vm);
  } finally {
    await vm.dispose();
    server.close();
  }
});

test('virtio-scsi-pci: a disk and a CD', { skip, timeout }, async () => {
  const image = ext4Image('scsi.img');
  const disc = join(folder, 'disc.iso');
  writeFileSync(disc, Buffer.alloc(1 << 20, 'disc '));
  const vm = await linuxMachine({
    ...KERNEL,
    initrdRequest: { modules: ['virtio_pci', 'virtio_scsi', 'sd_mod', 'sr_mod', 'ext4'] },
    args: [
      ...['-device', 'virtio-scsi-pci', '-drive', `if=none,id=d,file=${image},format=raw`],
      ...['-device', 'scsi-hd,drive=d', '-drive', `if=none,id=c,file=${disc},format=raw,media=cdrom,readonly=on`],
      ...['-device', 'scsi-cd,drive=c,scsi-id=4'],
    ],
  });
  try {
    await toPrompt(vm);
    for (let i = 0; i < 30 && !/sda/.test(await run(vm, 'ls /sys/block')); i++) await run(vm, 'sleep 1');
    assert.match(await run(vm, 'cat /sys/block/sda/device/model'), /QEMU HARDDISK/);
    await run(vm, 'mount -t ext4 /dev/sda /mnt');
    await run(vm, 'dd if=/dev/urandom of=/mnt/big bs=64k count=64; sha256sum /mnt/big > /mnt/sum; sync', 120);
    await run(vm, 'echo 3 > /proc/sys/vm/drop_caches');
    assert.match(await run(vm, 'sha256sum -c /mnt/sum', 120), /big: OK/);
    await run(vm, 'rm /mnt/big; fstrim /mnt; umount /mnt');
    assert.match(await run(vm, 'head -c 20 /dev/sr0'), /^disc disc disc disc/);
    assert.doesNotMatch(await run(vm, 'dmesg'), /I\/O error|virtio.*(error|fail)/i);
    await powerOff(vm);
  } finally {
    await vm.dispose();
  }
  checkFileSystem(image);
});

test('a disk is plugged in while the guest runs, used, and unplugged', { skip, timeout }, async () => {
  const image = ext4Image('hot.img');
  const vm = await linuxMachine({
    ...KERNEL,
    initrdRequest: { modules: ['virtio_pci', 'virtio_blk', 'virtio_scsi', 'sd_mod', 'crc32c_generic', 'ext4'] },
    args: [
      ...['-drive', `if=none,id=d,file=${image},format=raw`, '-device', 'virtio-scsi-pci,id=s'],
      ...['-drive', `if=none,id=e,file=${ext4Image('hot-scsi.img')},format=raw`],
    ],
  });
  const untilDisk = async (name: string, there: boolean): Promise<void> => {
    for (let i = 0; i < 60; i++) {
      if ((await run(vm, 'ls /sys/block')).includes(name) === there) return;
      await run(vm, 'sleep 1');
    }
    assert.fail(`${name} should ${there ? 'come' : 'go'}`);
  };
  try {
    await toPrompt(vm);
    for (let round = 0; round < 2; round++) {
      vm.monitor('device_add virtio-blk-pci,drive=d,id=hot');
      await untilDisk('vda', true);
      await run(vm, `mount -t ext4 /dev/vda /mnt; echo ${round} > /mnt/${round}; umount /mnt`);
      vm.monitor('device_del hot');
      await untilDisk('vda', false);
      // The guest lets go of the disk first, and of the slot a little later.
      for (let i = 0; i < 60 && vm.monitor('info qtree').includes('id "hot"'); i++) await run(vm, 'sleep 1');
    }
    vm.monitor('device_add scsi-hd,drive=e,id=disk,bus=s.0,scsi-id=4');
    await untilDisk('sda', true);
    vm.monitor('device_del disk');
    await untilDisk('sda', false);
    await powerOff(vm);
  } finally {
    await vm.dispose();
  }
  checkFileSystem(image);
  assert.match(tool('debugfs', ['-R', 'cat /1', image]).out, /^1$/m);
});

test('a disk that was not there at the start is added, grown under the guest, and taken away', {
  timeout,
}, async () => {
  const image = join(folder, 'added.img');
  writeFileSync(image, Buffer.alloc(8 << 20));
  const vm = await linuxMachine({
    ...KERNEL,
    initrdRequest: { modules: ['virtio_pci', 'virtio_blk', 'virtio_scsi', 'sd_mod'] },
    args: ['-device', 'virtio-scsi-pci,id=s'],
  });
  const until = async (what: string, there: () => Promise<boolean> | boolean): Promise<void> => {
    for (let i = 0; i < 60; i++) {
      if (await there()) return;
      await run(vm, 'sleep 1');
    }
    assert.fail(what);
  };
  const sectors = (disk: string): Promise<string> => run(vm, `cat /sys/block/${disk}/size`);
  const has = async (disk: string): Promise<boolean> => (await run(vm, 'ls /sys/block')).split(/\s+/).includes(disk);
  try {
    await toPrompt(vm);
    assert.equal(await vm.monitorAsync(`drive_add 0 if=none,id=h,file=${image},format=raw`), 'OK\n');
    vm.monitor('device_add virtio-blk-pci,drive=h,id=hot');
    await until('vda comes', () => has('vda'));
    assert.equal(await sectors('vda'), '16384');
    await vm.monitorAsync('block_resize h 16M');
    await until('vda grows', async () => (await sectors('vda')) === '32768');
    vm.monitor('device_del hot');
    await until('vda goes', () => !vm.monitor('info qtree').includes('id "hot"'));
    vm.monitor('device_add scsi-hd,drive=h,id=disk,bus=s.0');
    await until('sda comes', () => has('sda'));
    await vm.monitorAsync('block_resize h 32M');
    await run(vm, 'head -c 1 /dev/sda > /dev/null');
    assert.match(await run(vm, 'dmesg | tail'), /Capacity data has changed/);
    vm.monitor('device_del disk');
    await until('sda goes', async () => !(await has('sda')));
    await vm.monitorAsync('drive_del h');
    await powerOff(vm);
  } finally {
    await vm.dispose();
  }
  assert.equal(statSync(image).size, 32 << 20);
});

for (const model of ['none', 'mapped-file'] as const) {
  test(`virtio-9p-pci: a folder of the host, security model ${model}`, { timeout }, async () => {
    const shared = join(folder, `shared-${model}`);
    mkdirSync(join(shared, 'sub'), { recursive: true });
    writeFileSync(join(shared, 'from-host'), 'hello guest\n');
    const vm = await linuxMachine({
      ...KERNEL,
      initrdRequest: { modules: ['virtio_pci', '9pnet_virtio', '9p'] },
      args: ['-virtfs', `local,path=${shared},mount_tag=share,security_model=${model}`],
    });
    try {
      await toPrompt(vm);
      await run(vm, 'mount -t 9p -o trans=virtio,version=9p2000.L share /mnt');
      assert.equal(await run(vm, 'cat /mnt/from-host'), 'hello guest');
      await run(
        vm,
        'cd /mnt; echo hello host > from-guest; mkdir new; mv from-guest new/renamed; ln -s new link; cd /',
      );
      assert.equal(readFileSync(join(shared, 'new/renamed'), 'utf8'), 'hello host\n');
      assert.match(await run(vm, 'ls -l /mnt'), /link -> new/);
      await run(vm, 'dd if=/dev/urandom of=/mnt/big bs=64k count=32; sha256sum /mnt/big > /mnt/sum; sync', 120);
      await run(vm, 'umount /mnt; mount -t 9p -o trans=virtio,version=9p2000.L share /mnt');
      assert.match(await run(vm, 'sha256sum -c /mnt/sum', 120), /big: OK/);
      await run(vm, 'i=0; mkdir /mnt/many; while [ $i -lt 300 ]; do : > /mnt/many/$i; i=$((i+1)); done', 120);
      assert.equal(await run(vm, 'ls /mnt/many | wc -l'), '300');
      await run(vm, 'chmod 4711 /mnt/big; chown 1234 /mnt/big');
      const [, owner] = /^\S+ +\d+ +(\S+)/.exec(await run(vm, 'ls -ln /mnt/big')) ?? [];
      if (model === 'mapped-file') assert.equal(owner, '1234');
      await run(vm, 'rm -r /mnt/many /mnt/link; umount /mnt');
      assert.deepEqual(
        readdirSync(shared)
          .filter((n) => !n.startsWith('.'))
          .sort(),
        ['big', 'from-host', 'new', 'sub', 'sum'],
      );
      await powerOff(vm);
    } finally {
      await vm.dispose();
    }
  });
}
