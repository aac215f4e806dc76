/** Every disk and every virtio device at once, on both PCs: the stock kernel finds their drivers by itself and uses them. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { tool } from '../../tools/guest/tool.js';
import { DebianProcess, missingDebian, overlay } from './debian.js';

const skip = tool('mke2fs', ['-V']).status === 0 ? await missingDebian() : 'e2fsprogs is not installed';
let folder: string;

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'tinamou-devices-'));
});
after(() => rmSync(folder, { recursive: true, force: true }));

function image(name: string, bytes: number, fill: number | string = 0): string {
  const path = join(folder, name);
  writeFileSync(path, Buffer.alloc(bytes, fill));
  return path;
}

/** The guest's names of disks, by the serial number that the machine gave them. */
async function disksBySerial(debian: DebianProcess): Promise<Map<string, string>> {
  const listed = await debian.run('lsblk -d -n -r -o NAME,SERIAL');
  return new Map(
    listed.split('\n').flatMap((line) => {
      const [name, serial] = line.split(' ');
      return name && serial ? [[serial, name] as const] : [];
    }),
  );
}

for (const machine of ['pc', 'q35'] as const) {
  test(`${machine}: Debian uses every disk and every virtio device`, { skip, timeout: 1_800_000 }, async () => {
    const at = (name: string): string => `${machine}-${name}`;
    const shared = join(folder, at('shared'));
    mkdirSync(shared);
    writeFileSync(join(shared, 'file'), 'of the host\n');
    const disks = ['virtio', 'scsi', 'nvme', 'ata'].map((name) => ({ name, path: image(at(name), 64 << 20) }));
    const [virtio, scsi, nvme, ata] = disks.map((d) => `file=${d.path},format=raw,if=none,id=${d.name}`);
    const disc = image(at('disc'), 1 << 20, 'disc ');
    const debian = await DebianProcess.start(await overlay(join(folder, at('root.qcow2'))), [
      ...['-machine', machine],
      ...['-drive', virtio!, '-device', 'virtio-blk-pci,drive=virtio,serial=VIRTIO'],
      ...['-device', 'virtio-scsi-pci,id=s', '-drive', scsi!, '-device', 'scsi-hd,bus=s.0,drive=scsi,serial=SCSI'],
      ...['-drive', `file=${disc},format=raw,if=none,id=disc,media=cdrom,readonly=on`],
      ...['-device', 'scsi-cd,bus=s.0,drive=disc,scsi-id=3'],
      ...['-drive', nvme!, '-device', 'nvme,drive=nvme,serial=NVME'],
      ...['-drive', ata!, '-device', 'ide-hd,drive=ata,serial=ATA'],
      ...['-cdrom', disc, '-fda', image(at('floppy'), 1440 << 10, 7)],
      ...['-device', 'virtio-rng-pci', '-device', 'virtio-balloon-pci', '-device', 'virtio-serial-pci'],
      ...['-chardev', `file,id=port,path=${join(folder, at('port'))}`],
      ...['-device', 'virtserialport,chardev=port,name=org.example'],
      ...['-chardev', `file,id=console,path=${join(folder, at('console'))}`, '-device', 'virtconsole,chardev=console'],
      ...['-fsdev', `local,id=f,path=${shared},security_model=none`],
      ...['-device', 'virtio-9p-pci,fsdev=f,mount_tag=shared'],
    ]);
    try {
      await debian.run('modprobe floppy; udevadm settle');
      const names = await disksBySerial(debian);
      for (const { name } of disks) {
        const device = `/dev/${names.get(name.toUpperCase())}`;
        assert.notEqual(device, '/dev/undefined', `${name}: ${[...names]}`);
        await debian.run(`mkfs.ext4 -q -F ${device} && mount ${device} /mnt && cp -a /etc /mnt && umount /mnt`);
        await debian.run(
          `echo 3 > /proc/sys/vm/drop_caches; mount ${device} /mnt && diff -r --no-dereference /etc /mnt/etc`,
        );
        // QEMU's ATA disk trims, too; all of them take what the file system gives back.
        await debian.run('rm -r /mnt/etc && fstrim /mnt; umount /mnt');
        await debian.run(`e2fsck -f -n ${device}`);
      }
      for (const drive of ['sr0', 'sr1']) {
        assert.match(await debian.run(`head -c 10 /dev/${drive}`), /^disc disc/);
      }
      assert.equal(await debian.run("head -c 3 /dev/fd0 | od -An -tx1 | tr -d ' '"), '070707');
      await debian.run('dd if=/etc/passwd of=/dev/fd0 conv=sync && sync /dev/fd0');

      assert.match(await debian.run('cat /sys/class/misc/hw_random/rng_current'), /virtio_rng/);
      assert.equal(await debian.run('dd if=/dev/hwrng bs=64 count=4 2>/dev/null | wc -c'), '256');
      await debian.run('ls /sys/bus/virtio/drivers/virtio_balloon/virtio*');
      await debian.run('echo through the port > /dev/virtio-ports/org.example');
      await debian.run('echo on the console > /dev/hvc0');
      await debian.run('mount -t 9p -o trans=virtio,version=9p2000.L shared /mnt');
      assert.equal(await debian.run('cat /mnt/file'), 'of the host');
      await debian.run('echo of the guest > /mnt/answer; umount /mnt');
      assert.equal(await debian.run('dmesg --level=err,crit,alert,emerg'), '');
      await debian.powerOff();
    } finally {
      await debian.kill();
    }
    for (const { path } of disks) {
      const checked = tool('e2fsck', ['-f', '-n', path]);
      assert.equal(checked.status, 0, checked.out + checked.errors);
    }
    assert.match(readFileSync(join(folder, at('floppy')), 'latin1'), /^root:/);
    assert.match(readFileSync(join(folder, at('port')), 'utf8'), /through the port/);
    assert.match(readFileSync(join(folder, at('console')), 'utf8'), /on the console/);
    assert.equal(readFileSync(join(shared, 'answer'), 'utf8'), 'of the guest\n');
  });
}
