/** Images made to do harm: good ones with bytes changed. They may be refused or read as nonsense, but nothing worse. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { UserError } from '../../src/base/errors.js';
import type { FormatNode } from '../../src/block/format.js';
import { MemoryNode } from '../../src/block/memory.js';
import { openImage } from '../../src/block/open.js';
import { createQcow2 } from '../../src/block/qcow2/create.js';
import { NODE_CODECS } from '../../src/host/node/block-host.js';
import { inScratch, needsQemu, qemuImg, qemuIo, randomizer } from './support.js';

/** Images made of each good one; TINAMOU_ROUNDS asks for more. */
const ROUNDS = Number(process.env['TINAMOU_ROUNDS'] ?? 150);
/** Longest that one broken image may keep a processor busy; hosts may have much else to do. */
const PATIENCE_US = 30_000_000;

async function use(bytes: Uint8Array, format: string): Promise<void> {
  const file = MemoryNode.of(bytes);
  file.close = () => undefined;
  const attempt = async (what: () => Promise<unknown>): Promise<void> => {
    try {
      await what();
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
    }
  };
  for (const readOnly of [true, false]) {
    await attempt(async () => {
      const node: FormatNode = await openImage(
        { openFile: () => file, codecs: NODE_CODECS },
        { file: 'hostile', format, readOnly, noBacking: true },
      );
      assert.ok(Number.isSafeInteger(node.length) && node.length >= 0);
      const into = new Uint8Array(70_000);
      const end = Math.max(0, node.length - into.length);
      await attempt(async () => node.info?.());
      for (const offset of [0, 65536, Math.floor(end / 2 / 512) * 512, end]) {
        if (offset >= node.length) continue;
        const length = Math.min(into.length, node.length - offset);
        await attempt(async () => node.read(offset, into.subarray(0, length)));
        await attempt(async () => node.status(offset, length));
        if (!readOnly) {
          await attempt(async () => node.write(offset, into.subarray(0, Math.min(4096, length))));
          await attempt(async () => node.writeZeroes(offset, length, true));
          await attempt(async () => node.flush());
        }
      }
      await attempt(async () => node.snapshots?.list());
      await attempt(async () => node.check?.(readOnly ? null : { leaks: true, errors: true }));
      await node.close();
    });
  }
}

const SEEDS: readonly (readonly [format: string, options: string, commands: readonly string[]])[] = [
  ['qcow2', 'cluster_size=4k', ['write -P 1 0 300k', 'write -c -P 2 512k 4k', 'write -z 600k 64k']],
  ['qcow2', 'extended_l2=on,cluster_size=16k', ['write -P 1 0 100k', 'write -P 3 700k 2k']],
  ['qcow2', 'compression_type=zstd', ['write -c -P 2 0 64k', 'write -P 1 64k 64k']],
  ['vmdk', '', ['write -P 1 0 300k']],
  ['vmdk', 'subformat=streamOptimized', ['write -c -P 1 0 64k']],
  ['vdi', '', ['write -P 1 0 300k']],
  ['vhdx', '', ['write -P 1 0 300k']],
  ['vpc', '', ['write -P 1 0 300k']],
  ['qed', '', ['write -P 1 0 300k']],
  ['parallels', '', ['write -P 1 0 300k']],
];

for (const [format, options, commands] of SEEDS) {
  test(`hostile images: ${format} ${options}`, needsQemu, (t) =>
    inScratch(async (folder) => {
      const file = path.join(folder, 'a');
      qemuImg('create', '-f', format, ...(options ? ['-o', options] : []), file, '1M');
      qemuIo(file, format, ...commands);
      if (format === 'qcow2') {
        qemuImg('snapshot', '-c', 'one', file);
        qemuImg('bitmap', '--add', file, 'b');
      }
      const good = new Uint8Array(fs.readFileSync(file));
      const random = randomizer(format.length * 1000 + options.length);
      // Metadata is where bytes are not zero and not data.
      const places: number[] = [];
      for (let i = 0; i < good.length; i++) if (good[i] !== 0 && good[i] !== 1 && good[i] !== 3) places.push(i);
      for (let i = 0; i < Math.min(200, good.length); i++) places.push(i);
      for (let round = 0; round < ROUNDS; round++) {
        const bytes = good.slice(0, random(10) === 0 ? random(good.length) : good.length);
        for (let n = 1 + random(4); n > 0; n--) {
          const at = places[random(places.length)]!;
          if (at >= bytes.length) continue;
          const kind = random(4);
          if (kind === 0) bytes[at] = random(256);
          else if (kind === 1) bytes[at]! ^= 1 << random(8);
          else if (kind === 2) bytes.fill(0xff, at, at + 1 + random(8));
          else bytes.fill(0, at, at + 1 + random(8));
        }
        const started = process.cpuUsage();
        await use(bytes, format);
        const { user, system } = process.cpuUsage(started);
        assert.ok(user + system < PATIENCE_US, `round ${round} took too long`);
      }
      t.diagnostic(`${ROUNDS} images, each opened for reading and for writing`);
    }),
  );
}

test('hostile images: an entry far behind the end, written through, makes a check neither hang nor grow', async () => {
  const file = new MemoryNode(0);
  file.close = () => undefined;
  const host = { openFile: () => file, codecs: NODE_CODECS };
  await createQcow2(file, null, host, { size: 1 << 20, clusterSize: 4096 });
  const openIt = async (): Promise<FormatNode> => openImage(host, { file: 'hostile', format: 'qcow2' });
  const first = await openIt();
  await first.write(0, new Uint8Array(4096).fill(1));
  await first.close();
  // The entry of the first cluster: one that is ours alone, at 2^50.
  const header = new Uint8Array(48);
  await file.read(0, header);
  const l1 = new DataView(header.buffer).getUint32(44);
  const entry = new Uint8Array(8);
  await file.read(l1, entry);
  await file.write(new DataView(entry.buffer).getUint32(4), Uint8Array.of(0x80, 4, 0, 0, 0, 0, 0, 0));
  const node = await openIt();
  await node.write(0, new Uint8Array(4096).fill(2));
  assert.ok(file.length > 2 ** 50);
  const started = process.cpuUsage();
  await assert.rejects(async () => node.check!({ leaks: true, errors: true }), /too far behind its end to be repaired/);
  const { corruptions } = await node.check!(null);
  assert.ok(corruptions > 0);
  const { user, system } = process.cpuUsage(started);
  assert.ok(user + system < PATIENCE_US);
  await node.close();
});
