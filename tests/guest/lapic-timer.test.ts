/** A one-shot count fires although the host may have paused for longer than the count right after it was started. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BareMachine } from '../support/bare-machine.js';

const CODE = 0x10000;
const IDT = 0x5000;
const GDT = 0x4000;
const HANDLER = 0x6000;
const VECTOR = 0xec;

const LVT_TIMER = 0xfee00320;
const SPURIOUS = 0xfee000f0;
const INITIAL_COUNT = 0xfee00380;
const DIVIDE = 0xfee003e0;

const bytes32 = (n: number): number[] => [n & 255, (n >>> 8) & 255, (n >>> 16) & 255, n >>> 24];
/** mov dword [address], value */
const store = (address: number, value: number): number[] => [0xc7, 0x05, ...bytes32(address), ...bytes32(value)];

/** Runs code that arms the timer with the clock going on by `pause` ns at each look at it; returns the interrupts counted. */
function interrupts(pause: number, code: readonly number[]): number {
  const m = new BareMachine({ mode: 'protected32' });
  const { view, ram, registers: r } = m;
  let now = 0;
  m.now = () => {
    now += pause;
    return now;
  };
  view.setBigUint64(GDT + 8, 0x00cf9b000000ffffn, true);
  ram.set([0x43, ...store(0xfee000b0, 0), 0xcf], HANDLER); // inc ebx; EOI; iret
  view.setBigUint64(IDT + VECTOR * 8, BigInt(HANDLER) | (8n << 16n) | (0x8e00n << 32n), true);
  r.setSegment('gdtr', { selector: 0, base: BigInt(GDT), limit: 0xff, attributes: 0 });
  r.setSegment('idtr', { selector: 0, base: BigInt(IDT), limit: 0x7ff, attributes: 0 });
  r.set('rbx', 0n);
  m.load(CODE, [...store(SPURIOUS, 0x1ff), ...store(DIVIDE, 3), ...code, 0xfb, 0xf4, 0xeb, 0xfd]); // sti; hlt; jmp to hlt
  /** A new deadline ends a slice. */
  const runToHalt = (): void => {
    for (let slice = 0; slice < 10; slice++) if (m.run().reason === 'halted') return;
    assert.fail('the processor does not halt');
  };
  runToHalt();
  for (let turn = 0; turn < 4; turn++) {
    m.accelerator.runTimers();
    runToHalt();
  }
  return Number(r.get('rbx'));
}

for (const pause of [1, 1e6]) {
  test(`one interrupt of one count, ${pause} ns between looks at the clock`, () => {
    // 1 count is 16 ns: it has run out at the fourth turn at the latest.
    assert.equal(interrupts(pause * 8, [...store(LVT_TIMER, VECTOR), ...store(INITIAL_COUNT, 1)]), 1);
  });
  test(`the entry written again does not lose the count, ${pause} ns between looks at the clock`, () => {
    const code = [...store(LVT_TIMER, VECTOR), ...store(INITIAL_COUNT, 1), ...store(LVT_TIMER, VECTOR)];
    assert.equal(interrupts(pause * 8, code), 1);
  });
  test(`a count that ran out behind the mask stays silent, ${pause} ns between looks at the clock`, () => {
    const spin = Array<number[]>(8)
      .fill([0xa1, ...bytes32(0xfee00390)])
      .flat(); // mov eax, [current count]: a look at the clock
    const code = [
      ...store(LVT_TIMER, 0x10000 | VECTOR),
      ...store(INITIAL_COUNT, 1),
      ...spin,
      ...store(LVT_TIMER, VECTOR),
    ];
    assert.equal(interrupts(pause * 8, code), 0);
  });
}
