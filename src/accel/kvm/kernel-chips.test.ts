import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PicState } from './abi.js';
import type { KvmMachine } from './interface.js';
import { KernelChips } from './kernel-chips.js';

const NONE: PicState = {
  ...{ lastIrr: 0, irr: 0, imr: 0, isr: 0, priorityAdd: 0, irqBase: 0, readRegSelect: 0, poll: 0, specialMask: 0 },
  ...{ initState: 0, autoEoi: 0, rotateOnAutoEoi: 0, specialFullyNestedMode: 0, init4: 0, elcr: 0, elcrMask: 0 },
};

/** What both 8259s have when an interrupt has been taken back. */
function afterTakingBack(vector: number, master: Partial<PicState>, slave: Partial<PicState>): (readonly number[])[] {
  const pics = [
    { ...NONE, irqBase: 0x20, ...master },
    { ...NONE, irqBase: 0x28, ...slave },
  ];
  const vm: Partial<KvmMachine> = {
    createIrqchip() {},
    createPit() {},
    pic: (chip) => pics[chip]!,
    setPic: (chip, state) => {
      pics[chip] = state;
    },
  };
  const chips = new KernelChips(
    vm as KvmMachine,
    () => {},
    () => 0,
  );
  chips.takeBack(vector);
  return pics.map(({ irr, isr }) => [irr, isr]);
}

test('an interrupt that the 8259s gave away is requested again', () => {
  assert.deepEqual(afterTakingBack(0x20, { irr: 0x10, isr: 0x03 }, {}), [
    [0x11, 0x02],
    [0, 0],
  ]);
  assert.deepEqual(afterTakingBack(0x2e, { isr: 0x04 }, { isr: 0x40 }), [
    [0x04, 0],
    [0x40, 0],
  ]);
});

test('one of a level is requested by its line', () => {
  assert.deepEqual(afterTakingBack(0x2b, { isr: 0x04 }, { isr: 0x08, elcr: 0x08 }), [
    [0x04, 0],
    [0, 0],
  ]);
});

test('a vector that is none of theirs changes nothing', () => {
  assert.deepEqual(afterTakingBack(0x80, { isr: 1 }, { isr: 1 }), [
    [0, 1],
    [0, 1],
  ]);
});
