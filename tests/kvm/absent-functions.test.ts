/** Reads of PCI functions that are not there are answered on the vCPU's own thread, and nobody sees a difference. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KVM_TRACE } from '../../src/accel/kvm/trace.js';
import { setTrace } from '../../src/base/trace.js';
import { firmware, Guest, pause } from './guest.js';
import { patience } from './patience.js';
import { skip } from './rig.js';

/**
 * Reads the first register of all functions of buses 0 to 3, over and over, and writes the number of each that is there to port
 * 402h, and f9h at the end of a round:
 *
 * round: mov ebx, 80000000h
 * next:  mov eax, ebx / mov dx, cf8h / out dx, eax / mov dx, cfch / in eax, dx / cmp eax, -1 / je none
 *        mov dx, 402h / mov al, bh / out dx, al
 * none:  add ebx, 100h / cmp ebx, 80040000h / jne next / mov dx, 402h / mov al, f9h / out dx, al / jmp round
 */
const SCAN = `66 bb 00 00 00 80 66 89 d8 ba f8 0c 66 ef ba fc 0c 66 ed 66 83 f8 ff 74 06 ba 02 04 88 f8 ee
  66 81 c3 00 01 00 00 66 81 fb 00 00 04 80 75 d7 ba 02 04 b0 f9 ee eb c9`;
const END = 0xf9;
const FUNCTIONS = 4 * 256;

/** What so many whole rounds said; the one under way may have begun before. */
async function rounds(guest: Guest, count: number): Promise<number[][]> {
  const heard: number[][] = [[]];
  for (let waited = 0; heard.length <= count + 1; waited++) {
    assert.ok(waited < patience(2000), `${heard} ${guest.reports}`);
    for (const byte of guest.hear()) {
      if (byte === END) heard.push([]);
      else heard.at(-1)!.push(byte);
    }
    await pause(5);
  }
  return heard.slice(1, count + 1);
}

test('functions that are not there are told from those that are, on the thread of the vCPU', {
  skip,
  timeout: patience(120_000),
}, async () => {
  const tcg = new Guest(firmware(SCAN), { accelerator: 'tcg' });
  const [there] = await rounds(tcg, 1);
  await tcg.dispose();
  assert.ok(there!.length > 2);

  const guest = new Guest(firmware(SCAN));
  const { pciPresence } = guest.composed.kvm!;
  try {
    const before = pciPresence.answered;
    assert.deepEqual(await rounds(guest, 3), [there, there, there]);
    assert.ok(pciPresence.answered - before > FUNCTIONS, `only ${pciPresence.answered - before}`);

    // Who traces wants to see them all.
    setTrace(Object.values(KVM_TRACE), 'kvm_pio', true);
    await rounds(guest, 1);
    const traced = pciPresence.answered;
    assert.deepEqual(await rounds(guest, 1), [there]);
    assert.equal(pciPresence.answered, traced);
  } finally {
    setTrace(Object.values(KVM_TRACE), '*', false);
    await guest.dispose();
  }
});
