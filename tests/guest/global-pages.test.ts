/** Which translations outlive a write to CR3. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VCPU } from '../../src/ir/layout.js';
import { BareMachine } from '../support/bare-machine.js';

const CODE = 0x10000;
const TABLE = 0x8000;
const GLOBAL = 0x20000;
const LOCAL = 0x21000;
const OTHER = 0x30000;
const PGE = 0x80n;
const G = 0x100n;

/** Reads both pages into RBX and RSI, writes CR3, reads them into RCX and RDI. */
const TWICE = [
  ...[0x48, 0x8b, 0x1c, 0x25, 0x00, 0x00, 0x02, 0x00], // mov rbx, [20000h]
  ...[0x48, 0x8b, 0x34, 0x25, 0x00, 0x10, 0x02, 0x00], // mov rsi, [21000h]
  ...[0xe6, 0x80], // out 80h, al: the tables change
  ...[0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8], // mov rax, cr3; mov cr3, rax
  ...[0x48, 0x8b, 0x0c, 0x25, 0x00, 0x00, 0x02, 0x00], // mov rcx, [20000h]
  ...[0x48, 0x8b, 0x3c, 0x25, 0x00, 0x10, 0x02, 0x00], // mov rdi, [21000h]
  0xf4,
];
const INVLPG = [0x0f, 0x01, 0x3c, 0x25, 0x00, 0x00, 0x02, 0x00]; // invlpg [20000h]

function run(cr4: bigint, code: readonly number[]) {
  const m = new BareMachine({ mode: 'long64' });
  const { view, registers: r } = m;
  const map = (page: number, to: number, flags: bigint): void =>
    view.setBigUint64(TABLE + (page >> 12) * 8, BigInt(to) | 7n | flags, true);
  view.setBigUint64(0x2000, 0x7007n, true);
  view.setBigUint64(0x7000, BigInt(TABLE | 7), true);
  for (let page = 0; page < 0x200000; page += 0x1000) map(page, page, page === LOCAL ? 0n : G);
  for (const [at, value] of [
    [GLOBAL, 1n],
    [LOCAL, 2n],
    [OTHER, 3n],
    [OTHER + 0x1000, 4n],
  ] as const)
    view.setBigUint64(at, value, true);
  r.set('cr4', r.get('cr4') | cr4);
  const stat = (name: string): number =>
    Number(new DataView(m.accelerator.memory.buffer).getBigUint64(r.state + (VCPU.at[name] as number), true));
  let misses = 0;
  m.load(CODE, code);
  m.accelerator.runtime.tlbFlush(r.state);
  const { portWrites } = m;
  portWrites.push = (...writes) => {
    map(GLOBAL, OTHER, G);
    map(LOCAL, OTHER + 0x1000, 0n);
    misses = stat('statTlbMisses');
    return writes.length;
  };
  assert.equal(m.run().reason, 'halted');
  const seen = (['rbx', 'rsi', 'rcx', 'rdi'] as const).map((name) => Number(r.get(name)));
  return { seen, misses: stat('statTlbMisses') - misses, revived: stat('statTlbRevived') };
}

test('Global pages, of code and of data, outlive a write to CR3', () => {
  const { seen, misses, revived } = run(PGE, TWICE);
  assert.deepEqual(seen, [1, 2, 1, 4]);
  assert.deepEqual([misses, revived], [1, 2]);
});

test('Without CR4.PGE nothing does', () => {
  const { seen, revived } = run(0n, TWICE);
  assert.deepEqual([seen, revived], [[1, 2, 3, 4], 0]);
});

test('With PCIDs global pages are those of every address space', () => {
  const { seen, misses, revived } = run(PGE | 0x20000n, TWICE);
  assert.deepEqual(seen, [1, 2, 1, 4]);
  assert.deepEqual([misses, revived], [1, 2]);
});

test('INVLPG ends a global page, and so does a change of CR4.PGE', () => {
  const at = TWICE.length - 17;
  const before = TWICE.slice(0, at);
  const after = TWICE.slice(at);
  assert.deepEqual(run(PGE, [...before, ...INVLPG, ...after]).seen, [1, 2, 3, 4]);
  // mov rax, cr4; xor al, 80h; mov cr4, rax; and back
  const toggle = [0x0f, 0x20, 0xe0, 0x34, 0x80, 0x0f, 0x22, 0xe0];
  assert.deepEqual(run(PGE, [...before, ...toggle, ...toggle, ...after]).seen, [1, 2, 3, 4]);
});
