/** How long the machine's thread is held up by reads of what is not in the host's page cache, and by writes. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { FileNode } from '../src/host/node/file.js';

const BYTES = 256 << 20;
const REQUESTS = 5000;
const REQUEST_BYTES = 4096;
/** Of one queue, while others go on. */
const FLUSH_EVERY = 50;

function evict(name: string): boolean {
  const dd = spawnSync('dd', [`of=${name}`, 'oflag=nocache', 'conv=notrunc,fdatasync', 'count=0'], { stdio: 'ignore' });
  return dd.status === 0;
}

const SCHEDSTAT = '/proc/thread-self/schedstat';

/** Ms so far in which this thread ran or was ready to run: what others take from it is no wait for a file. 0 where nobody tells. */
function readyMs(): () => number {
  if (!fs.existsSync(SCHEDSTAT)) return () => 0;
  const file = fs.openSync(SCHEDSTAT, 'r');
  const buffer = Buffer.alloc(100);
  return () => {
    const [ran, waited] = buffer.toString('latin1', 0, fs.readSync(file, buffer, 0, buffer.length, 0)).split(' ');
    return (Number(ran) + Number(waited)) / 1e6;
  };
}

/** In ms, from the shortest to the longest. */
async function holds(node: FileNode, writing: boolean, flushing: boolean): Promise<number[]> {
  const buffer = new Uint8Array(new SharedArrayBuffer(REQUEST_BYTES));
  const times: number[] = [];
  const ready = readyMs();
  let state = 1;
  for (let i = 0; i < REQUESTS; i++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    const offset = (state % (BYTES / REQUEST_BYTES)) * REQUEST_BYTES;
    const before = ready();
    const start = performance.now();
    const done = writing ? node.write(offset, buffer) : node.read(offset, buffer);
    const took = performance.now() - start;
    times.push(Math.max(0, took - (ready() - before)));
    if (done) await done;
    if (flushing && i % FLUSH_EVERY === 0) void node.flush()?.catch(() => {});
  }
  return times.sort((a, b) => a - b);
}

export async function measureStalls(folder: string): Promise<void> {
  const name = path.join(folder, 'cold');
  fs.writeFileSync(name, '');
  const fill = Buffer.alloc(1 << 20, 'tinamou ');
  for (let at = 0; at < BYTES; at += fill.length) fs.appendFileSync(name, fill);
  console.log(
    `\n${REQUESTS} requests of 4 KiB to ${folder}: ms that the caller waits (99.9 %, longest; how often more than 1)`,
  );
  for (const [what, threads, writing, flushing] of [
    ['cold reads at once', false, false, false],
    ["cold reads as a machine's", true, false, false],
    ["writes as a machine's", true, true, false],
    ["writes as a machine's, flushes among them", true, true, true],
  ] as const) {
    if (!evict(name)) throw new Error(`dd cannot empty the page cache of ${name}`);
    const node = new FileNode(name, { threads });
    const times = await holds(node, writing, flushing);
    await node.close();
    const at = (part: number): string => times[Math.min(times.length - 1, Math.floor(part * times.length))]!.toFixed(3);
    console.log(`${what.padEnd(44)}${at(0.999)}  ${at(1)}  ${times.filter((ms) => ms > 1).length}`);
  }
  fs.rmSync(folder, { recursive: true });
}
