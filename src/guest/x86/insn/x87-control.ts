/** x87 control instructions, and saving and restoring of vector and floating-point state. */
import { Mode, X86 } from '../state.js';
import { type Translator, Vector } from '../translator.js';
import type { Meaning, Row } from './row.js';

const FCW = X86.at['fcw'] as number;
const FSW = X86.at['fsw'] as number;
const TOP = X86.at['fpTop'] as number;

/** A helper without operands. */
const simple =
  (helper: string): Meaning =>
  (t) => {
    const v = t.vtemp(0);
    t.call(helper, v, v, v);
  };
/** The status word with TOP. */
function statusWord(t: Translator): number {
  const top = t.b.envLoad(t.b.temp(), 32, TOP);
  t.b.dai('shli32', top, top, 11);
  return t.b.dab('or32', top, top, t.b.envLoad(t.b.temp(), 32, FSW));
}
const wait: Meaning = (t, i) => {
  if ((t.mode & (Mode.mp | Mode.ts)) === (Mode.mp | Mode.ts)) t.raise(Vector.nm);
  else simple('fwait')(t, i);
};
const loadControl: Meaning = (t) => {
  const v = t.loadMem(16, t.vtemp(0));
  t.call('fldcw', v, v, v);
};

/** An environment of 14 or 28 bytes, followed by 80 bytes of registers when `registers`. */
const environment =
  (helper: string, registers: boolean, write: boolean): Meaning =>
  (t, i) => {
    const size = i.opSize === 16 ? 2 : 4;
    t.callVoid(helper, t.address(size * 7 + (registers ? 80 : 0), write, size), 0, size);
  };

/** imm bits of the FXSAVE and XSAVE helpers. */
const REX_W = 1;
const LONG = 2;
const KIND = { plain: 0, opt: 0x100, c: 0x200, s: 0x300 } as const;
const area =
  (helper: string, kind: number, write: boolean): Meaning =>
  (t, i) => {
    // XSAVE and its kin look at CR0.TS only.
    const off = helper.startsWith('f') ? Mode.em | Mode.ts : Mode.ts;
    if ((t.mode & off) !== 0) {
      t.raise(Vector.nm);
      return;
    }
    const imm = kind | (i.w === 1 ? REX_W : 0) | (t.long ? LONG : 0);
    // Their own alignment is a matter of #GP, which the helper sees to; FXSAVE and FXRSTOR have #AC before it.
    const fx = helper.startsWith('f');
    t.callVoid(helper, t.address(fx ? 512 : 576, write, fx ? 4 : 1), 0, imm);
  };

export const X87_CONTROL_ROWS: readonly Row[] = [
  ['DB E3', 'FNINIT', 'fpu', simple('fninit')],
  ['DB E2', 'FNCLEX', 'fpu', simple('fnclex')],
  // The interrupt enables of the 8087 and the protected-mode switch of the 287: no operations since.
  ['DB E0', 'FNENI', 'fpu', () => {}],
  ['DB E1', 'FNDISI', 'fpu', () => {}],
  ['DB E4', 'FNSETPM', 'fpu', () => {}],
  ['9B', 'FWAIT', '', wait],
  ['D9 /5', 'FLDCW Mw', 'fpu', loadControl],
  ['D9 /7', 'FNSTCW Mw', 'fpu', (t) => t.storeMem(16, t.b.envLoad(t.b.temp(), 32, FCW))],
  ['DD /7', 'FNSTSW Mw', 'fpu', (t) => t.storeMem(16, statusWord(t))],
  ['DF E0', 'FNSTSW AX', 'fpu', (t) => t.setReg(0, 16, statusWord(t))],
  ['D9 /6', 'FNSTENV M', 'fpu', environment('fnstenv', false, true)],
  ['D9 /4', 'FLDENV M', 'fpu', environment('fldenv', false, false)],
  ['DD /6', 'FNSAVE M', 'fpu', environment('fnsave', true, true)],
  ['DD /4', 'FRSTOR M', 'fpu', environment('frstor', true, false)],

  ['NP W0 0F AE /0', 'FXSAVE M', 'fxsr', area('fxsave', 0, true)],
  ['NP REX.W 0F AE /0', 'FXSAVE64 M', 'fxsr', area('fxsave', 0, true)],
  ['NP W0 0F AE /1', 'FXRSTOR M', 'fxsr', area('fxrstor', 0, false)],
  ['NP REX.W 0F AE /1', 'FXRSTOR64 M', 'fxsr', area('fxrstor', 0, false)],
  ['NP W0 0F AE /4', 'XSAVE M', 'xsave', area('xsave', KIND.plain, true)],
  ['NP REX.W 0F AE /4', 'XSAVE64 M', 'xsave', area('xsave', KIND.plain, true)],
  ['NP W0 0F AE /5', 'XRSTOR M', 'xsave', area('xrstor', KIND.plain, false)],
  ['NP REX.W 0F AE /5', 'XRSTOR64 M', 'xsave', area('xrstor', KIND.plain, false)],
  ['NP W0 0F AE /6', 'XSAVEOPT M', 'xsaveopt', area('xsave', KIND.opt, true)],
  ['NP REX.W 0F AE /6', 'XSAVEOPT64 M', 'xsaveopt', area('xsave', KIND.opt, true)],
  ['NP W0 0F C7 /4', 'XSAVEC M', 'xsavec', area('xsave', KIND.c, true)],
  ['NP REX.W 0F C7 /4', 'XSAVEC64 M', 'xsavec', area('xsave', KIND.c, true)],
  ['NP W0 0F C7 /5', 'XSAVES M', 'xsaves', area('xsave', KIND.s, true)],
  ['NP REX.W 0F C7 /5', 'XSAVES64 M', 'xsaves', area('xsave', KIND.s, true)],
  ['NP W0 0F C7 /3', 'XRSTORS M', 'xsaves', area('xrstor', KIND.s, false)],
  ['NP REX.W 0F C7 /3', 'XRSTORS64 M', 'xsaves', area('xrstor', KIND.s, false)],
];
