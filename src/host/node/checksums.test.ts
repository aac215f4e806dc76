/** CRC-32 in this thread and in others is the same. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import zlib from 'node:zlib';
import { CHECKSUMS } from './checksums.js';

const CHECK = new TextEncoder().encode('123456789');

test('the check value of CRC-32, at once and in parts', () => {
  assert.equal(CHECKSUMS.of(CHECK), 0xcbf43926);
  assert.equal(CHECKSUMS.of(CHECK.subarray(4), CHECKSUMS.of(CHECK.subarray(0, 4))), 0xcbf43926);
});

test('another thread finds the same, of shared memory too, and of many at a time', async () => {
  const bytes = new Uint8Array(new SharedArrayBuffer(8 << 20));
  for (let i = 0; i < bytes.length; i++) bytes[i] = Math.imul(i, 0x9e3779b1) >>> 24;
  const parts = [
    CHECK,
    ...Array.from({ length: 15 }, (_, i) => bytes.subarray(i * 1000, (i * 1000 + i * 300_000) % bytes.length)),
  ];
  const found = await Promise.all(parts.map((part) => CHECKSUMS.beside(part)));
  assert.deepEqual(
    found,
    parts.map((part) => zlib.crc32(part)),
  );
});
