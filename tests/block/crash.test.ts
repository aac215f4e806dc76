/**
 * Every write of a busy image is recorded. Then the file is put together as a stop would have left it: after each write, and
 * with the writes between two flushes reordered or lost. Each must be in order but for leaks, and have all flushed data.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { MemoryNode } from '../../src/block/memory.js';
import type { BlockNode } from '../../src/block/node.js';
import { openImage } from '../../src/block/open.js';
import { checkQcow2 } from '../../src/block/qcow2/check.js';
import { createQcow2, type Qcow2CreateOptions } from '../../src/block/qcow2/create.js';
import { Qcow2Node } from '../../src/block/qcow2/node.js';
import { createSnapshot, deleteSnapshot } from '../../src/block/qcow2/snapshots.js';
import { NODE_BLOCK_HOST, NODE_CODECS } from '../../src/host/node/block-host.js';
import { RecordingNode, replay, shuffled } from './recording.js';
import { hasQemu, inScratch, randomizer } from './support.js';

/** What must be there after a number of steps: the disk as of the last flush, and what was written since. */
interface Flushed {
  /** Steps that had been recorded when the flush had ended. */
  readonly steps: number;
  readonly disk: Uint8Array;
}

const SECTOR = 512;

async function openMemory(file: BlockNode, readOnly = false): Promise<Qcow2Node> {
  const node = await openImage(
    { openFile: () => file, codecs: NODE_CODECS },
    { file: 'recorded', format: 'qcow2', readOnly, forCheck: readOnly },
  );
  assert.ok(node instanceof Qcow2Node);
  return node;
}

/** States of machines: as long as their snapshot's number says, full of it. */
const stateOf = (i: number): Uint8Array => new Uint8Array(1000 * i + 77).fill(i);

async function writeState(node: Qcow2Node, i: number): Promise<void> {
  const state = stateOf(i);
  const writer = await node.snapshots.beginState(state.length + 20_000);
  // In parts, the first of them last.
  const middle = Math.floor(state.length / 2);
  for (const [from, to] of [
    [middle, state.length],
    [0, middle],
  ] as const) {
    await writer.makeRoom(to);
    await writer.write(from, [state.subarray(from, from + 10), state.subarray(from + 10, to)]);
  }
}

/** Runs operations with flushes between; gives the promises and, for each sector, every content it ever had. */
async function busy(
  file: RecordingNode,
  size: number,
  random: (below: number) => number,
  snapshots: boolean,
): Promise<{ promises: Flushed[]; history: Map<number, Set<number>>[] }> {
  const node = await openMemory(file);
  const disk = new Uint8Array(size);
  const promises: Flushed[] = [{ steps: file.steps.length, disk: disk.slice() }];
  // Sectors are filled with one value each, so a value tells all. Per epoch: which values a sector may have.
  const history: Map<number, Set<number>>[] = [new Map()];
  let marker = 0;
  for (let i = 0; i < 60; i++) {
    const sector = random(size / SECTOR);
    const sectors = Math.min(size / SECTOR - sector, 1 + random(random(3) === 0 ? 80 : 6));
    const offset = sector * SECTOR;
    const length = sectors * SECTOR;
    const allow = (value: number): void => {
      for (let s = sector; s < sector + sectors; s++) {
        const values = history.at(-1)!.get(s) ?? new Set<number>();
        values.add(value);
        history.at(-1)!.set(s, values);
      }
    };
    const operation = random(10);
    if (operation < 6) {
      marker = (marker % 250) + 1;
      allow(marker);
      disk.fill(marker, offset, offset + length);
      await node.write(offset, new Uint8Array(length).fill(marker));
    } else if (operation === 6) {
      allow(0);
      disk.fill(0, offset, offset + length);
      await node.writeZeroes(offset, length, random(2) === 0);
    } else if (operation === 7) {
      // Afterwards it may be anything that it was, or zero.
      allow(0);
      await node.discard(offset, length);
      await node.read(offset, disk.subarray(offset, offset + length));
    } else if (operation === 8 && snapshots && i % 2 === 0) {
      if (random(4) === 0) {
        await writeState(node, i);
        if (random(2) === 0) await node.snapshots.dropState();
      }
      const machine = i > 0 && random(3) > 0;
      if (machine) await writeState(node, i);
      await createSnapshot(node, { name: `s${i}`, time: 1, vmStateBytes: machine ? stateOf(i).length : 0 });
      if (random(3) === 0) await deleteSnapshot(node, `s${i}`);
    } else {
      await node.flush();
      promises.push({ steps: file.steps.length, disk: disk.slice() });
      history.push(new Map());
    }
  }
  await node.close();
  promises.push({ steps: file.steps.length, disk: disk.slice() });
  history.push(new Map());
  return { promises, history };
}

async function inspect(
  file: MemoryNode,
  promise: Flushed,
  allowed: Map<number, Set<number>>,
  dirtyAllowed: boolean,
  what: string,
): Promise<void> {
  const node = await openMemory(file, true);
  if (!(dirtyAllowed && node.image.header.incompatible & 1)) {
    const { corruptions, checkErrors, messages } = await checkQcow2(node, null);
    assert.equal(
      corruptions + checkErrors,
      0,
      `${what}: ${messages.filter((m) => !m.startsWith('Leaked')).join('; ')}`,
    );
  } else {
    // What opening it for writing repairs must be in order then.
    await node.close();
    const mended = await openMemory(file);
    const { corruptions, checkErrors, messages } = await checkQcow2(mended, null);
    assert.equal(corruptions + checkErrors, 0, `${what}, repaired: ${messages.join('; ')}`);
    await mended.close();
  }
  const reader = await openMemory(file, true);
  for (const { name, vmStateBytes } of await reader.snapshots.list()) {
    if (vmStateBytes === 0) continue;
    const state = new Uint8Array(vmStateBytes);
    await (await reader.snapshots.openState(name)).read(0, state);
    assert.deepEqual(state, stateOf(Number(name.slice(1))), `${what}: the machine of ${name}`);
  }
  const disk = new Uint8Array(promise.disk.length);
  await reader.read(0, disk);
  for (let s = 0; s < disk.length / SECTOR; s++) {
    const value = disk[s * SECTOR]!;
    if (value !== promise.disk[s * SECTOR] && !allowed.get(s)?.has(value)) {
      assert.fail(`${what}: sector ${s} has ${value} instead of the flushed ${promise.disk[s * SECTOR]}`);
    }
  }
}

const SIZE = 1 << 20;
const VARIANTS: readonly (readonly [string, Omit<Qcow2CreateOptions, 'size'>, boolean])[] = [
  ['clusters of 4 KiB', { clusterSize: 4096 }, false],
  ['clusters of 512 bytes', { clusterSize: 512 }, false],
  ['extended L2', { clusterSize: 16384, extendedL2: true }, false],
  ['lazy refcounts', { clusterSize: 4096, lazyRefcounts: true }, false],
  ['snapshots, some of machines', { clusterSize: 4096 }, true],
  ['the same, clusters of 512 bytes', { clusterSize: 512 }, true],
  ['the same, extended L2', { clusterSize: 16384, extendedL2: true }, true],
  ['version 2', { clusterSize: 4096, compat: '0.10' }, false],
];

for (const [name, options, snapshots] of VARIANTS) {
  test(`a stop at any moment loses nothing: qcow2, ${name}`, async (t) => {
    let stops = 0;
    for (const seed of [1, 2]) {
      const file = new RecordingNode(0);
      await createQcow2(file, null, NODE_BLOCK_HOST, { size: SIZE, ...options });
      const random = randomizer(seed * 31);
      const { promises, history } = await busy(file, SIZE, random, snapshots);
      const { steps } = file;
      const dirty = snapshots || options.lazyRefcounts === true;
      for (let end = promises[0]!.steps; end <= steps.length; end++) {
        const epoch = promises.findLastIndex((p) => p.steps <= end);
        // What was written since the last flush that ended, and what the running flush may have brought along.
        const allowed = history[epoch]!;
        const at = `seed ${seed}, after ${end} of ${steps.length} steps`;
        stops++;
        await inspect(replay(steps.slice(0, end)), promises[epoch]!, allowed, dirty, at);
        if (end % 3 === 0) {
          stops++;
          await inspect(replay(shuffled(steps, end, random)), promises[epoch]!, allowed, dirty, `${at}, reordered`);
        }
      }
    }
    t.diagnostic(`${stops} stops`);
  });
}

test(
  'a stop at any moment: qemu-img agrees that the image is in order',
  { skip: !hasQemu && 'qemu-img is not installed' },
  () =>
    inScratch(async (folder) => {
      const file = new RecordingNode(0);
      await createQcow2(file, null, NODE_BLOCK_HOST, { size: SIZE, clusterSize: 4096 });
      const random = randomizer(99);
      const { promises } = await busy(file, SIZE, random, false);
      const image = path.join(folder, 'a');
      const stride = Math.max(1, Math.floor(file.steps.length / 60));
      for (let end = promises[0]!.steps; end <= file.steps.length; end += stride) {
        const node = replay(shuffled(file.steps, end, random));
        const bytes = new Uint8Array(node.length);
        await node.read(0, bytes);
        fs.writeFileSync(image, bytes);
        const { status, stdout, stderr } = spawnSync('qemu-img', ['check', '-f', 'qcow2', image], { encoding: 'utf8' });
        // 3: leaks and nothing else.
        assert.ok(status === 0 || status === 3, `after ${end} steps: ${stdout}${stderr}`);
      }
    }),
);
