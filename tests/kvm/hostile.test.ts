/** Guests that mean harm: random programs in each mode, on each kind of interrupt controller, neither hang nor end us. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IRQCHIP_MODES } from '../../src/accel/kvm/irqchip-mode.js';
import { firmware, Guest, pause } from './guest.js';
import { patience } from './patience.js';
import { Random } from './random.js';
import { type Mode, skip } from './rig.js';

const PROGRAMS = 6;
const INSTRUCTIONS = 400;
const RUN_MS = 40;
const STOP_MS = 5000;

/** lgdt, CR0.PE, flat segments: 32-bit code follows. */
const PROTECTED = `fa 2e 66 0f 01 16 18 00 0f 20 c0 0c 01 0f 22 c0 66 ea 3e 00 0f 00 08 00 1f 00 1e 00 0f 00 00 00 00 00 00 00 00
  00 ff ff 00 00 00 9b cf 00 ff ff 00 00 00 93 cf 00 ff ff 00 00 00 9b af 00 66 b8 10 00 8e d8 8e c0 8e d0 bc 00 70 00 00`;
/** Then 2 MiB pages for 4 GiB from 2000h on, EFER.LME and CR0.PG: 64-bit code follows. */
const LONG = `${PROTECTED} bf 00 20 00 00 31 c0 b9 00 18 00 00 f3 ab c7 05 00 20 00 00 03 30 00 00 c7 05 00 30 00 00 03 40 00 00
  c7 05 08 30 00 00 03 50 00 00 c7 05 10 30 00 00 03 60 00 00 c7 05 18 30 00 00 03 70 00 00 bf 00 40 00 00 b8 83 00 00 00
  b9 00 08 00 00 89 07 83 c7 08 05 00 00 20 00 e2 f4 b8 20 06 00 00 0f 22 e0 b8 00 20 00 00 0f 22 d8 b9 80 00 00 c0 b8 00
  01 00 00 31 d2 0f 30 0f 20 c0 0d 00 00 00 80 0f 22 c0 ea d8 00 0f 00 18 00 bc 00 20 00 00`;
const PROLOGUES: Readonly<Record<Mode, string>> = { real: '', protected: PROTECTED, long: LONG };

const PORTS = [
  0x20, 0x21, 0x40, 0x43, 0x60, 0x61, 0x64, 0x70, 0x71, 0x92, 0xa1, 0xb2, 0x1f7, 0x3c4, 0x3f5, 0x3f8, 0x402,
];
const ADDRESSES = [
  ...[0xa0000, 0xb8000, 0xbfffe, 0xc0000, 0xeffff, 0x9ffff, 0xfec00000, 0xfec00010, 0xfed00000, 0xfee00020, 0xfee000b0],
  ...[
    0xfee000f0, 0xfee00300, 0xfee00310, 0xfee00320, 0xfee00380, 0xfee00fff, 0xfeffc000, 0xfffffffc, 0x1fffffe,
    0x80000000,
  ],
];
const MSRS = [
  0x10, 0x1b, 0x8b, 0x174, 0x1a0, 0x277, 0x2ff, 0x6e0, 0x80b, 0x830, 0x4b564d01, 0x4b564d04, 0xc0000080, 0xc0000082,
];
/** One instruction, or two, that matter to KVM or the machine. */
const SINGLE = [
  ...[
    'fb',
    'fa',
    'fb f4',
    'f4',
    'cf',
    'cc',
    '0f 0b',
    '0f a2',
    '0f 31',
    '0f 01 c1',
    '0f 01 d9',
    '0f 08',
    '0f 09',
    '0f 06',
  ],
  ...[
    '0f aa',
    '0f 01 d1',
    '0f 30',
    '0f 32',
    '0f 21 f8',
    '0f 23 f8',
    '0f 23 c0',
    '0f 20 c0',
    '0f 22 d8',
    '0f 01 18',
    '0f 01 38',
  ],
  ...[
    '0f 01 f8',
    'f3 90',
    '9b',
    'd9 e8',
    'cb',
    'c3',
    '0f 34',
    '0f 05',
    '8e d8',
    '8e d0',
    '0f 00 d8',
    'f0 0f b0 07',
    'cd 10',
  ],
];

const little = (value: number, bytes: number): string =>
  Array.from({ length: bytes }, (_, i) => ((value >>> (8 * i)) & 0xff).toString(16).padStart(2, '0')).join(' ');

function instruction(mode: Mode, random: Random): string {
  /** A 32-bit operand in 16-bit code. */
  const wide = mode === 'real' ? '66 ' : '';
  const eax = (value: number): string => `${wide}b8 ${little(value, 4)}`;
  const address = random.pick(ADDRESSES) + random.below(3) - 1;
  switch (random.below(8)) {
    case 0:
      return `${wide}ba ${little(random.below(3) ? random.pick(PORTS) : random.below(0x1_0000), 4)} ${random.pick(['ee', 'ef', 'ec', 'ed'])}`;
    case 1:
      return `${wide}b9 ${little(1 + random.below(300), 4)} ${wide}bf ${little(random.below(0x1_0000), 4)} ${wide}be ${little(random.below(0x1_0000), 4)} f3 ${random.pick(['6e', '6f', '6c', '6d', 'a4', 'a5', 'ab'])}`;
    case 2:
    case 3: {
      const access = random.pick(['a1', 'a3']);
      if (mode === 'real')
        return `b8 ${little((address >>> 4) & 0xffff, 2)} 8e d8 ${access} ${little(address & 15, 2)}`;
      const operands = `${eax(random.below(2) ? random.word() : 0xc4500)} ${mode === 'long' ? '67 ' : ''}`;
      return `${operands}${access} ${little(address, 4)}`;
    }
    case 4:
      return `${wide}b9 ${little(random.below(4) ? random.pick(MSRS) : random.word(), 4)} ${eax(random.word())} ${random.pick(['0f 32', '0f 30'])}`;
    case 5:
      return `${eax(random.below(4) ? 0x8005_003b & random.word() : random.word())} 0f 22 ${random.pick(['c0', 'e0'])}`;
    case 6:
      return little(random.word(), 1 + random.below(4));
    default:
      return random.pick(SINGLE);
  }
}

function program(mode: Mode, random: Random): Uint8Array {
  const body = Array.from({ length: INSTRUCTIONS }, () => instruction(mode, random)).join(' ');
  return firmware(`${PROLOGUES[mode]} ${body} eb fe`);
}

const IDLE = new Set(['paused', 'internal-error', 'shutdown']);

for (const irqchip of IRQCHIP_MODES) {
  for (const mode of ['real', 'protected', 'long'] as const) {
    test(`random programs in ${mode} mode, kernel_irqchip=${irqchip}`, {
      skip,
      timeout: patience(180_000),
    }, async () => {
      for (let seed = 1; seed <= PROGRAMS; seed++) {
        const random = new Random(seed);
        const guest = new Guest(program(mode, random), { irqchip, cpus: 1 + random.below(2) });
        const { lifecycle } = guest.composed.machine;
        for (let round = 0; round < 2; round++) {
          await pause(RUN_MS);
          lifecycle.pause();
          for (let waited = 0; lifecycle.running && waited < STOP_MS; waited++) await pause(1);
          assert.ok(IDLE.has(lifecycle.state), `seed ${seed}: ${lifecycle.state} ${guest.reports}`);
          guest.composed.synchronize();
          if (lifecycle.state === 'paused') lifecycle.start();
        }
        await guest.dispose();
      }
    });
  }
}
