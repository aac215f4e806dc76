/** Our loader, tables and board setup against QEMU's machine: a stock kernel must be content with all of it. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { directBoot } from '../../src/firmware/boot/direct.js';
import type { PlatformDescription } from '../../src/firmware/platform.js';
import { initrdImage, linuxImage } from '../../tools/guest/guests.js';
import { missing } from '../../tools/guest/missing.js';
import { QemuMachine, qemuInstalled } from './qemu-machine.js';

const PLATFORM: PlatformDescription = {
  ram: { below4g: 256 << 20, above4g: 0 },
  apicIds: [0, 1],
  ioApicId: 0,
  serial: [{ port: 0x3f8, irq: 4 }],
  parallel: [],
  hpet: true,
  floppy: false,
  ps2: true,
  fwCfg: true,
  vga: true,
  pvpanicPort: 0x505,
  pci: true,
};

const image = (path: string): { path: string; bytes: Uint8Array } => ({ path, bytes: readFileSync(path) });

for (const [linux, longMode] of [
  ['linux-amd64', true],
  ['linux-amd64', false],
  ['linux-686-pae', true],
  ['linux-686', false],
] as const) {
  // Beyond 4 GiB only where the kernel can address it.
  const largeBar = linux === 'linux-amd64' ? '4G' : '256M';
  const name = `${linux} by our loader ${longMode ? 'with' : 'without'} long mode`;
  const skip = qemuInstalled
    ? await missing(linux, linux === 'linux-amd64' ? 'busybox-amd64' : 'busybox-i386')
    : 'qemu-system-x86_64 is not installed';
  test(`QEMU's machine boots ${name}`, { skip }, async () => {
    const commands = 'cat /proc/interrupts /proc/ioports /proc/iomem /proc/bus/input/devices; dmesg; poweroff\n';
    const initrd = await initrdImage({ linux, files: { '/etc/rc.local': commands } });
    const args = ['-m', '256', '-smp', '2', '-cpu', 'max', '-vga', 'std', '-device', 'pvpanic', '-device', 'e1000'];
    args.push('-device', 'qemu-xhci', '-device', `pci-testdev,membar=${largeBar}`);
    const machine = new QemuMachine(args);
    try {
      const state = directBoot({
        memory: machine.memory,
        ports: machine.ports,
        platform: PLATFORM,
        kernel: image(await linuxImage(linux)),
        modules: [image(initrd)],
        commandLine: 'console=ttyS0 earlyprintk=ttyS0 panic=-1',
        longMode,
      });
      machine.start(state);
      await machine.expect(/Power down/, 120);
      await machine.exited;
      const said = machine.serial;
      assert.match(said, /ACPI: RSDP 0x00000000000F5000/);
      for (const table of ['FACP', 'APIC', 'HPET', 'WAET', 'DSDT', 'FACS'])
        assert.match(said, new RegExp(`ACPI: ${table} 0x`), table);
      assert.match(said, /ACPI: 1 ACPI AML tables successfully acquired and loaded/);
      assert.doesNotMatch(
        said,
        /ACPI (BIOS )?(Error|Warning)|Firmware Bug|BIOS bug|can't claim|no space for|failed to assign|no compatible bridge/i,
      );
      assert.match(said, /smp: Brought up 1 node, 2 CPUs/);
      assert.match(said, /Interrupt link LNKD configured for IRQ 11/);
      assert.match(said, /00:0[0-9]: ttyS0 at I\/O 0x3f8 \(irq = 4/, 'serial port found through ACPI');
      assert.match(said, /VGA\+ 80x25/);
      assert.match(said, /DMI: QEMU Standard PC \(i440FX/);
      assert.match(said, /AT Translated Set 2 keyboard/);
      assert.match(said, /IO-APIC +2-edge +timer/);
      assert.match(said, /ACPI PM1a_EVT_BLK/);
      assert.match(said, /0000:00:02\.0\r?\n/, 'the display adapter has memory');
    } finally {
      await machine.dispose();
    }
  });
}
