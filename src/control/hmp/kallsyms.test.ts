import assert from 'node:assert/strict';
import test from 'node:test';
import { findKallsyms } from './kallsyms.js';

const COUNT = 600;
const BASE = 0xffffffff92000000n;
const name = (i: number): string => `function_${i.toString(36)}`;

/** The tables of a 64-bit kernel, as scripts/kallsyms.c lays them out: tokens are single characters, but for 'function_'. */
function tables(): Uint8Array {
  const tokens = Array.from({ length: 256 }, (_, i) => (i > 32 && i < 127 ? String.fromCharCode(i) : `<${i}>`));
  tokens[200] = 'function_';
  const names: number[] = [];
  const markers: number[] = [];
  for (let i = 0; i < COUNT; i++) {
    if (i % 256 === 0) markers.push(names.length);
    const rest = [...i.toString(36)].map((c) => c.charCodeAt(0));
    names.push(rest.length + 2, 'T'.charCodeAt(0), 200, ...rest);
  }
  const u32 = (values: number[]): Uint8Array => new Uint8Array(new Int32Array(values).buffer);
  const parts = [
    new Uint8Array(4096).fill(0x55),
    u32(Array.from({ length: COUNT }, (_, i) => -1 - 16 * i)),
    new Uint8Array(new BigUint64Array([BASE]).buffer),
    u32([COUNT, 0]),
    new Uint8Array(names),
    u32(markers),
    new TextEncoder().encode(`${tokens.join('\0')}\0`),
    new Uint8Array(4096),
  ];
  const out: number[] = [];
  for (const p of parts) {
    while (out.length % 8) out.push(0);
    out.push(...p);
  }
  return new Uint8Array(out);
}

test('symbols of a kernel are read out of memory', () => {
  const symbols = findKallsyms(tables());
  assert.equal(symbols?.length, COUNT);
  assert.deepEqual(symbols[0], { address: BASE, type: 'T', name: name(0) });
  assert.deepEqual(symbols[COUNT - 1], { address: BASE + 16n * BigInt(COUNT - 1), type: 'T', name: name(COUNT - 1) });
});

test('damaged tables give nothing, or names, but no error', () => {
  const whole = tables();
  const nothing = new TextEncoder().encode('0\x001\x002\x003\x004\x005\x006\x007\x008\x009\x00');
  assert.equal(findKallsyms(nothing), undefined);
  for (let cut = 0; cut < whole.length; cut += 97) {
    findKallsyms(whole.subarray(0, cut));
    findKallsyms(whole.subarray(cut));
    const changed = whole.slice();
    changed[cut] ^= 0x85;
    findKallsyms(changed);
  }
});
