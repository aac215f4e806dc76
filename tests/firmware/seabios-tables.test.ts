/** SeaBIOS carries out our table-loader script, in QEMU without tables of its own, and a stock kernel reads the result. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pcFwCfg } from '../../src/firmware/fw-cfg-contents.js';
import { linuxImage } from '../../tools/guest/guests.js';
import { missing } from '../../tools/guest/missing.js';
import { ConsoleFile } from './console-file.js';
import { qemuInstalled } from './qemu-machine.js';

const skip = qemuInstalled ? await missing('linux-amd64') : 'qemu-system-x86_64 is not installed';

test('SeaBIOS loads our ACPI tables from fw_cfg', { skip }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tinamou-fwcfg-'));
  try {
    const { files } = pcFwCfg(
      {
        ram: { below4g: 256 << 20, above4g: 0 },
        apicIds: [0],
        ioApicId: 0,
        serial: [{ port: 0x3f8, irq: 4 }],
        parallel: [],
        hpet: true,
        floppy: false,
        ps2: true,
        fwCfg: true,
        vga: false,
        pci: true,
      },
      { noGraphic: true, bootMenu: false, optionRoms: {}, files: {} },
    );
    const console = new ConsoleFile(join(folder, 'console'));
    const args = ['-accel', 'tcg', '-machine', 'pc,acpi=off', '-m', '256', '-nodefaults', '-display', 'none'];
    args.push('-no-reboot', '-serial', console.option, '-kernel', await linuxImage('linux-amd64'));
    args.push('-append', 'console=ttyS0 earlyprintk=ttyS0 acpi_force_table_verification panic=-1');
    for (const [i, name] of ['etc/acpi/rsdp', 'etc/acpi/tables', 'etc/table-loader'].entries()) {
      const path = join(folder, String(i));
      writeFileSync(path, files.get(name)!.bytes);
      args.push('-fw_cfg', `name=${name},file=${path}`);
    }
    const child = spawn('qemu-system-x86_64', args, { stdio: 'ignore' });
    const exited = new Promise((resolve) => child.on('exit', resolve));
    try {
      await console.expect(/global_irq 11 high level\)|Kernel panic/, 60, exited);
    } finally {
      child.kill('SIGKILL');
      await exited;
    }
    // This machine has no ACPI hardware: what the kernel says once it uses the tables is of no interest.
    const said = console.text.split(/(?<=global_irq 11 high level\))/)[0]!;
    assert.match(said, /ACPI: Early table checksum verification enabled/);
    assert.match(said, /ACPI: RSDP 0x00000000000F[0-9A-F]{4} 000024 \(v02 TINAMU\)/);
    for (const table of ['XSDT', 'FACP', 'DSDT', 'FACS', 'APIC', 'HPET', 'WAET'])
      assert.match(said, new RegExp(`ACPI: ${table} 0x000000000F`), table);
    assert.match(said, /INT_SRC_OVR \(bus 0 bus_irq 11 global_irq 11 high level\)/);
    assert.doesNotMatch(said, /checksum (mismatch|error)|Incorrect checksum|ACPI (BIOS )?(Error|Warning)/i);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
