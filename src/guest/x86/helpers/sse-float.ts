/**
 * SSE floating point; all `vcallf` (an unmasked exception is #XM). Bits 0 and 1 of imm: VEX form, 256-bit form; higher bits
 * are each helper's own (see the runtime files). `a` is the first source (the destination in legacy forms), `b` the second;
 * operations of one operand read `b` and take the rest of a scalar result from `a`.
 */
import type { HelperKind, HelperTable } from './table.js';

const all = (...names: readonly string[]): (readonly [string, HelperKind])[] => names.map((n) => [n, 'vcallf']);
const forms = (...ops: readonly string[]): string[] => ops.flatMap((op) => ['ss', 'sd', 'ps', 'pd'].map((f) => op + f));

const ARITHMETIC: HelperTable = {
  module: 'x86/sse-float',
  helpers: all(...forms('add', 'sub', 'mul', 'div', 'sqrt', 'min', 'max', 'cmp'), 'comiss', 'comisd'),
};

const CONVERSIONS: HelperTable = {
  module: 'x86/sse-float-convert',
  helpers: all(
    'cvtsi2sd',
    'cvtsi2ss',
    'cvtsd2si',
    'cvtss2si',
    'cvtss2sd',
    'cvtsd2ss',
    'cvtps2pd',
    'cvtpd2ps',
    'cvtdq2ps',
    'cvtps2dq',
    'cvtdq2pd',
    'cvtpd2dq',
    'cvtpi2ps',
    'cvtpi2pd',
    'cvtps2pi',
    'cvtpd2pi',
    'cvtph2ps',
    'cvtps2ph',
    ...forms('round'),
    'ldmxcsr',
  ),
};

const MORE: HelperTable = {
  module: 'x86/sse-float-more',
  helpers: all(
    ...forms('fma'),
    ...['haddpd', 'haddps', 'addsubpd', 'addsubps', 'dpps', 'dppd', 'rcpss', 'rcpps', 'rsqrtss', 'rsqrtps'],
  ),
};

export const SSE_FLOAT_HELPER_TABLES: readonly HelperTable[] = [ARITHMETIC, CONVERSIONS, MORE];
