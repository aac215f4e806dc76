/** Firmware comes to its end on every machine type that has one, as under tcg; `microvm` is in doorbells.test.ts, `none` in starting.test.ts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualMachine } from '../../src/app/lib/index.js';
import { pause } from './guest.js';
import { patience } from './patience.js';
import { skip } from './rig.js';

for (const machine of ['pc', 'q35', 'isapc']) {
  test(`${machine}: SeaBIOS finds nothing to boot from`, { skip, timeout: patience(60_000) }, async () => {
    const log = ['-chardev', 'ringbuf,id=log,size=65536', '-debugcon', 'chardev:log'];
    const args = ['-accel', 'kvm', '-nodefaults', ...log, '-global', 'isa-debugcon.iobase=0x402'];
    const vm = await VirtualMachine.create({ machine, args });
    try {
      vm.start();
      let said = '';
      for (let waited = 0; !said.includes('No bootable device.') && waited < patience(1000); waited++) {
        said += vm.monitor('ringbuf_read log 65536');
        await pause(20);
      }
      assert.match(said, /No bootable device\./);
      assert.match(said, /SeaBIOS \(version/);
    } finally {
      await vm.dispose();
    }
  });
}
