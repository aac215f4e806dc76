/**
 * How long image I/O holds up a machine's thread. Images are opened as a machine's drives are; each call of the block layer is timed,
 * and each call to the host's files that this thread makes, when it makes it by itself later, too. What counts is for how long the
 * thread slept in the kernel meanwhile: not how long it ran, nor how long it was ready to run and others had the processor.
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { PerformanceObserver } from 'node:perf_hooks';
import { UserError } from '../src/base/errors.js';
import type { BlockNode, Completion } from '../src/block/node.js';
import { openImage } from '../src/block/open.js';
import { NODE_BLOCK_HOST } from '../src/host/node/block-host.js';
import { fileCalls } from '../src/host/node/file-calls.js';
import { loadKoffi } from '../src/host/node/koffi.js';

const MOST_MS = 1;
const BYTES = 256 << 20;
const REQUESTS = 5000;
const SIZES = [4096, 4096, 4096, 16384, 65536, 262144, 1 << 20] as const;
const ALIGN = 4096;
const DEPTH = 8;
/** Between two flushes, of which each has requests after it. */
const FLUSH_EVERY = 50;
/** The host's events are seen to after so many requests, however many of them wait. */
const TURN_EVERY = 16;
/** For threads that are slow: each answer waits for one of them to be free. */
const SLOW_MS = 20;
const SLOW_REQUESTS = 400;
/** As many as libuv has. */
const HOST_THREADS = 4;

/** Of this thread so far, in ms. */
interface Thread {
  /** It ran. */
  readonly ran: number;
  /** It was ready to run, and others had the processor. */
  readonly ready: number;
}

const CLOCK_THREAD_CPUTIME_ID = 3;

function thisThread(): () => Thread {
  const koffi = process.platform === 'linux' ? loadKoffi() : null;
  if (!koffi || !fs.existsSync('/proc/thread-self/schedstat')) {
    throw new UserError('stalls need Linux with statistics of its scheduler, and the package koffi');
  }
  const clockGettime = koffi.load('libc.so.6').func('int clock_gettime(int, void *)') as unknown as (
    clock: number,
    time: BigInt64Array,
  ) => number;
  const time = new BigInt64Array(2);
  const schedstat = fs.openSync('/proc/thread-self/schedstat', 'r');
  const buffer = Buffer.alloc(256);
  const read = fs.readSync;
  return () => {
    clockGettime(CLOCK_THREAD_CPUTIME_ID, time);
    const ran = Number(time[0]) * 1000 + Number(time[1]) / 1e6;
    const text = buffer.toString('latin1', 0, read(schedstat, buffer, 0, buffer.length, 0));
    return { ran, ready: Number(text.split(' ')[1]) / 1e6 };
  };
}

interface Hold {
  readonly what: string;
  readonly start: number;
  readonly end: number;
  /** Ms in which the thread slept in the kernel. */
  readonly asleep: number;
}

/** Times calls on this thread. */
class Watch {
  readonly #thread = thisThread();

  time<T>(what: string, into: Hold[], call: () => T): T {
    const before = this.#thread();
    const start = performance.now();
    try {
      return call();
    } finally {
      const end = performance.now();
      const after = this.#thread();
      const asleep = Math.max(0, end - start - (after.ran - before.ran) - (after.ready - before.ready));
      into.push({ what, start, end, asleep });
    }
  }
}

type Method = (...args: never[]) => unknown;
const NODE_CALLS = ['readSync', 'writeSync', 'ftruncateSync', 'fstatSync', 'fdatasyncSync', 'fsyncSync'] as const;

/** Has every call to files that this thread makes timed, until what it gives is called. */
function watchFiles(watch: Watch, into: Hold[]): () => void {
  const restore: (() => void)[] = [];
  const wrap = (object: object, name: string): void => {
    const methods = object as Record<string, Method>;
    const original = methods[name]!;
    methods[name] = (...args) => watch.time(name, into, () => original.apply(object, args));
    restore.push(() => {
      methods[name] = original;
    });
  };
  for (const name of NODE_CALLS) wrap(fs, name);
  const calls = fileCalls() ?? {};
  for (const name of Object.keys(calls)) if (!name.endsWith('Beside')) wrap(calls, name);
  return () => {
    for (const undo of restore) undo();
  };
}

/** Keeps all threads of libuv waiting, so that whatever is handed to them takes long; null where it cannot be done. */
function slowThreads(): (() => Promise<void>) | null {
  const koffi = process.platform === 'linux' ? loadKoffi() : null;
  if (!koffi) return null;
  const usleep = koffi.load('libc.so.6').func('int usleep(uint32_t)') as unknown as {
    async(us: number, done: () => void): void;
  };
  let ended = false;
  const lane = (): Promise<void> =>
    new Promise((resolve) => {
      const again = (): void => (ended ? resolve() : usleep.async(SLOW_MS * 1000, again));
      again();
    });
  const lanes = Array.from({ length: HOST_THREADS }, lane);
  return async () => {
    ended = true;
    await Promise.all(lanes);
  };
}

interface Workload {
  readonly name: string;
  readonly reads: boolean;
  readonly writes: boolean;
  /** Discards and zeroes, too. */
  readonly changes?: boolean;
  readonly slow?: boolean;
}

const WORKLOADS: readonly Workload[] = [
  { name: 'reads', reads: true, writes: false },
  { name: 'reads, writes, flushes', reads: true, writes: true },
  { name: 'writes, discards, zeroes, flushes', reads: false, writes: true, changes: true },
  { name: 'all of it, the host’s threads slow', reads: true, writes: true, changes: true, slow: true },
];

async function run(node: BlockNode, load: Workload, watch: Watch, into: Hold[]): Promise<void> {
  const buffer = new Uint8Array(new SharedArrayBuffer(Math.max(...SIZES)));
  let state = 1;
  const random = (below: number): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const underWay = new Set<Promise<void>>();
  const issue = (what: string, call: () => Completion): void => {
    const done = watch.time(what, into, call);
    if (!done) return;
    const ended: Promise<void> = done.finally(() => underWay.delete(ended));
    underWay.add(ended);
  };
  const requests = load.slow ? SLOW_REQUESTS : REQUESTS;
  for (let i = 0; i < requests; i++) {
    const size = SIZES[random(SIZES.length)]!;
    const offset = random((BYTES - size) / ALIGN) * ALIGN;
    const kind = random(10);
    const bytes = buffer.subarray(0, size);
    if (load.changes && kind === 0) issue('discard', () => node.discard(offset, size));
    else if (load.changes && kind === 1) issue('zero', () => node.writeZeroes(offset, size, true));
    else if (load.writes && (!load.reads || kind < 6)) issue('write', () => node.write(offset, bytes));
    else issue('read', () => node.read(offset, bytes));
    if (load.writes && i % FLUSH_EVERY === 0) issue('flush', () => node.flush());
    while (underWay.size >= DEPTH) await Promise.race(underWay);
    if (i % TURN_EVERY === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await Promise.all(underWay);
}

function evict(name: string): void {
  const dd = spawnSync('dd', [`of=${name}`, 'oflag=nocache', 'conv=notrunc,fdatasync', 'count=0'], { stdio: 'ignore' });
  if (dd.status !== 0) throw new Error(`dd cannot empty the page cache of ${name}`);
}

function makeImage(folder: string, format: 'raw' | 'qcow2'): string {
  const raw = path.join(folder, 'raw');
  if (!fs.existsSync(raw)) {
    fs.writeFileSync(raw, '');
    const fill = Buffer.alloc(1 << 20, 'tinamou ');
    for (let at = 0; at < BYTES; at += fill.length) fs.appendFileSync(raw, fill);
  }
  if (format === 'raw') return raw;
  // Half of it is there, the other half is to be allocated.
  const qcow2 = path.join(folder, 'qcow2');
  fs.truncateSync(raw, BYTES / 2);
  for (const args of [
    ['convert', '-O', 'qcow2', raw, qcow2],
    ['resize', '-q', qcow2, String(BYTES)],
  ]) {
    const { status, stderr } = spawnSync('qemu-img', args, { encoding: 'utf8' });
    if (status !== 0) throw new Error(`qemu-img ${args[0]}: ${stderr}`);
  }
  return qcow2;
}

/** Gives whether nothing waited for longer than a millisecond. */
export async function measureStalls(folder: string): Promise<boolean> {
  // The JavaScript engine waits for its own threads then, for long where others have the processors.
  const collections: { readonly from: number; readonly to: number }[] = [];
  const observer = new PerformanceObserver((list) => {
    for (const { startTime, duration } of list.getEntries())
      collections.push({ from: startTime, to: startTime + duration });
  });
  observer.observe({ entryTypes: ['gc'] });
  console.log(
    `\nImages in ${folder}, requests of 4 KiB to 1 MiB, up to ${DEPTH} under way: calls of the block layer, and to files that the machine's thread\n` +
      `makes: how many; ms that the thread slept in one, 99.9 % and longest; how many over ${MOST_MS} ms; of those while V8 collected garbage`,
  );
  const waits = { layer: 0, files: 0 };
  for (const format of ['raw', 'qcow2'] as const) {
    const name = makeImage(folder, format);
    for (const load of WORKLOADS) {
      evict(name);
      const node = await openImage(NODE_BLOCK_HOST, { file: name, format, beside: true });
      const watch = new Watch();
      const layer: Hold[] = [];
      const files: Hold[] = [];
      const swift = load.slow ? slowThreads() : undefined;
      if (swift === null) continue;
      const unwatch = watchFiles(watch, files);
      try {
        await run(node, load, watch, layer);
      } finally {
        unwatch();
        await swift?.();
      }
      await node.close();
      await new Promise((resolve) => setImmediate(resolve));
      for (const [kind, what, holds] of [
        ['layer', `${format}: ${load.name}`, layer],
        ['files', '  files', files],
      ] as const) {
        const long = holds.filter(({ asleep }) => asleep > MOST_MS);
        const collecting = long.filter(({ start, end }) => collections.some((c) => c.from < end && c.to > start));
        waits[kind] += long.length - collecting.length;
        const times = holds.map(({ asleep }) => asleep).sort((a, b) => a - b);
        const at = (part: number): string => (times[Math.ceil(part * times.length) - 1] ?? 0).toFixed(3);
        const which = [...new Set(long.map((hold) => hold.what))].join(', ');
        console.log(
          `${what.padEnd(44)}${String(times.length).padStart(6)} ${at(0.999).padStart(8)} ${at(1).padStart(8)}  ${long.length}  ${collecting.length}  ${which}`,
        );
      }
    }
  }
  observer.disconnect();
  fs.rmSync(folder, { recursive: true });
  const verdict = (n: number): string => (n === 0 ? 'never' : `${n} times`);
  console.log(
    `The machine's thread slept for more than ${MOST_MS} ms in a call to a file: ${verdict(waits.files)}; in a call of the block layer: ${verdict(waits.layer)}\n` +
      `(where not in one to a file, while it handed a request to the host's threads: the C library waits there for those that it woke before,\n` +
      'and on a busy host they wait for a processor).',
  );
  return waits.files === 0 && waits.layer === 0;
}
