/** A made-up guest for tests of the IR: a few registers by name. */
import { VCPU } from './layout.js';
import type { Names } from './text.js';
import type { VerifyLimits } from './verify.js';

const REGISTERS = ['rax', 'rbx', 'rcx', 'rdx'];
const FIRST = VCPU.size / 8;

export const TEST_NAMES: Names = {
  slotName: (slot) => REGISTERS[slot - FIRST],
  slot: (name) => (REGISTERS.includes(name) ? FIRST + REGISTERS.indexOf(name) : undefined),
  helperName: () => undefined,
  helper: () => undefined,
};

export const TEST_LIMITS: VerifyLimits = { slots: 4096, vectorBaseSlot: 3000, helpers: 16, bytes: 64 };
