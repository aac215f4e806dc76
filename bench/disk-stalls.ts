/** How long the machine's thread is held up by reads of what is not in the host's page cache, and by writes. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { PerformanceObserver } from 'node:perf_hooks';
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

interface Thread {
  /** Ms so far in which it was ready to run, and others had the processor: that is no wait for a file. */
  readonly ready: number;
  /** How often it went to sleep. */
  readonly sleeps: number;
}

/** What the host tells of this thread; zeroes where nobody tells. */
function thisThread(): () => Thread {
  const folder = '/proc/thread-self';
  if (!fs.existsSync(`${folder}/schedstat`)) return () => ({ ready: 0, sleeps: 0 });
  const [schedstat, status] = ['schedstat', 'status'].map((name) => fs.openSync(`${folder}/${name}`, 'r')) as [
    number,
    number,
  ];
  const buffer = Buffer.alloc(4096);
  const text = (file: number): string => buffer.toString('latin1', 0, fs.readSync(file, buffer, 0, buffer.length, 0));
  return () => ({
    ready: Number(text(schedstat).split(' ')[1]) / 1e6,
    sleeps: Number(/^voluntary_ctxt_switches:\s*(\d+)/m.exec(text(status))?.[1]),
  });
}

interface Hold {
  readonly ms: number;
  readonly start: number;
  /** The call slept in the kernel. Otherwise it ran all the time, or a host below ours took the processor. */
  readonly slept: boolean;
}

/** From the shortest to the longest. */
async function holds(node: FileNode, writing: boolean, flushing: boolean): Promise<Hold[]> {
  const buffer = new Uint8Array(new SharedArrayBuffer(REQUEST_BYTES));
  const times: Hold[] = [];
  const thread = thisThread();
  let state = 1;
  for (let i = 0; i < REQUESTS; i++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    const offset = (state % (BYTES / REQUEST_BYTES)) * REQUEST_BYTES;
    const before = thread();
    const start = performance.now();
    const done = writing ? node.write(offset, buffer) : node.read(offset, buffer);
    const took = performance.now() - start;
    const after = thread();
    const ms = Math.max(0, took - (after.ready - before.ready));
    times.push({ ms, start, slept: after.sleeps > before.sleeps });
    if (done) await done;
    if (flushing && i % FLUSH_EVERY === 0) void node.flush()?.catch(() => {});
  }
  return times.sort((a, b) => a.ms - b.ms);
}

export async function measureStalls(folder: string): Promise<void> {
  // The JavaScript engine waits for its own threads then, for long where others have the processors.
  const collections: { readonly from: number; readonly to: number }[] = [];
  const observer = new PerformanceObserver((list) => {
    for (const { startTime, duration } of list.getEntries())
      collections.push({ from: startTime, to: startTime + duration });
  });
  observer.observe({ entryTypes: ['gc'] });
  const name = path.join(folder, 'cold');
  fs.writeFileSync(name, '');
  const fill = Buffer.alloc(1 << 20, 'tinamou ');
  for (let at = 0; at < BYTES; at += fill.length) fs.appendFileSync(name, fill);
  console.log(
    `\n${REQUESTS} requests of 4 KiB to ${folder}: ms that the caller waits (99.9 %, longest; how often more than 1; of those asleep, of those collecting garbage)`,
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
    const at = (part: number): string =>
      times[Math.min(times.length - 1, Math.floor(part * times.length))]!.ms.toFixed(3);
    await new Promise((resolve) => setImmediate(resolve));
    const long = times.filter(({ ms }) => ms > 1);
    const asleep = long.filter(({ slept }) => slept);
    const collecting = asleep.filter(({ start, ms }) =>
      collections.some(({ from, to }) => from < start + ms && to > start),
    );
    console.log(`${what.padEnd(44)}${at(0.999)}  ${at(1)}  ${long.length}  ${asleep.length}  ${collecting.length}`);
  }
  observer.disconnect();
  fs.rmSync(folder, { recursive: true });
}
