/**
 * Guests that print what they see of a processor print the same under KVM as under tcg. Where Linux's KVM itself does
 * otherwise, QEMU's -accel kvm prints the same as ours.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { IRQCHIP_MODES, type IrqchipMode } from '../../src/accel/kvm/irqchip-mode.js';
import { inLab } from '../kvm/patience.js';
import { runMachineGuest } from '../privileged/machine-guest.js';
import { incompleteKvm } from './complete-kvm.js';
import type { Says } from './machines.js';

const testdata = fileURLToPath(new URL('../../../tests/privileged/testdata/', import.meta.url));
const SECONDS = 120;
/**
 * When an interrupt of the lab's own comes at the wrong moment, the processor that QEMU emulates for it forgets two things of a guest's:
 * that it has just executed STI (then HLT comes after the interrupt that it was to wait for), and which breakpoints it has set.
 */
const TRIES = inLab ? 4 : 1;

/** Where Linux's KVM makes a difference: what tcg shows, what KVM shows, and why. */
type Difference = readonly [tcg: string, kvm: string, why: string];
const SMI = 'the interrupt comes an instruction earlier than to a translator that looks between blocks';
const KNOWN: Readonly<Record<string, readonly Difference[]>> = {
  protected: [['60000019 again', '60000011 again', 'KVM emulates the task switch, and leaves CR0.TS alone']],
  long: [
    ['pcid: ok', 'pcid: #0000000d 00000000 000113a0 00000008 00000000 0001f000 00000010 0001efc0 ', 'no such host'],
  ],
  debug: [
    [
      'io: #db 00010359 00000000 ffff0ff8 #db 0001035b 00000000 ffff0ff8 ',
      'io: ',
      'KVM does not look for I/O breakpoints when it emulates an access',
    ],
  ],
  smm: [
    ['00010173', '00010171', SMI],
    ['0001019e', '0001019c', SMI],
    ['000101e2', '000101e0', SMI],
    ['00010212', '00010210', SMI],
    ['00010244', '00010242', SMI],
  ],
  'apic on': [['00170020', '00170011', "the version of KVM's I/O APIC"]],
  'apic split': [['00050014', '01050014', 'KVM can leave out the message at the end of an interrupt']],
};

async function compare(t: Says, name: string, irqchip: IrqchipMode, cpus = 1): Promise<void> {
  const image = gunzipSync(readFileSync(join(testdata, `${name}.bin.gz`)));
  const differences = KNOWN[name] ?? KNOWN[`${name} ${irqchip}`] ?? [];
  const expected = differences.reduce(
    (text, [tcg, kvm]) => text.replace(tcg, kvm),
    readFileSync(join(testdata, `${name}.expected`), 'latin1'),
  );
  const wanted = expected.split('\n');
  for (let left = TRIES; ; left--) {
    const said = (await runMachineGuest(image, { kvm: irqchip, cpus }, SECONDS * 1000)).split('\n');
    const differing = wanted.map((line, i) => [line, said[i]] as const).filter(([line, ours]) => line !== ours);
    if (left > 1 && differing.length > 0) {
      t.diagnostic(`once more: ${JSON.stringify(differing[0])}`);
      continue;
    }
    assert.deepEqual(differing.slice(0, 5), []);
    assert.equal(said.length, wanted.length);
    return;
  }
}

const options = { skip: incompleteKvm, timeout: TRIES * (SECONDS + 60) * 1000 };
const GUESTS = ['real', 'protected', 'v86', 'paging', 'long', 'debug', 'descriptors', 'gates', 'permissions', 'smm'];
for (const name of GUESTS) {
  test(`${name} sees under KVM what it sees under tcg`, options, (t) => compare(t, name, 'on'));
}
for (const irqchip of IRQCHIP_MODES) {
  test(`apic sees with kernel_irqchip=${irqchip} what it sees under tcg`, options, (t) =>
    compare(t, 'apic', irqchip, 2),
  );
}
