import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadZstd } from './zstd.js';

const { compress, decompress } = await loadZstd();

const random = (seed: number) => () => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return seed / 2 ** 32;
};

const SAMPLES: readonly (readonly [string, Uint8Array, number])[] = [
  ['nothing', new Uint8Array(0), 1],
  ['one byte', Uint8Array.of(7), 1],
  ['zeroes', new Uint8Array(300_000), 0.01],
  ['text', new TextEncoder().encode('the tinamou is the relative of the emu that can fly; '.repeat(900)), 0.1],
  [
    'noise',
    Uint8Array.from(
      { length: 70_000 },
      (
        (r) => () =>
          r() * 256
      )(random(1)),
    ),
    1.01,
  ],
  ['steps', Uint8Array.from({ length: 2 << 20 }, (_, i) => (i >> 9) & 0xff), 0.05],
  [
    'sparse noise',
    Uint8Array.from(
      { length: 65536 },
      (
        (r) => () =>
          r() < 0.05 ? r() * 256 : 0
      )(random(2)),
    ),
    0.5,
  ],
];

for (const [name, data, most] of SAMPLES) {
  test(`zstd: ${name} is packed and unpacked`, () => {
    const packed = compress(data);
    assert.ok(packed.length <= data.length * most + 64, `${packed.length} of ${data.length} bytes`);
    const padded = new Uint8Array(packed.length + 100);
    padded.set(packed);
    assert.deepEqual(decompress(padded, data.length), data);
    assert.equal(decompress(packed, data.length + 1), null);
  });
}

test('zstd: broken frames are refused', () => {
  const data = SAMPLES[3]![1];
  const packed = compress(data);
  const r = random(5);
  let refused = 0;
  for (let i = 0; i < 2000; i++) {
    const broken = packed.slice(0, r() < 0.3 ? Math.floor(r() * packed.length) : packed.length);
    for (let n = 0; n < 3; n++) broken[Math.floor(r() * broken.length)] = Math.floor(r() * 256);
    if (decompress(broken, data.length) === null) refused++;
  }
  assert.ok(refused > 1000);
});
