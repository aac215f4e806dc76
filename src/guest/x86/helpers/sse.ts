/** Vector helpers other than floating-point arithmetic. Those of `simd-inline.ts` with a code are generated from it. */
import { SIMD_INLINE } from './simd-inline.js';
import type { HelperKind, HelperTable } from './table.js';

const table = (module: string, kind: HelperKind, names: string): HelperTable => ({
  module,
  helpers: names
    .trim()
    .split(/\s+/)
    .map((name) => [name, kind] as const),
});

export const SSE_HELPER_TABLES: readonly HelperTable[] = [
  table('generated/sse-inline', 'vcall', Object.keys(SIMD_INLINE).join(' ')),
  table(
    'x86/sse-shift',
    'vcall',
    `psllw pslld psllq psrlw psrld psrlq psraw psrad
     psllwi pslldi psllqi psrlwi psrldi psrlqi psrawi psradi
     pslldqi psrldqi palignr palignr64 psllvd psllvq psrlvd psrlvq psravd
     extrqi extrq insertqi insertq`,
  ),
  table(
    'x86/sse-shuffle',
    'vcall',
    `pshufd pshuflw pshufhw shufps shufpd vpermilps vpermilpd vpermq vpermd vperm2x128
     pblendw blendps blendpd pblendvb blendvps blendvpd
     pinsrb pinsrw pinsrd pinsrq insertps pextrb pextrw pextrd
     pmovsxbw pmovsxbd pmovsxbq pmovsxwd pmovsxwq pmovsxdq
     pmovzxbw pmovzxbd pmovzxbq pmovzxwd pmovzxwq pmovzxdq`,
  ),
  table('x86/sse-test', 'vcall', 'pmovmskb pmovmskb64 movmskps movmskpd ptest vtestps vtestpd phminposuw mpsadbw'),
  table('x86/sse-string', 'vcall', 'pcmpistri pcmpistrm pcmpestri pcmpestrm'),
  table('x86/sse-mmx', 'vcall', 'mmxWritten mmxUsed emms'),
  table(
    'x86/sse-crypto',
    'vcall',
    `aesenc aesenclast aesdec aesdeclast aesimc aeskeygenassist pclmulqdq
     sha1rnds4 sha1nexte sha1msg1 sha1msg2 sha256rnds2 sha256msg1 sha256msg2`,
  ),
  table('x86/sse-memory', 'vcallf', 'maskedLoad maskedStore gather'),
  table('x86/sse-crypto', 'call', 'crc32'),
];
