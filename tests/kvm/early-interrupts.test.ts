/** Interrupts that come while the processors stand still, their state in the records: they are for the processors as they go on. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IRQCHIP_MODES } from '../../src/accel/kvm/irqchip-mode.js';
import { loadMachine, saveMachine } from '../../src/app/lib/machine-state.js';
import { firmware, Guest, pause } from './guest.js';
import { patience } from './patience.js';
import { skip } from './rig.js';

const LINE = 4;
const VECTOR = 0x25;

/**
 * Writes `r` to port 402h when it is ready, and `i` for each interrupt of I/O APIC input 4, edge-triggered, vector 25h:
 *
 *       cli / mov al, ffh / out 21h, al / out a1h, al / lgdt cs:[gdtr] / lidt cs:[idtr] / ... protected mode, flat
 *       mov ecx, fee000f0h / mov dword [ecx], 1ffh
 *       mov ecx, fec00000h / mov byte [ecx], 19h / mov dword [ecx + 10h], 0 / mov byte [ecx], 18h / mov dword [ecx + 10h], 25h
 *       mov dx, 402h / mov al, 'r' / out dx, al
 * wait: mov esp, 7000h / sti
 * main: hlt / jmp main
 * tell: mov al, 'i' / out dx, al / mov ecx, fee000b0h / mov dword [ecx], 0 / jmp wait
 *       (not IRET: a KVM may have none in protected mode)
 *       the gate for `tell`, gdtr, idtr, null, flat code, flat data
 */
const EARS = `fa b0 ff e6 21 e6 a1 2e 66 0f 01 16 7e 00 2e 66 0f 01 1e 84 00 0f 20 c0 0c 01 0f 22 c0 66 ea 25
  00 0f 00 08 00 66 bb 10 00 8e db 8e d3 bc 00 70 00 00 b9 f0 00 e0 fe c7 01 ff 01 00 00 b9 00 00
  c0 fe c6 01 19 c7 41 10 00 00 00 00 c6 01 18 c7 41 10 25 00 00 00 66 ba 02 04 b0 72 ee bc 00 70
  00 00 fb f4 eb fd b0 69 ee b9 b0 00 e0 fe c7 01 00 00 00 00 eb e7 66 00 08 00 00 8e 0f 00 17 00
  8a 00 0f 00 2f 01 4e ff 0e 00 00 00 00 00 00 00 00 00 ff ff 00 00 00 9b cf 00 ff ff 00 00 00 93
  cf 00`;
const MESSAGE = { destination: 0, logical: false, deliveryMode: 0, vector: VECTOR, level: true, levelTriggered: false };

/** Ways for an interrupt to come. */
const WAYS: readonly (readonly [name: string, raise: (guest: Guest) => void, lower?: (guest: Guest) => void])[] = [
  [
    'line',
    ({ composed }) => composed.kvm!.chips!.setInput(LINE, true),
    ({ composed }) => composed.kvm!.chips!.setInput(LINE, false),
  ],
  ['message', ({ composed }) => composed.kvm!.deliverApic(MESSAGE)],
];

const SOON_MS = patience(5000);

/** What the guest says next. */
async function hear(guest: Guest): Promise<string> {
  for (const end = performance.now() + SOON_MS; performance.now() < end; await pause(5)) {
    const said = guest.hear();
    if (said.length > 0) return new TextDecoder().decode(said);
  }
  return `nothing; ${guest.reports}`;
}

async function ready(guest: Guest): Promise<void> {
  assert.equal(await hear(guest), 'r');
  // Until HLT.
  await pause(50);
}

for (const irqchip of IRQCHIP_MODES) {
  for (const [way, raise, lower] of WAYS) {
    if (way === 'line' && irqchip !== 'on') continue;
    const title = (when: string): string => `a ${way} comes ${when}, kernel_irqchip=${irqchip}`;
    const options = { skip, timeout: patience(60_000) };

    test(title('while someone looks at the processors'), options, async () => {
      const guest = new Guest(firmware(EARS), { irqchip });
      try {
        await ready(guest);
        for (let times = 1; times <= 3; times++) {
          guest.composed.kvm!.synchronize();
          raise(guest);
          assert.equal(await hear(guest), 'i', `${times} times`);
          lower?.(guest);
        }
      } finally {
        await guest.dispose();
      }
    });

    for (const saved of [false, true]) {
      test(
        title(`before a machine that was loaded goes on${saved ? ', and it is saved again' : ''}`),
        options,
        async () => {
          const image = firmware(EARS);
          let guest = new Guest(image, { irqchip });
          const move = async (): Promise<void> => {
            const state = saveMachine(guest.composed);
            await guest.dispose();
            guest = new Guest(image, { irqchip, paused: true });
            loadMachine(guest.composed, state);
          };
          try {
            await ready(guest);
            await guest.stop();
            await move();
            raise(guest);
            if (saved) await move();
            guest.composed.machine.lifecycle.start();
            assert.equal(await hear(guest), 'i');
            await pause(50);
            assert.equal(guest.hear().length, 0, 'it comes once');
          } finally {
            await guest.dispose();
          }
        },
      );
    }
  }
}
