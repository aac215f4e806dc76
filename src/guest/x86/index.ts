/** The x86 architecture, as accelerators see it. */
import { Bug } from '../../base/errors.js';
import { VCPU } from '../../ir/layout.js';
import type { GuestArchitecture } from '../guest.js';
import { FEATURE, FEATURE_ALIASES } from './features.js';
import { inlineCondition } from './flags.js';
import { FLOAT_STATUS, inlineFloat } from './helpers/float-inline.js';
import { HELPERS, type Helper } from './helpers/index.js';
import { inlineVector } from './helpers/simd-inline.js';
import { inlineX87, X87_STATE } from './helpers/x87-inline.js';
import { Mode, X86 } from './state.js';
import { X86Translator } from './translate.js';
import { isIntel } from './vendor.js';

const at = (field: string): number => {
  const offset = X86.at[field];
  if (offset === undefined) throw new Bug(`no field ${field} in the x86 state`);
  return offset;
};

const names = new Map<number, string>();
for (const layout of [VCPU, X86]) {
  for (const [field, offset] of Object.entries(layout.at)) {
    for (let n = 0; n * 8 < (layout.bytes[field] as number); n++) {
      const slot = (offset + n * 8) / 8;
      if (Number.isInteger(slot) && !names.has(slot)) names.set(slot, n === 0 ? field : `${field}.${n}`);
    }
  }
}

/** Number of a CPUID feature by its name in an instruction row (word * 32 + bit of the state's `features`). */
export function featureNumber(name: string): number {
  const spelled = name.replaceAll('_', '-');
  const number = FEATURE[spelled] ?? FEATURE[FEATURE_ALIASES[spelled] ?? ''];
  if (number === undefined) throw new Bug(`no CPUID feature ${name}`);
  return number;
}

export const X86_64: GuestArchitecture = {
  name: 'x86_64',
  stateSize: X86.size,
  vectorBaseSlot: at('vectorBase') / 8,
  helpers: HELPERS,
  inlineVector: (id, imm) => inlineVector((HELPERS[id] as Helper).name, imm),
  inlineFloat: (id, imm) => inlineFloat((HELPERS[id] as Helper).name, imm),
  floatStatus: FLOAT_STATUS,
  x87: { state: X87_STATE, code: (id, imm) => inlineX87((HELPERS[id] as Helper).name, imm) },
  inlineCondition,
  writesDestinationOnly: (id) => (HELPERS[id] as Helper).module.startsWith('x86/sse-float'),
  slotName: (slot) => names.get(slot) ?? `slot${slot}`,
  linearIsPc: (mode) => (mode & Mode.csBase) === 0,
  // As updateMode (src/runtime/x86/mode.ts) has it.
  mmuIndex: (mode) => ((mode & Mode.cplMask) === 3 ? 1 : (mode & Mode.smapOn) !== 0 ? 2 : 0),
  createTranslator(memory, state, words, isBlock) {
    const view = new DataView(memory.buffer, memory.byteOffset);
    const hasFeature = (name: string): boolean => {
      const number = featureNumber(name);
      return ((view.getUint32(state + at('features') + (number >>> 5) * 4, true) >>> (number & 31)) & 1) === 1;
    };
    return new X86Translator(memory, hasFeature, () => isIntel(view, state), isBlock, words);
  },
  timerDeadline: at('lapicDeadline'),
};
