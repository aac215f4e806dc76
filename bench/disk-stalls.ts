/** How long the machine's thread is held up by reads of what is not in the host's page cache, and by writes. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { FileNode } from '../src/host/node/file.js';

const BYTES = 256 << 20;
const REQUESTS = 5000;
const REQUEST_BYTES = 4096;

function evict(name: string): boolean {
  const dd = spawnSync('dd', [`of=${name}`, 'oflag=nocache', 'conv=notrunc,fdatasync', 'count=0'], { stdio: 'ignore' });
  return dd.status === 0;
}

/** In ms, from the shortest to the longest. */
async function holds(node: FileNode, writing: boolean): Promise<number[]> {
  const buffer = new Uint8Array(new SharedArrayBuffer(REQUEST_BYTES));
  const times: number[] = [];
  let state = 1;
  for (let i = 0; i < REQUESTS; i++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    const offset = (state % (BYTES / REQUEST_BYTES)) * REQUEST_BYTES;
    const start = performance.now();
    const done = writing ? node.write(offset, buffer) : node.read(offset, buffer);
    times.push(performance.now() - start);
    if (done) await done;
  }
  return times.sort((a, b) => a - b);
}

export async function measureStalls(folder: string): Promise<void> {
  const name = path.join(folder, 'cold');
  fs.writeFileSync(name, '');
  const fill = Buffer.alloc(1 << 20, 'tinamou ');
  for (let at = 0; at < BYTES; at += fill.length) fs.appendFileSync(name, fill);
  console.log(`\n${REQUESTS} requests of 4 KiB to ${folder}: ms that the caller is held up (median, 99.9 %, longest)`);
  for (const [what, threads, writing] of [
    ['cold reads at once', false, false],
    ["cold reads as a machine's", true, false],
    ["writes as a machine's", true, true],
  ] as const) {
    if (!evict(name)) throw new Error(`dd cannot empty the page cache of ${name}`);
    const node = new FileNode(name, { threads });
    const times = await holds(node, writing);
    await node.close();
    const at = (part: number): string => times[Math.min(times.length - 1, Math.floor(part * times.length))]!.toFixed(3);
    console.log(`${what.padEnd(44)}${at(0.5)}  ${at(0.999)}  ${at(1)}`);
  }
  fs.rmSync(folder, { recursive: true });
}
