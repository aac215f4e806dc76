/** A machine that is saved under one accelerator goes on under the other, by way of files. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { VirtualMachine } from '../../src/app/lib/index.js';
import { checksumFirmware, image, Listener, pause } from '../support/checksum-guest.js';
import { patience } from './patience.js';
import { skip } from './rig.js';

let folder: string;
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'tinamou-saving-'));
});
after(() => rmSync(folder, { recursive: true, force: true }));

for (const irqchip of ['on', 'split', 'off'] as const) {
  test(`kvm (kernel_irqchip=${irqchip}) and tcg in turns`, { skip, timeout: patience(120_000) }, async () => {
    const bios = join(folder, 'bios');
    const state = join(folder, 'state');
    writeFileSync(bios, checksumFirmware());
    const make = (accelerator: string, ...args: string[]): Promise<VirtualMachine> =>
      VirtualMachine.create({
        bios,
        memory: '8M',
        // Nothing that a KVM may lack.
        cpu: 'qemu64,-pni,-cx16,-svm',
        args: ['-accel', accelerator === 'kvm' ? `kvm,kernel_irqchip=${irqchip}` : accelerator, ...args],
      });
    const listener = new Listener();
    let vm = await make('tcg');
    try {
      for (const next of ['kvm', 'kvm', 'tcg', 'kvm', 'tcg']) {
        listener.hear(vm);
        vm.start();
        await listener.more(2);
        await pause(7);
        await vm.monitorAsync(`migrate file:${state}`);
        await vm.dispose();
        vm = await make(next, '-incoming', `file:${state}`);
      }
      listener.hear(vm);
      vm.start();
      await listener.more(2);
    } finally {
      await vm.dispose();
    }
  });
}

test('snapshots under kvm: back in time, and on under tcg', { skip, timeout: patience(120_000) }, async () => {
  const bios = join(folder, 'bios');
  writeFileSync(bios, checksumFirmware());
  const disk = await image(folder, 'kvm.qcow2');
  const make = (accelerator: string, ...args: string[]): Promise<VirtualMachine> =>
    VirtualMachine.create({
      bios,
      memory: '8M',
      cpu: 'qemu64,-pni,-cx16,-svm',
      drives: [`file=${disk},format=qcow2`],
      args: ['-accel', accelerator, ...args],
    });
  let vm = await make('kvm');
  try {
    // Saved before the guest has said anything: each machine begins at the first letter.
    await vm.monitorAsync('savevm start');
    for (const next of ['kvm', 'tcg']) {
      for (let i = 0; i < 2; i++) {
        const listener = new Listener();
        const hearing = listener.hear(vm);
        vm.start();
        await listener.more(3);
        vm.stop();
        while (vm.state === 'running') await pause(1);
        hearing.dispose();
        await vm.monitorAsync('loadvm start');
      }
      await vm.dispose();
      vm = await make(next, '-loadvm', 'start');
    }
    const listener = new Listener();
    listener.hear(vm);
    vm.start();
    await listener.more(3);
  } finally {
    await vm.dispose();
  }
});
