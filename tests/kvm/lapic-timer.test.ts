/** A local APIC's timer whose count is over when KVM is asked for it: the next accelerator has its interrupt all the same. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KvmProcessor } from '../../src/accel/kvm/interface.js';
import { X86StateTransfer } from '../../src/accel/kvm/x86-state.js';
import { OWN_OFFSETS } from '../../src/accel/kvm/xsave-state.js';
import { loadMachine, saveMachine } from '../../src/app/lib/machine-state.js';
import { firmware, Guest } from './guest.js';

const Page = { svr: 0xf0, timer: 0x320, initial: 0x380, current: 0x390, divide: 0x3e0 } as const;
const Timer = { oneShot: 0x000ec, periodic: 0x200ec, masked: 0x100ec } as const;
/** Counts of 16 ns: 4 ms, as Linux's 250 ticks a second are. */
const INITIAL = 249_448;
const BY_16 = 3;
const SOON_NS = 1000;
/** The machine has run for so long. */
const NOW = 5e9;

/** How long tcg waits for the timer, ns, after a KVM whose local APIC showed this. */
async function wait(timer: number, current: number): Promise<number> {
  const guests: Guest[] = [];
  const made = (): Guest => {
    guests.push(new Guest(firmware('eb fe'), { accelerator: 'tcg', paused: true }));
    return guests.at(-1)!;
  };
  try {
    const { composed } = made();
    const { accelerator, registers } = composed;
    composed.machine.clocks.setVirtual(NOW);
    const transfer = new X86StateTransfer(accelerator.memory, registers[0]!, accelerator.vcpus[0]!.state, {
      now: () => NOW,
      kernelApic: true,
      smm: false,
      xsave: OWN_OFFSETS,
    });
    const page = new Uint8Array(1024);
    transfer.fillLapic(page);
    const view = new DataView(page.buffer);
    for (const [name, value] of Object.entries({ svr: 0x1ff, timer, initial: INITIAL, current, divide: BY_16 })) {
      view.setUint32(Page[name as keyof typeof Page], value, true);
    }
    transfer.takeLapic(page);
    const nothing = { interruptInjected: 0, interruptSoft: 0, nmiPending: 0, nmiInjected: 0, smiPending: 0 };
    transfer.settle({ events: () => nothing } as unknown as KvmProcessor);
    const next = made().composed;
    loadMachine(next, saveMachine(composed));
    return next.accelerator.nextDeadline() - next.machine.clocks.virtual.now();
  } finally {
    for (const guest of guests) await guest.dispose();
  }
}

test('a timer that runs goes on where it was', async () => {
  const half = (INITIAL / 2) * 16;
  for (const timer of [Timer.oneShot, Timer.periodic]) {
    const ns = await wait(timer, INITIAL / 2);
    assert.ok(Math.abs(ns - half) < SOON_NS, `${ns}`);
  }
});

test('a period that is over is due, and the next one comes', async () => {
  const ns = await wait(Timer.periodic, 0);
  assert.ok(ns < SOON_NS, `${ns}`);
});

test('a single interrupt that may not have come yet is due; one that nobody wants is not', async () => {
  assert.ok((await wait(Timer.oneShot, 0)) < SOON_NS);
  assert.equal(await wait(Timer.masked, 0), Number.POSITIVE_INFINITY);
});
