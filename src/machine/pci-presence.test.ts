import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PciPresence } from './pci-presence.js';

const at = (bus: number, devfn: number): number => (0x8000_0000 + bus * 0x10000 + devfn * 0x100) >>> 0;
const NONE = (): undefined => undefined;

/** Both sides, as two threads have them. */
function pair(): { machine: PciPresence; thread: PciPresence } {
  const machine = PciPresence.create();
  return { machine, thread: new PciPresence(machine.buffer) };
}

test('nothing is absent before someone has said what is there', () => {
  const { machine, thread } = pair();
  machine.setAddress(at(0, 0x10));
  assert.equal(thread.isAbsent(NONE), false);
  machine.setFunctions((devfn) => devfn === 8, false);
  assert.equal(thread.isAbsent(NONE), true);
});

test('functions of bus 0 one by one; other buses where no bridge leads to them', () => {
  const { machine, thread } = pair();
  machine.setFunctions((devfn) => devfn === 8 || devfn === 255, false);
  const absent = (address: number): boolean => {
    machine.setAddress(address);
    return thread.isAbsent(NONE);
  };
  const seen = Array.from({ length: 256 }, (_, devfn) => devfn).filter((devfn) => !absent(at(0, devfn)));
  assert.deepEqual(seen, [8, 255]);
  assert.equal(absent(at(1, 8)), true);
  assert.equal(absent(at(0, 9) & 0x7fff_ffff), false, 'not enabled');
  machine.setFunctions((devfn) => devfn === 8, true);
  assert.equal(absent(at(1, 8)), false);
  assert.equal(absent(at(0, 255)), true);
});

test('an address that is on its way counts; while it is taken, nobody knows', () => {
  const { machine, thread } = pair();
  machine.setFunctions((devfn) => devfn === 8, false);
  machine.setAddress(at(0, 8));
  assert.equal(
    thread.isAbsent(() => at(0, 9)),
    true,
  );
  assert.equal(thread.isAbsent(NONE), false);
  machine.whileChanging(() => {
    machine.whileChanging(() => machine.setAddress(at(0, 9)));
    assert.equal(thread.isAbsent(NONE), false);
  });
  assert.equal(thread.isAbsent(NONE), true);
  // Taken between two looks.
  assert.equal(
    thread.isAbsent(() => {
      machine.whileChanging(() => machine.setAddress(at(0, 8)));
      return undefined;
    }),
    false,
  );
});

test('who watches sees every access', () => {
  const { machine, thread } = pair();
  machine.watched = true;
  machine.setFunctions(() => false, false);
  machine.setAddress(at(0, 0));
  assert.equal(thread.isAbsent(NONE), false);
  machine.watched = false;
  assert.equal(thread.isAbsent(NONE), true);
  assert.equal(machine.answered, 0);
  thread.countAnswer();
  assert.equal(machine.answered, 1);
});
