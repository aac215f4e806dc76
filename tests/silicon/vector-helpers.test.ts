/** Every vector helper of the x86 runtime against the same instruction on the host's processor. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { SIMD_INLINE, SIMD_INLINE_IMM, SIMD_INLINE_SCALAR } from '../../src/guest/x86/helpers/simd-inline.js';
import { SSE_HELPER_TABLES } from '../../src/guest/x86/helpers/sse.js';
import { X86 } from '../../src/guest/x86/state.js';
import { INPUT_BYTES, nativeUnavailable, OUTPUT_BYTES, runNative } from './run-native.js';

type VectorHelper = (cpu: number, d: number, a: number, b: number, imm: number) => void;

const CPU = 0x100000;
const at = (field: string): number => CPU + (X86.at[field] as number);
const A = at('zmm') + 64;
const B = at('zmm') + 128;
const MASK = at('zmm');
const RESULT = at('vtemp');
const LENGTHS = RESULT + 32;

interface Case {
  readonly helper: string;
  readonly text: string;
  /** The helper's immediate; a negative one -1 - n stands for the value n in b. */
  readonly imm: number;
  /** What to compare: the 16-byte result, its low 8 bytes, RAX with the result, or EFLAGS bits at result + `flagsAt`. */
  readonly what: 'vector' | 'half' | 'rax';
  readonly flagsAt?: number;
}

const cases: Case[] = [];
const add = (helper: string, text: string, imm = 0, what: Case['what'] = 'vector', flagsAt?: number): void => {
  cases.push({ helper, text, imm, what, ...(flagsAt === undefined ? {} : { flagsAt }) });
};
const words = (s: string): string[] => s.trim().split(/\s+/);

for (const n of words(`paddb paddw paddd paddq psubb psubw psubd psubq paddsb paddsw paddusb paddusw psubsb psubsw
  psubusb psubusw phaddw phaddd phaddsw phsubw phsubd phsubsw pavgb pavgw psadbw pabsb pabsw pabsd psignb psignw psignd
  pmullw pmulld pmulhw pmulhuw pmuludq pmuldq pmaddwd pmaddubsw pmulhrsw pcmpeqb pcmpeqw pcmpeqd pcmpeqq pcmpgtb pcmpgtw
  pcmpgtd pcmpgtq pminub pminuw pminud pminsb pminsw pminsd pmaxub pmaxuw pmaxud pmaxsb pmaxsw pmaxsd packsswb packssdw
  packuswb packusdw punpcklbw punpcklwd punpckldq punpcklqdq punpckhbw punpckhwd punpckhdq punpckhqdq pshufb pand pandn
  por pxor movdqa movss movddup movsldup movshdup aesenc aesenclast aesdec aesdeclast aesimc sha1nexte sha1msg1 sha1msg2
  sha256msg1 sha256msg2 phminposuw pmovsxbw pmovsxbd pmovsxbq pmovsxwd pmovsxwq pmovsxdq pmovzxbw pmovzxbd pmovzxbq
  pmovzxwd pmovzxwq pmovzxdq`)) {
  add(n, `${n} %xmm2, %xmm1`);
}
add('vzero', 'pxor %xmm1, %xmm1');
for (const n of words('pbroadcastb pbroadcastw pbroadcastd')) add(n, `v${n} %xmm2, %xmm1`);
for (const n of words('psllvd psllvq psrlvd psrlvq psravd')) add(n, `v${n} %xmm2, %xmm1, %xmm1`);
for (const n of words('vpermilps vpermilpd')) add(n, `${n} %xmm2, %xmm1, %xmm1`);
// The counts: as they come (mostly too large), and cut to 7 bits.
for (const n of words('psllw pslld psllq psrlw psrld psrlq psraw psrad')) {
  add(n, `${n} %xmm2, %xmm1`);
  for (const imm of [0, 1, 7, 15, 16, 31, 32, 63, 64, 255]) {
    add(`${n}i`, `${n} $${imm}, %xmm2; movdqa %xmm2, %xmm1`, imm);
    add(n, `mov $${imm}, %ecx; movd %ecx, %xmm2; ${n} %xmm2, %xmm1`, -imm - 1);
  }
}
for (const imm of [0, 1, 5, 15, 16, 17, 31, 32, 200]) {
  add('pslldqi', `pslldq $${imm}, %xmm2; movdqa %xmm2, %xmm1`, imm);
  add('psrldqi', `psrldq $${imm}, %xmm2; movdqa %xmm2, %xmm1`, imm);
  add('palignr', `palignr $${imm}, %xmm2, %xmm1`, imm);
}
const IMMEDIATES = [0x00, 0x1b, 0x4e, 0x93, 0xe4, 0x55, 0xaa, 0xff, 0x39, 0x72];
for (const n of words('pshufd pshuflw pshufhw shufps shufpd pblendw blendps blendpd insertps mpsadbw pclmulqdq')) {
  for (const imm of IMMEDIATES) add(n, `${n} $${imm}, %xmm2, %xmm1`, imm);
}
for (const imm of [0, 1, 0x10, 0x11]) add('pclmulqdq', `pclmulqdq $${imm}, %xmm2, %xmm1`, imm);
for (const imm of [0, 1, 2, 3, 4, 5, 6, 7]) add('mpsadbw', `mpsadbw $${imm}, %xmm2, %xmm1`, imm);
for (const imm of IMMEDIATES) add('aeskeygenassist', `aeskeygenassist $${imm}, %xmm2, %xmm1`, imm);
for (const imm of [0, 1, 2, 3]) add('sha1rnds4', `sha1rnds4 $${imm}, %xmm2, %xmm1`, imm);
const maskOffset = X86.at['zmm'] as number;
for (const n of words('pblendvb blendvps blendvpd sha256rnds2')) add(n, `${n} %xmm0, %xmm2, %xmm1`, maskOffset);
for (const imm of IMMEDIATES) {
  add('pinsrb', `movd %xmm2, %ecx; pinsrb $${imm}, %ecx, %xmm1`, imm);
  add('pinsrw', `movd %xmm2, %ecx; pinsrw $${imm}, %ecx, %xmm1`, imm);
  add('pinsrd', `movd %xmm2, %ecx; pinsrd $${imm}, %ecx, %xmm1`, imm);
  add('pinsrq', `movq %xmm2, %rcx; pinsrq $${imm}, %rcx, %xmm1`, imm);
  add('pextrb', `pextrb $${imm}, %xmm2, %eax`, imm, 'rax');
  add('pextrw', `pextrw $${imm}, %xmm2, %eax`, imm, 'rax');
  add('pextrd', `pextrd $${imm}, %xmm2, %eax`, imm, 'rax');
}
for (const n of words('pmovmskb movmskps movmskpd')) add(n, `${n} %xmm2, %eax`, 0, 'rax');
add('ptest', 'ptest %xmm2, %xmm1', 0, 'half', 0);
for (const n of words('vtestps vtestpd')) add(n, `${n} %xmm2, %xmm1`, 0, 'half', 0);
for (let imm = 0; imm < 128; imm++) {
  add('pcmpistri', `pcmpistri $${imm}, %xmm2, %xmm1; mov %ecx, %eax`, imm, 'rax', 16);
  add('pcmpistrm', `pcmpistrm $${imm}, %xmm2, %xmm1; movdqa %xmm0, %xmm1`, imm, 'vector', 16);
  add('pcmpestri', `pcmpestri $${imm}, %xmm2, %xmm1; mov %ecx, %eax`, imm, 'rax', 16);
  add('pcmpestrm', `pcmpestrm $${imm}, %xmm2, %xmm1; movdqa %xmm0, %xmm1`, imm, 'vector', 16);
}
for (const [length, index] of [
  [0, 0],
  [8, 4],
  [32, 31],
  [1, 63],
  [63, 1],
]) {
  const imm = (length as number) | ((index as number) << 8);
  add('extrqi', `extrq $${index}, $${length}, %xmm1`, imm, 'half');
  add('insertqi', `insertq $${index}, $${length}, %xmm2, %xmm1`, imm, 'half');
}
add('extrq', 'mov $0x1405, %ecx; movd %ecx, %xmm2; extrq %xmm2, %xmm1', -0x1405 - 1, 'half');
// MMX: the operands are the low halves.
const MMX = (text: string): string => `movdq2q %xmm1, %mm1; movdq2q %xmm2, %mm2; ${text}; movq2dq %mm1, %xmm1`;
for (const n of words(`phaddw phaddd phaddsw phsubw phsubd phsubsw packsswb packssdw packuswb punpckhbw punpckhwd punpckhdq
  pshufb`)) {
  add(`${n}64`, MMX(`${n} %mm2, %mm1`), 0, 'half');
}
for (const n of words(
  'paddb psubusw pmulhuw pmuludq psadbw punpcklbw punpckldq psignw pmaddubsw pmulhrsw psllw pandn',
)) {
  add(n, MMX(`${n} %mm2, %mm1`), 0, 'half');
}
for (const imm of [0, 3, 8, 9, 15, 16, 99]) add('palignr64', MMX(`palignr $${imm}, %mm2, %mm1`), imm, 'half');
for (const imm of IMMEDIATES) add('pshuflw', MMX(`pshufw $${imm}, %mm2, %mm1`), imm, 'half');
add('pmovmskb64', MMX('pmovmskb %mm2, %eax'), 0, 'rax');

/** Input vectors: random ones, ones of few byte values (so that comparisons are met), and the edges of each lane type. */
function inputs(count: number): Uint8Array {
  const all = new Uint8Array(count * INPUT_BYTES);
  let seed = 0x12345678;
  const next = (): number => {
    seed ^= seed << 13;
    seed ^= seed >>> 17;
    seed ^= seed << 5;
    return seed >>> 8;
  };
  const edges = [0, 0xff, 0x7f, 0x80, 1];
  for (let i = 0; i < count; i++) {
    const kind = i % 4;
    for (let j = 0; j < INPUT_BYTES; j++) {
      const edge = edges[next() % 5] as number;
      const few = next() % 3;
      all[i * INPUT_BYTES + j] =
        kind === 0 ? next() : kind === 1 ? edge : kind === 2 ? few : next() & 1 ? edge : next();
    }
    // The lengths in RAX and RDX are mostly short, of either sign.
    const view = new DataView(all.buffer, i * INPUT_BYTES + 48);
    for (const offset of [0, 8]) {
      if (next() % 4 !== 0) view.setBigInt64(offset, BigInt((next() % 40) - 20), true);
    }
  }
  return all;
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

test('vector helpers agree with the processor', { skip: nativeUnavailable() }, async (t) => {
  const memory = new WebAssembly.Memory({ initial: 64, maximum: 65536, shared: true });
  const module = await WebAssembly.compile(readFileSync('dist/runtime/x86.wasm'));
  const env: Record<string, WebAssembly.ImportValue> = { memory };
  for (const i of WebAssembly.Module.imports(module)) if (i.kind === 'function') env[i.name] = () => 0;
  const instance = await WebAssembly.instantiate(module, { env });
  const exported = instance.exports as Record<string, unknown>;
  const bytes = new Uint8Array(memory.buffer);
  const view = new DataView(memory.buffer);

  const count = 64;
  const records = inputs(count);
  const native = runNative(
    cases.map((c) => c.text),
    records,
  );
  const unknown = new Set<string>();
  cases.forEach((c, index) => {
    const outputs = native[index];
    if (outputs === undefined) {
      unknown.add(c.helper);
      return;
    }
    const run = exported[`h_${c.helper}`] as VectorHelper;
    for (let i = 0; i < count; i++) {
      const record = records.subarray(i * INPUT_BYTES, (i + 1) * INPUT_BYTES);
      const expected: Uint8Array = outputs.subarray(i * OUTPUT_BYTES, (i + 1) * OUTPUT_BYTES);
      bytes.set(record.subarray(0, 16), A);
      bytes.set(record.subarray(16, 32), B);
      bytes.set(record.subarray(32, 48), MASK);
      bytes.set(record.subarray(48, 64), LENGTHS);
      if (/^pcmpe/.test(c.helper)) {
        // without REX.W only EAX and EDX count
        view.setBigInt64(LENGTHS, BigInt(view.getInt32(LENGTHS, true)), true);
        view.setBigInt64(LENGTHS + 8, BigInt(view.getInt32(LENGTHS + 8, true)), true);
      }
      if (c.imm < 0) {
        view.setBigUint64(B, BigInt(-c.imm - 1), true);
        view.setBigUint64(B + 8, 0n, true);
      }
      run(CPU, RESULT, A, B, Math.max(c.imm, 0));
      const size = c.what === 'vector' ? 16 : 8;
      const got = bytes.slice(RESULT, RESULT + size);
      const want: Uint8Array = c.what === 'rax' ? expected.subarray(16, 24) : expected.subarray(0, size);
      const where = `${c.text} on ${hex(record)}`;
      if (!(c.what === 'half' && c.flagsAt === 0)) assert.equal(hex(got), hex(want), where);
      if (c.flagsAt !== undefined) {
        const flags = view.getUint32(RESULT + c.flagsAt, true);
        assert.equal(
          flags & 0x8d5,
          new DataView(expected.buffer, expected.byteOffset).getUint32(24, true) & 0x8d5,
          where,
        );
      }
    }
  });
  if (unknown.size > 0) t.diagnostic(`not known to this processor: ${[...unknown].join(' ')}`);
});

test('every vector helper is compared', () => {
  // These need guest memory or belong to whole instructions; tests/silicon runs them as guest code.
  const elsewhere = new Set(words('mmxWritten mmxUsed emms vpermq vpermd vperm2x128 insertq'));
  const compared = new Set(cases.map((c) => c.helper));
  const missing = SSE_HELPER_TABLES.flatMap((t) => t.helpers)
    .filter(([name, kind]) => kind === 'vcall' && !compared.has(name) && !elsewhere.has(name))
    .map(([name]) => name);
  assert.deepEqual(missing, []);
  const inline = [...Object.keys(SIMD_INLINE), ...Object.keys(SIMD_INLINE_IMM), ...Object.keys(SIMD_INLINE_SCALAR)];
  for (const name of inline) assert.ok(compared.has(name), name);
});
