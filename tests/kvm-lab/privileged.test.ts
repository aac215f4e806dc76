/** Guests that print what they see of a processor print the same under KVM as under tcg, and that is what QEMU shows them. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { IRQCHIP_MODES } from '../../src/accel/kvm/irqchip-mode.js';
import { runMachineGuest } from '../privileged/machine-guest.js';
import { incompleteKvm } from './complete-kvm.js';

const testdata = fileURLToPath(new URL('../../../tests/privileged/testdata/', import.meta.url));
const GUESTS = ['real', 'protected', 'v86', 'paging', 'long', 'debug', 'descriptors', 'gates', 'permissions'];

const image = (name: string): Uint8Array => gunzipSync(readFileSync(join(testdata, `${name}.bin.gz`)));
const expected = (name: string): string => readFileSync(join(testdata, `${name}.expected`), 'latin1');

for (const name of GUESTS) {
  test(`${name} sees under KVM what it sees under tcg`, { skip: incompleteKvm, timeout: 120_000 }, async () => {
    assert.equal(await runMachineGuest(image(name), { kvm: 'on' }), expected(name));
  });
}
for (const irqchip of IRQCHIP_MODES) {
  test(`apic, kernel_irqchip=${irqchip}`, { skip: incompleteKvm, timeout: 120_000 }, async () => {
    assert.equal(await runMachineGuest(image('apic'), { kvm: irqchip, cpus: 2 }), expected('apic'));
  });
}
test('system management mode', { skip: incompleteKvm, timeout: 120_000 }, async () => {
  assert.equal(await runMachineGuest(image('smm'), { kvm: 'on' }), expected('smm'));
});
