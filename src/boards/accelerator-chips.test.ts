import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AcceleratorChips } from '../machine/interrupt-chips.js';
import { MirroredChips } from './accelerator-chips.js';

test("inputs of an accelerator's chips are passed on, and counted when they rise", () => {
  const passed: [number, boolean][] = [];
  const chips = new MirroredChips({
    setInput: (gsi: number, level: boolean) => passed.push([gsi, level]),
  } as unknown as AcceleratorChips);
  for (const level of [true, true, false, true]) chips.inputs[4]!.set(level);
  chips.inputs[23]!.set(true);
  assert.deepEqual(passed.at(-1), [23, true]);
  assert.deepEqual([chips.rises[4], chips.rises[23], chips.rises[0]], [2, 1, 0]);
});
