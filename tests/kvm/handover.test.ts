/** A machine that stops under one accelerator goes on under the other, from the same state. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IRQCHIP_MODES } from '../../src/accel/kvm/irqchip-mode.js';
import { loadMachine, saveMachine } from '../../src/app/lib/machine-state.js';
import { firmware, Guest, type GuestOptions, pause } from './guest.js';
import { inLab, patience, times } from './patience.js';
import { skip } from './rig.js';

/**
 * Counts the timer's interrupts, a hundred a second, modulo 128, and writes each number to port 402h; ff when ESI is not what
 * was put there at the start, or an interrupt has put a trap flag on the stack that the guest never set:
 *
 *       mov word [80h], tick / ... 8259: vectors from 20h, only IRQ 0 / ... 8254: mode 2, 11932
 *       mov ecx, 1bh / mov eax, fee00100h / xor edx, edx / wrmsr: no local APIC between
 *       mov ecx, 12345678h / mov esi, ecx / mov dx, 402h / sti
 * main: hlt / cmp esi, ecx / je main / mov al, ffh / out dx, al / jmp main
 * tick: mov bp, sp / test word [bp + 4], 100h / jz count / mov al, ffh / out dx, al
 * count: inc bx / and bl, 7fh / mov al, bl / out dx, al / mov al, 20h / out 20h, al / iret
 */
const COUNTER = `fa 31 c0 8e d8 8e d0 bc 00 70 c7 06 80 00 62 00 c7 06 82 00 00 f0 b0 11 e6 20 b0 20 e6 21 b0 04 e6 21 b0 01 e6 21
  b0 fe e6 21 b0 34 e6 43 b8 9c 2e e6 40 88 e0 e6 40 66 b9 1b 00 00 00 66 b8 00 01 e0 fe 66 31 d2 0f 30 66 b9 78 56
  34 12 66 89 ce 31 db ba 02 04 fb f4 66 39 ce 74 fa b0 ff ee eb f5 89 e5 f7 46 04 00 01 74 03 b0 ff ee
  43 80 e3 7f 88 d8 ee b0 20 e6 20 cf`;
/** Two thousand a second; the lab's kernel, on an emulated processor, would do nothing else then. */
const OFTEN = inLab ? COUNTER : COUNTER.replace('b8 9c 2e', 'b8 54 02');
const NUMBERS = 5;
const PARKS = times(400);

/** Waits for so many numbers, each the one before plus one. */
async function listen(guest: Guest, last: number | undefined): Promise<number> {
  let heard = 0;
  for (let waited = 0; heard < NUMBERS; waited++) {
    assert.ok(waited < patience(3000), `only ${heard} numbers after ${last}; ${guest.reports}`);
    for (const number of guest.hear()) {
      if (last !== undefined) assert.equal(number, (last + 1) & 0x7f);
      last = number;
      heard++;
    }
    await pause(5);
  }
  return last!;
}

test("the timer stands still with its machine, also when it is the kernel's", {
  skip,
  timeout: patience(60_000),
}, async () => {
  const guest = new Guest(firmware(COUNTER));
  const { machine } = guest.composed;
  try {
    await listen(guest, undefined);
    await guest.stop();
    guest.hear();
    await pause(700);
    const before = machine.clocks.virtual.now();
    machine.lifecycle.start();
    await pause(200);
    await guest.stop();
    const ms = (machine.clocks.virtual.now() - before) / 1e6;
    const ticks = guest.hear().length;
    // One may have been on its way.
    assert.ok(ticks > 0 && ticks <= ms / 10 + 2, `${ticks} ticks in ${ms} ms`);
  } finally {
    await guest.dispose();
  }
});

for (const irqchip of IRQCHIP_MODES) {
  test(`interrupts on their way to a processor that is parked come once, kernel_irqchip=${irqchip}`, {
    skip,
    timeout: patience(120_000),
  }, async () => {
    const guest = new Guest(firmware(OFTEN), { irqchip });
    const { kvm } = guest.composed;
    let last: number | undefined;
    try {
      await listen(guest, undefined);
      for (let i = 0; i < PARKS; i++) {
        if (i & 4) kvm!.settle();
        else kvm!.synchronize();
        await pause(i & 3);
        for (const number of guest.hear()) {
          if (last !== undefined) assert.equal(number, (last + 1) & 0x7f, `parked ${i} times`);
          last = number;
        }
      }
      await listen(guest, last);
    } finally {
      await guest.dispose();
    }
  });

  test(`kvm (kernel_irqchip=${irqchip}) to tcg and back, twice`, { skip, timeout: patience(120_000) }, async () => {
    const image = firmware(COUNTER);
    let guest = new Guest(image, { irqchip });
    let last: number | undefined;
    try {
      for (const accelerator of ['tcg', 'kvm', 'tcg', 'kvm'] as GuestOptions['accelerator'][]) {
        last = await listen(guest, last);
        await guest.stop();
        for (const number of guest.hear()) last = number;
        const state = saveMachine(guest.composed);
        await guest.dispose();
        guest = new Guest(image, { irqchip, accelerator: accelerator!, paused: true });
        loadMachine(guest.composed, state);
        assert.deepEqual(saveMachine(guest.composed).vcpus, state.vcpus);
        guest.composed.machine.lifecycle.start();
      }
      await listen(guest, last);
    } finally {
      await guest.dispose();
    }
  });
}
