/** qcow2 against qemu-img: what either writes, the other reads, and finds in order. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { checkQcow2 } from '../../src/block/qcow2/check.js';
import type { Qcow2CreateOptions } from '../../src/block/qcow2/create.js';
import { Qcow2Node } from '../../src/block/qcow2/node.js';
import { applySnapshot, createSnapshot, deleteSnapshot, readSnapshots } from '../../src/block/qcow2/snapshots.js';
import { exercise, inScratch, makeQcow2, needsQemu, open, qemuImg, qemuIo, randomizer } from './support.js';

const MIB = 1 << 20;

async function openQcow2(file: string): Promise<Qcow2Node> {
  const node = await open(file, { format: 'qcow2' });
  assert.ok(node instanceof Qcow2Node);
  return node;
}

async function assertClean(node: Qcow2Node): Promise<void> {
  const { messages, corruptions, leaks, checkErrors } = await checkQcow2(node, null);
  assert.deepEqual(
    { messages, corruptions, leaks, checkErrors },
    { messages: [], corruptions: 0, leaks: 0, checkErrors: 0 },
  );
}

const VARIANTS: readonly (readonly [string, Omit<Qcow2CreateOptions, 'size'>])[] = [
  ['plain', {}],
  ['version 2', { compat: '0.10' }],
  ['clusters of 512 bytes', { clusterSize: 512 }],
  ['clusters of 4 KiB', { clusterSize: 4096 }],
  ['clusters of 2 MiB', { clusterSize: 2 * MIB }],
  ['refcounts of 1 bit', { refcountBits: 1, clusterSize: 4096 }],
  ['refcounts of 2 bits', { refcountBits: 2, clusterSize: 1024 }],
  ['refcounts of 8 bits', { refcountBits: 8 }],
  ['refcounts of 64 bits', { refcountBits: 64, clusterSize: 512 }],
  ['lazy refcounts', { lazyRefcounts: true }],
  ['extended L2', { extendedL2: true }],
  ['extended L2 with clusters of 16 KiB', { extendedL2: true, clusterSize: 16384 }],
  ['external data file', { dataFile: 'data' }],
  ['raw external data file', { dataFile: 'data', dataFileRaw: true }],
  ['preallocated metadata', { preallocation: 'metadata' }],
  ['preallocated storage', { preallocation: 'falloc' }],
];

for (const [name, options] of VARIANTS) {
  test(`qcow2, ${name}: random operations, then qemu-img agrees`, needsQemu, () =>
    inScratch(async (folder) => {
      const size = 6 * MIB;
      const file = path.join(folder, 'a.qcow2');
      await makeQcow2(file, {
        size,
        ...options,
        ...(options.dataFile && { dataFile: path.join(folder, options.dataFile) }),
      });
      qemuImg('check', file);
      const shadow = new Uint8Array(size);
      const random = randomizer(name.length * 77 + 1);
      for (let round = 0; round < 3; round++) {
        const node = await openQcow2(file);
        await exercise(node, shadow, random, 60);
        await assertClean(node);
        await node.close();
        qemuImg('check', file);
        const raw = path.join(folder, 'raw');
        fs.writeFileSync(raw, shadow);
        qemuImg('compare', '-f', 'qcow2', '-F', 'raw', file, raw);
        if (options.dataFileRaw) qemuImg('compare', '-f', 'raw', '-F', 'raw', path.join(folder, 'data'), raw);
        // And on with what QEMU has written.
        qemuIo(
          file,
          'qcow2',
          `write -P 9 ${round * 70000 - ((round * 70000) % 512)} 100k`,
          `write -z ${round * MIB} 128k`,
        );
        const at = round * 70000 - ((round * 70000) % 512);
        shadow.fill(9, at, at + 102400);
        shadow.fill(0, round * MIB, round * MIB + 131072);
      }
      const node = await openQcow2(file);
      const all = new Uint8Array(size);
      await node.read(0, all);
      assert.equal(Buffer.compare(all, shadow), 0);
      await assertClean(node);
      await node.close();
    }),
  );
}

test('qcow2: backing chains, written by either', needsQemu, () =>
  inScratch(async (folder) => {
    const at = (name: string): string => path.join(folder, name);
    qemuImg('create', '-f', 'qcow2', at('base'), '1M');
    qemuIo(at('base'), 'qcow2', 'write -P 1 0 1M');
    await makeQcow2(at('mid'), { size: 2 * MIB, backingFile: 'base', backingFormat: 'qcow2', clusterSize: 4096 });
    qemuImg('create', '-f', 'qcow2', '-b', 'mid', '-F', 'qcow2', at('top'), '2M');
    const shadow = new Uint8Array(2 * MIB).fill(1, 0, MIB);
    const top = await openQcow2(at('top'));
    await exercise(top, shadow, randomizer(5), 80);
    await top.close();
    for (const name of ['base', 'mid', 'top']) qemuImg('check', at(name));
    fs.writeFileSync(at('raw'), shadow);
    qemuImg('compare', '-F', 'raw', at('top'), at('raw'));
  }),
);

test('qcow2: compressed clusters, written by either', needsQemu, () =>
  inScratch(async (folder) => {
    const at = (name: string): string => path.join(folder, name);
    const random = randomizer(3);
    const bytes = new Uint8Array(3 * MIB);
    for (let i = 0; i < bytes.length; i++) bytes[i] = i % 65536 < 30000 ? random(256) : i >> 12;
    fs.writeFileSync(at('raw'), bytes);
    for (const options of [
      'cluster_size=64k',
      'cluster_size=4k',
      'extended_l2=on',
      'compression_type=zstd',
      'compression_type=zstd,cluster_size=2M',
    ]) {
      qemuImg('convert', '-c', '-f', 'raw', '-O', 'qcow2', '-o', options, at('raw'), at('theirs'));
      const theirs = await openQcow2(at('theirs'));
      const shadow = bytes.slice();
      await exercise(theirs, shadow, random, 60);
      await assertClean(theirs);
      await theirs.close();
      qemuImg('check', at('theirs'));
      fs.writeFileSync(at('raw2'), shadow);
      qemuImg('compare', '-F', 'raw', at('theirs'), at('raw2'));
    }
    for (const [clusterSize, compression] of [
      [512, 'zlib'],
      [65536, 'zlib'],
      [65536, 'zstd'],
      [1 << 20, 'zstd'],
    ] as const) {
      await makeQcow2(at('ours'), { size: bytes.length, clusterSize, compression });
      const ours = await openQcow2(at('ours'));
      for (let i = 0; i < bytes.length; i += clusterSize)
        await ours.writeCompressed(i, bytes.subarray(i, i + clusterSize));
      await assertClean(ours);
      await ours.close();
      qemuImg('check', at('ours'));
      qemuImg('compare', '-F', 'raw', at('ours'), at('raw'));
      if (clusterSize <= 65536) assert.ok(fs.statSync(at('ours')).size < 0.8 * bytes.length);
    }
  }),
);

test('qcow2: snapshots, taken, gone back to and deleted by either', needsQemu, () =>
  inScratch(async (folder) => {
    for (const options of [{}, { clusterSize: 512 }, { extendedL2: true }, { compat: '0.10' as const }]) {
      const file = path.join(folder, 'a');
      const size = 2 * MIB;
      await makeQcow2(file, { size, ...options });
      const shadow = new Uint8Array(size);
      const random = randomizer(11);
      const states = new Map<string, Uint8Array>();
      for (let round = 0; round < 6; round++) {
        const node = await openQcow2(file);
        await exercise(node, shadow, random, 25, 60_000);
        await createSnapshot(node, { name: `s${round}`, time: 1_600_000_000 + round });
        states.set(`s${round}`, shadow.slice());
        await exercise(node, shadow, random, 25, 60_000);
        await assertClean(node);
        if (round === 2) {
          await applySnapshot(node, 's1');
          shadow.set(states.get('s1')!);
          await deleteSnapshot(node, 's0');
        }
        await assertClean(node);
        await node.close();
        qemuImg('check', file);
        if (round === 3) {
          qemuImg('snapshot', '-c', 'theirs', file);
          states.set('theirs', shadow.slice());
        }
        if (round === 4) {
          qemuImg('snapshot', '-a', 's3', file);
          shadow.set(states.get('s3')!);
          qemuImg('snapshot', '-d', 's2', file);
        }
      }
      const node = await openQcow2(file);
      assert.deepEqual(
        (await readSnapshots(node.image)).map((s) => s.name),
        ['s1', 's3', 'theirs', 's4', 's5'],
      );
      for (const name of ['s5', 'theirs', 's1']) {
        await applySnapshot(node, name);
        await exercise(node, states.get(name)!.slice(), random, 5);
      }
      for (const name of ['s1', 's3', 'theirs', 's4', 's5']) await deleteSnapshot(node, name);
      await assertClean(node);
      await node.close();
      qemuImg('check', file);
    }
  }),
);

test('qcow2: resized by us, still in order', needsQemu, () =>
  inScratch(async (folder) => {
    for (const options of [{}, { clusterSize: 512 }, { extendedL2: true }]) {
      const file = path.join(folder, 'a');
      await makeQcow2(file, { size: MIB, ...options });
      const random = randomizer(1);
      let shadow = new Uint8Array(MIB);
      for (const size of [3 * MIB, 3 * MIB + 512, MIB / 2 + 1024, 9 * MIB, 2 * MIB]) {
        const node = await openQcow2(file);
        await exercise(node, shadow, random, 20);
        await node.truncate(size);
        const next = new Uint8Array(size);
        next.set(shadow.subarray(0, size));
        shadow = next;
        await exercise(node, shadow, random, 20);
        await assertClean(node);
        await node.close();
        qemuImg('check', file);
      }
    }
  }),
);

for (const [name, options] of VARIANTS.filter(([, o]) => !o.dataFile && o.preallocation === undefined)) {
  test(`qcow2, ${name}: a machine's state is its snapshot's alone, and gone without one`, needsQemu, () =>
    inScratch(async (folder) => {
      const file = path.join(folder, 'a.qcow2');
      await makeQcow2(file, { size: MIB, ...options });
      const node = await openQcow2(file);
      await node.write(4096, new Uint8Array(4096).fill(5));
      const state = Uint8Array.from({ length: 300_000 }, (_, i) => (i % 251) + 1);
      const write = async (): Promise<void> => {
        const writer = await node.snapshots.beginState(2 * state.length);
        await writer.makeRoom(state.length);
        await writer.write(5000, [state.subarray(5000, 70_000), state.subarray(70_000)]);
        await writer.write(0, [state.subarray(0, 5000)]);
      };
      // Counts of one bit can share nothing, so there are no snapshots.
      if (options.refcountBits !== 1) {
        await write();
        await createSnapshot(node, { name: 'machine', time: 1, vmStateBytes: state.length });
        await assertClean(node);
        await node.write(4096, new Uint8Array(4096).fill(6));
        await applySnapshot(node, 'machine');
        await assertClean(node);
        const back = new Uint8Array(state.length);
        await (await node.snapshots.openState('machine')).read(0, back);
        assert.deepEqual(back, state);
      } else await assert.rejects(createSnapshot(node, { name: 'none', time: 1 }), /cannot grow/);
      await write();
      await node.snapshots.dropState();
      await node.flush();
      await assertClean(node);
      await write();
      if (options.compat !== '0.10') {
        // The disk is longer then, and has nothing of the state.
        await node.truncate(8 * MIB);
        const rest = new Uint8Array(7 * MIB);
        await node.read(MIB, rest);
        assert.ok(rest.every((byte) => byte === 0));
      }
      if (options.refcountBits !== 1) await deleteSnapshot(node, 'machine');
      await node.snapshots.dropState();
      await node.close();
      qemuImg('check', file);
    }),
  );
}
