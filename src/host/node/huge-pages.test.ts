import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { adviseHugePages } from './huge-pages.js';
import { loadKoffi } from './koffi.js';

const MIB = 2 ** 20;

/** What the kernel says of a setting, or that it has none. */
function setting(): string {
  try {
    return readFileSync('/sys/kernel/mm/transparent_hugepage/enabled', 'utf8');
  } catch {
    return 'always madvise [never]';
  }
}

const hugeKib = (): number =>
  readFileSync('/proc/self/smaps', 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('AnonHugePages:'))
    .reduce((sum, line) => sum + Number(/\d+/.exec(line)?.[0]), 0);

const skip = !loadKoffi()
  ? 'koffi is not installed'
  : setting().includes('[never]') && 'this kernel gives no huge pages';

test('memory that grows after the advice is in huge pages', { skip }, () => {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536, shared: true });
  adviseHugePages(memory);
  const before = hugeKib();
  memory.grow((64 * MIB) / 65536);
  const bytes = new Uint8Array(memory.buffer);
  for (let at = 0; at < bytes.length; at += 4096) bytes[at] = 1;
  // A host whose memory is in pieces may not have them all.
  assert.ok(hugeKib() - before >= 8 * 1024);
});
