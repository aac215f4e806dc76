/** What the tests of images share: a scratch folder, qemu-img, random operations with a shadow in memory. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { BlockNode } from '../../src/block/node.js';
import { type OpenOptions, openImage } from '../../src/block/open.js';
import { createQcow2, type Qcow2CreateOptions } from '../../src/block/qcow2/create.js';
import { NODE_BLOCK_HOST } from '../../src/host/node/block-host.js';
import { FileNode } from '../../src/host/node/file.js';

export const hasQemu = spawnSync('qemu-img', ['--version']).error === undefined;
export const needsQemu = { skip: hasQemu ? false : 'qemu-img is not installed' };

/** Files in memory are flushed at once. */
const SHARED_MEMORY = '/dev/shm';

export async function inScratch(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = fs.mkdtempSync(
    path.join(fs.existsSync(SHARED_MEMORY) ? SHARED_MEMORY : os.tmpdir(), 'tinamou-block-'),
  );
  try {
    await run(folder);
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}

export function qemuImg(...args: string[]): string {
  const { status, stdout, stderr } = spawnSync('qemu-img', args, { encoding: 'utf8' });
  assert.equal(status, 0, `qemu-img ${args.join(' ')}: ${stderr}${stdout}`);
  return stdout;
}

export function qemuIo(file: string, format: string, ...commands: string[]): string {
  const args = ['-f', format, ...commands.flatMap((c) => ['-c', c]), file];
  const { status, stdout, stderr } = spawnSync('qemu-io', args, { encoding: 'utf8' });
  assert.equal(status, 0, `qemu-io ${args.join(' ')}: ${stderr}${stdout}`);
  return stdout;
}

/** Without flushes: they cost the tests most of their time. */
export const open = (file: string, options: Partial<OpenOptions> = {}): Promise<BlockNode> =>
  openImage(NODE_BLOCK_HOST, { file, cache: 'unsafe', ...options });

export async function makeQcow2(file: string, options: Qcow2CreateOptions): Promise<void> {
  const node = FileNode.create(file);
  const data = options.dataFile === undefined ? null : FileNode.create(options.dataFile);
  await createQcow2(node, data, NODE_BLOCK_HOST, options);
  await node.close();
  await data?.close();
}

/** A generator whose numbers depend on the seed alone. */
export function randomizer(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** So many random operations on a node and on its shadow; each read is compared. */
export async function exercise(
  node: BlockNode,
  shadow: Uint8Array,
  random: (below: number) => number,
  operations: number,
  most = 200_000,
): Promise<void> {
  const size = shadow.length;
  for (let i = 0; i < operations; i++) {
    const offset = random(size / 512) * 512;
    const length = Math.min(size - offset, (1 + random(random(4) === 0 ? most / 512 : 16)) * 512);
    switch (random(8)) {
      case 0:
        await node.writeZeroes(offset, length, random(2) === 0);
        shadow.fill(0, offset, offset + length);
        break;
      case 1: {
        // What is discarded may read as anything; afterwards it is what the image says.
        await node.discard(offset, length);
        await node.read(offset, shadow.subarray(offset, offset + length));
        break;
      }
      case 2:
        await node.flush();
        break;
      case 3:
      case 4: {
        const into = new Uint8Array(length);
        await node.read(offset, into);
        const same = Buffer.compare(into, shadow.subarray(offset, offset + length)) === 0;
        assert.ok(same, `operation ${i}: read of ${length} bytes at ${offset}`);
        break;
      }
      default: {
        const data = new Uint8Array(length).fill(1 + random(255));
        data[0] = i;
        shadow.set(data, offset);
        await node.write(offset, data);
      }
    }
  }
  const all = new Uint8Array(size);
  await node.read(0, all);
  assert.equal(Buffer.compare(all, shadow), 0, 'the whole disk');
}
