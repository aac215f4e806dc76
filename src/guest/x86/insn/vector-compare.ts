/** Vector instructions that set EFLAGS: PTEST, VTESTPS, VTESTPD, and the SSE4.2 string comparisons; CRC32. */
import type { Slot } from '../../../ir/builder.js';
import { helper } from '../helpers/index.js';
import { RAX, RCX, RDX, type Translator } from '../translator.js';
import type { Meaning, Row } from './row.js';
import { clearUpper, fullSize, LANE, operandW, vcall, vexEncoding } from './vector.js';

/** Sets the flags from EFLAGS bits that a helper left in scratch. */
function flagsFrom(t: Translator, bits: Slot): void {
  t.setFlagBits(t.b.mov(t.b.temp(), bits));
}

function test(name: string): Meaning {
  const h = helper(name);
  return (t, i) => {
    const b = operandW(t, i, fullSize(i));
    const v = t.vtemp(1);
    vcall(t, h, v, t.xmm(i.reg), b, i.l);
    flagsFrom(t, v);
  };
}
function vexTests(mnemonic: string, opcode: string, name: string, w?: 'W0'): Row[] {
  return [
    [vexEncoding('128', '66', opcode, w), `${mnemonic} Vdq,Wdq`, 'avx', test(name)],
    [vexEncoding('256', '66', opcode, w), `${mnemonic} Vqq,Wqq`, 'avx', test(name)],
  ];
}

/** Result at scratch vector 1, flags in the lane after; explicit lengths go into the second half of scratch vector 1. */
function stringCompare(name: string): Meaning {
  const h = helper(name);
  const explicit = name.startsWith('pcmpestr');
  const index = name.endsWith('i');
  return (t, i) => {
    // The memory operand of these needs no alignment, even in the legacy form.
    const b = i.mod === 3 ? t.xmm(i.rm) : t.loadMemVector('ld128', t.vtemp(0));
    const v = t.vtemp(1);
    if (explicit) {
      const size = i.w === 1 && t.long ? 64 : 32;
      t.b.mov(v + 4, t.sext(RAX, size));
      t.b.mov(v + 5, t.sext(RDX, size));
    }
    vcall(t, h, v, t.xmm(i.reg), b, i.imm & 0xff);
    if (index) t.b.mov(RCX, v);
    else {
      vcall(t, helper('movdqa'), t.xmm(0), v, v);
      if (i.vex) clearUpper(t, t.xmm(0));
    }
    flagsFrom(t, v + LANE);
  };
}
function stringCompareRows(mnemonic: string, opcode: string): Row[] {
  const meaning = stringCompare(mnemonic.toLowerCase());
  return [
    [`66 ${opcode} /r`, `${mnemonic} Vdq,Wdq,Ib`, 'sse4.2', meaning],
    [vexEncoding('128', '66', opcode), `V${mnemonic} Vdq,Wdq,Ib`, 'avx', meaning],
  ];
}

const CRC32 = helper('crc32');
const crc32: Meaning = (t, i) => {
  const data = t.read(1);
  t.b.call('call', CRC32.id, t.gpr(i.reg), t.gpr(i.reg), data, t.operandSize(1) / 8);
};

export const VECTOR_TEST_ROWS: readonly Row[] = [
  ['66 0F 38 17 /r', 'PTEST Vdq,Wdq', 'sse4.1', test('ptest')],
  ...vexTests('VPTEST', '0F 38 17', 'ptest'),
  ...vexTests('VTESTPS', '0F 38 0E', 'vtestps', 'W0'),
  ...vexTests('VTESTPD', '0F 38 0F', 'vtestpd', 'W0'),
  ...stringCompareRows('PCMPESTRM', '0F 3A 60'),
  ...stringCompareRows('PCMPESTRI', '0F 3A 61'),
  ...stringCompareRows('PCMPISTRM', '0F 3A 62'),
  ...stringCompareRows('PCMPISTRI', '0F 3A 63'),
  ['F2 0F 38 F0 /r', 'CRC32 Gy,Eb', 'sse4.2', crc32],
  ['F2 0F 38 F1 /r', 'CRC32 Gy,Ev', 'sse4.2', crc32],
];
