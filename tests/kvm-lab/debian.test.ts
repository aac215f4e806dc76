/**
 * Debian's kernel on a complete KVM, to a shell: `npm run test:kvm-lab` runs this in a virtual machine that has one. On a
 * host whose own KVM is complete, `npm test tests/kvm-lab` does too.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { IRQCHIP_MODES, type IrqchipMode } from '../../src/accel/kvm/irqchip-mode.js';
import type { VirtualMachine } from '../../src/app/lib/index.js';
import type { LinuxOptions } from '../systems/linux.js';
import { PROMPT, powerOff, run } from '../systems/linux.js';
import { incompleteKvm } from './complete-kvm.js';
import { BOOT_SECONDS, boot, COMMAND_SECONDS, WITHOUT_VGA, WITHOUT_WATCHDOG } from './machines.js';

const skip = incompleteKvm;

async function checkProcessors(vm: VirtualMachine, smp: number): Promise<void> {
  assert.match(await run(vm, 'nproc', COMMAND_SECONDS), new RegExp(`^${smp}$`, 'm'));
  const CLOCK = 'cat /sys/devices/system/clocksource/clocksource0/current_clocksource';
  assert.equal(await run(vm, CLOCK, COMMAND_SECONDS), 'kvm-clock');
  assert.match(
    await run(vm, 'dd if=/dev/zero bs=1024 count=1024 2>/dev/null | sha256sum', COMMAND_SECONDS),
    /30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58/,
  );
  for (let i = 0; i < smp; i++) {
    assert.match(await run(vm, `taskset ${1 << i} sh -c 'echo $((6 * 7))'`, COMMAND_SECONDS), /^42$/m);
  }
}

/** The guest prints it a little after it came. */
const NMI_TRIES = 20;

/** What the monitor shows of a guest with page tables, stopped and set going again at once; and an NMI of its. */
async function checkMonitor(vm: VirtualMachine): Promise<void> {
  const [, text] = /^([0-9a-f]{16}) T _stext$/m.exec(await run(vm, "grep ' _stext$' /proc/kallsyms", COMMAND_SECONDS))!;
  vm.monitor('stop');
  assert.equal(vm.monitor('info status'), 'VM status: paused\n');
  assert.match(vm.monitor('info mem'), /^ffff[0-9a-f]{12}-ffff[0-9a-f]{12} [0-9a-f]{16} -rw$/m);
  assert.match(vm.monitor('info tlb'), new RegExp(`^${text}: [0-9a-f]{16} `, 'm'));
  const [, physical] = /^gpa: (0x[0-9a-f]+)\n$/.exec(vm.monitor(`gva2gpa 0x${text}`))!;
  assert.deepEqual(vm.monitor(`x /4xg 0x${text}`).match(/0x\w+/g), vm.monitor(`xp /4xg ${physical}`).match(/0x\w+/g));
  assert.equal(vm.monitor('gva2gpa 0x10'), 'Unmapped\n');
  vm.monitor('cont');
  vm.monitor('nmi');
  let log = '';
  for (let tries = 0; tries < NMI_TRIES && !/NMI received/.test(log); tries++) {
    log = await run(vm, 'dmesg | tail -n 20', COMMAND_SECONDS);
  }
  assert.match(log, /NMI received/);
}

function toShellAndOff(irqchip: IrqchipMode, smp: number, name: string, options: Partial<LinuxOptions> = {}): void {
  test(`Debian with kernel_irqchip=${irqchip} on ${smp} vCPU(s)${name}, to its shell, with its processors, and off`, {
    skip,
    timeout: (BOOT_SECONDS + COMMAND_SECONDS) * 1000,
  }, async (t) => {
    const args = ['-accel', `kvm,kernel_irqchip=${irqchip}`, ...(options.args ?? WITHOUT_VGA)];
    const vm = await boot(t, { smp, ...options, args });
    try {
      await checkProcessors(vm, smp);
      await checkMonitor(vm);
      t.diagnostic(vm.monitor('info exits'));
      await powerOff(vm);
    } finally {
      await vm.dispose();
    }
  });
}

// As everybody starts it.
toShellAndOff('on', 1, ' and all that a PC has', { append: `console=ttyS0 quiet ${WITHOUT_WATCHDOG}`, args: [] });
for (const irqchip of IRQCHIP_MODES) {
  for (const smp of [1, 2]) if (irqchip !== 'on' || smp !== 1) toShellAndOff(irqchip, smp, '');
}

test('Debian reboots, with a virtio disk whose doorbell is no exit', {
  skip,
  timeout: (2 * BOOT_SECONDS + COMMAND_SECONDS) * 1000,
}, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'kvm-lab-'));
  const image = join(folder, 'disk.img');
  writeFileSync(image, new Uint8Array(1 << 20));
  const vm = await boot(t, {
    initrdRequest: { modules: ['virtio_pci', 'virtio_blk'] },
    drives: [`file=${image},if=virtio,format=raw`],
    args: ['-accel', 'kvm', ...WITHOUT_VGA],
  });
  try {
    const sum = await run(vm, 'sha256sum /dev/vda', COMMAND_SECONDS);
    assert.match(sum, /30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58/);
    await run(vm, 'echo written > /dev/vda; sync', COMMAND_SECONDS);
    const exits = vm.monitor('info exits');
    t.diagnostic(exits);
    // Configuration is a few accesses; each of a thousand requests would be one more.
    const [, writes = '0'] = /write +(\d+) +virtio-blk-pci-modern/.exec(exits) ?? [];
    assert.ok(Number(writes) < 100, exits);
    vm.serial.write('reboot -f\n');
    await vm.serial.waitFor(PROMPT, { timeout: BOOT_SECONDS });
    assert.match(await run(vm, 'head -c 7 /dev/vda', COMMAND_SECONDS), /^written/);
    await powerOff(vm);
    assert.match(readFileSync(image, 'latin1'), /^written/);
  } finally {
    await vm.dispose();
    rmSync(folder, { recursive: true });
  }
});
