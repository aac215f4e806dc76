/**
 * Debian's kernel on a complete KVM, to a shell: `npm run test:kvm-lab` runs this in a virtual machine that has one. On a
 * host whose own KVM is complete, `npm test tests/kvm-lab` does too.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { IRQCHIP_MODES } from '../../src/accel/kvm/irqchip-mode.js';
import type { VirtualMachine } from '../../src/app/lib/index.js';
import { type LinuxOptions, linuxMachine, PROMPT, powerOff, run } from '../systems/linux.js';
import { incompleteKvm } from './complete-kvm.js';

const skip = incompleteKvm;
/** Of a busy host: a quiet one needs a tenth. */
const BOOT_SECONDS = 1200;

async function boot(t: { diagnostic(text: string): void }, options: Partial<LinuxOptions>): Promise<VirtualMachine> {
  const vm = await linuxMachine({
    linux: 'linux-amd64',
    cpu: 'host',
    append: 'console=ttyS0 quiet',
    ...options,
  });
  const start = performance.now();
  vm.start();
  const said = await vm.serial.waitFor(PROMPT, { timeout: BOOT_SECONDS });
  assert.doesNotMatch(said, /Kernel panic|Oops|BUG:|invalid opcode|general protection|segfault/);
  t.diagnostic(`${((performance.now() - start) / 1000).toFixed(1)} s to the prompt`);
  return vm;
}

for (const irqchip of IRQCHIP_MODES) {
  for (const smp of [1, 2]) {
    const options = { skip, timeout: (BOOT_SECONDS + 300) * 1000 };
    test(
      `Debian with kernel_irqchip=${irqchip} on ${smp} vCPU(s), to its shell, with its processors, and off`,
      options,
      async (t) => {
        const vm = await boot(t, { smp, args: ['-accel', `kvm,kernel_irqchip=${irqchip}`] });
        try {
          assert.match(await run(vm, 'nproc', 120), new RegExp(`^${smp}$`, 'm'));
          assert.equal(
            await run(vm, 'cat /sys/devices/system/clocksource/clocksource0/current_clocksource'),
            'kvm-clock',
          );
          assert.match(
            await run(vm, 'dd if=/dev/zero bs=1024 count=1024 2>/dev/null | sha256sum', 120),
            /30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58/,
          );
          for (let i = 0; i < smp; i++) {
            assert.match(await run(vm, `taskset ${1 << i} sh -c 'echo $((6 * 7))'`, 120), /^42$/m);
          }
          t.diagnostic(vm.monitor('info exits'));
          await powerOff(vm);
        } finally {
          await vm.dispose();
        }
      },
    );
  }
}

test('Debian reboots', { skip, timeout: (2 * BOOT_SECONDS + 100) * 1000 }, async (t) => {
  const vm = await boot(t, { args: ['-accel', 'kvm'] });
  try {
    vm.serial.write('reboot -f\n');
    await vm.serial.waitFor(PROMPT, { timeout: BOOT_SECONDS });
    await powerOff(vm);
  } finally {
    await vm.dispose();
  }
});

test('a virtio disk: its doorbell is no exit', { skip, timeout: (BOOT_SECONDS + 200) * 1000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'kvm-lab-'));
  const image = join(folder, 'disk.img');
  writeFileSync(image, new Uint8Array(1 << 20));
  const vm = await boot(t, {
    initrdRequest: { modules: ['virtio_pci', 'virtio_blk'] },
    drives: [`file=${image},if=virtio,format=raw`],
    args: ['-accel', 'kvm'],
  });
  try {
    const sum = await run(vm, 'sha256sum /dev/vda', 120);
    assert.match(sum, /30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58/);
    await run(vm, 'echo written > /dev/vda; sync', 120);
    const exits = vm.monitor('info exits');
    t.diagnostic(exits);
    // Configuration is a few accesses; each of a thousand requests would be one more.
    const [, writes = '0'] = /write +(\d+) +virtio-blk-pci-modern/.exec(exits) ?? [];
    assert.ok(Number(writes) < 100, exits);
    await powerOff(vm);
    assert.match(readFileSync(image, 'latin1'), /^written/);
  } finally {
    await vm.dispose();
    rmSync(folder, { recursive: true });
  }
});
