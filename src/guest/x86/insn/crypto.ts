/** AES, PCLMULQDQ and SHA instructions. */
import { helper } from '../helpers/index.js';
import type { Row } from './row.js';
import { group, registerOffset, vcall } from './vector.js';

const AES = { prefix: '66', sse: 'aes', avx128: 'avx,aes' } as const;

/** SHA instructions have no mandatory prefix and no VEX form. */
function sha(mnemonic: string, opcode: string, operands: string): Row {
  const name = mnemonic.toLowerCase();
  const h = helper(name);
  const implicit = name === 'sha256rnds2';
  return [
    `NP ${opcode} /r`,
    `${mnemonic} ${operands}`,
    'sha-ni',
    (t, i) => {
      // Intel's processors ask for an aligned operand, AMD's do not.
      const b = i.mod === 3 ? t.xmm(i.rm) : t.loadMemVector(t.isIntel() ? 'ld128a' : 'ld128', t.vtemp(0));
      vcall(t, h, t.xmm(i.reg), t.xmm(i.reg), b, implicit ? registerOffset(0) : i.imm & 0xff);
    },
  ];
}

export const CRYPTO_ROWS: readonly Row[] = [
  ...group({ ...AES, unary: true }, 'AESIMC 0F 38 DB'),
  ...group(
    { ...AES, avx256: 'avx,vaes' },
    `AESENC 0F 38 DC
     AESENCLAST 0F 38 DD
     AESDEC 0F 38 DE
     AESDECLAST 0F 38 DF`,
  ),
  ...group({ ...AES, unary: true, imm: 0 }, 'AESKEYGENASSIST 0F 3A DF'),
  ...group(
    { prefix: '66', sse: 'pclmulqdq', avx128: 'avx,pclmulqdq', avx256: 'avx,vpclmulqdq', imm: 0 },
    'PCLMULQDQ 0F 3A 44',
  ),
  sha('SHA1RNDS4', '0F 3A CC', 'Vdq,Wdq,Ib'),
  sha('SHA1NEXTE', '0F 38 C8', 'Vdq,Wdq'),
  sha('SHA1MSG1', '0F 38 C9', 'Vdq,Wdq'),
  sha('SHA1MSG2', '0F 38 CA', 'Vdq,Wdq'),
  sha('SHA256RNDS2', '0F 38 CB', 'Vdq,Wdq,XMM0'),
  sha('SHA256MSG1', '0F 38 CC', 'Vdq,Wdq'),
  sha('SHA256MSG2', '0F 38 CD', 'Vdq,Wdq'),
];
