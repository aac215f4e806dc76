/**
 * How long image I/O holds up a machine's thread. Images are opened as a machine's drives are; each call of the block layer is timed,
 * and each call to the host's files that this thread makes, when it makes it by itself later, too. What counts is for how long the
 * thread slept in the kernel meanwhile: not how long it ran, nor how long it was ready to run and others had the processor. Those
 * are told, too: for all calls that took long, what most of the time went to. V8 compiles and collects garbage on this thread
 * meanwhile: where it does in others, it waits for these now and then, which is none of images' business.
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { PerformanceObserver } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import type { BlockNode, Completion } from '../src/block/node.js';
import { openImage } from '../src/block/open.js';
import { MACHINE_BLOCK_HOST } from '../src/host/node/block-host.js';
import { fileCalls } from '../src/host/node/file-calls.js';
import { loadKoffi } from '../src/host/node/koffi.js';
import { threadTimes } from './thread-times.js';

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

/** What a call that took long spent most of its time with; `asleep`: it waited in the kernel for longer than allowed. */
const CAUSES = ['ran', 'ready', 'host', 'asleep'] as const;
type Cause = (typeof CAUSES)[number];

interface Hold {
  readonly what: string;
  readonly start: number;
  readonly end: number;
  readonly ran: number;
  readonly ready: number;
  /** Ms in which the thread slept in the kernel. */
  readonly asleep: number;
  /** Ms that are none of these: the host of a virtual machine ran others. */
  readonly host: number;
}

/** Times calls on this thread. */
class Watch {
  readonly #times = threadTimes();

  time<T>(what: string, into: Hold[], call: () => T): T {
    const before = this.#times();
    const start = performance.now();
    try {
      return call();
    } finally {
      const end = performance.now();
      const after = this.#times();
      const ran = after.ran - before.ran;
      const ready = after.ready - before.ready;
      const rest = Math.max(0, end - start - ran - ready);
      const slept = after.sleeps > before.sleeps;
      into.push({ what, start, end, ran, ready, asleep: slept ? rest : 0, host: slept ? 0 : rest });
    }
  }
}

function causeOf(hold: Hold): Cause {
  if (hold.asleep > MOST_MS) return 'asleep';
  return (['ran', 'ready', 'host'] as const).reduce((most, cause) => (hold[cause] > hold[most] ? cause : most));
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
async function measure(folder: string): Promise<boolean> {
  // The JavaScript engine may wait for its own threads then.
  const collections: { readonly from: number; readonly to: number }[] = [];
  const observer = new PerformanceObserver((list) => {
    for (const { startTime, duration } of list.getEntries())
      collections.push({ from: startTime, to: startTime + duration });
  });
  observer.observe({ entryTypes: ['gc'] });
  console.log(
    `\nImages in ${folder}, requests of 4 KiB to 1 MiB, up to ${DEPTH} under way: calls of the block layer, and to files that the machine's thread\n` +
      `makes: how many; the longest, ms; the longest sleep, ms; how many took over ${MOST_MS} ms, and of these: the thread ran most of the time, it was ready and\n` +
      `others ran, a virtual machine's host ran others, it slept for over ${MOST_MS} ms, of these while V8 collected garbage`,
  );
  const waits = { layer: 0, files: 0 };
  const all = { layer: { calls: 0, long: 0 }, files: { calls: 0, long: 0 } };
  for (const format of ['raw', 'qcow2'] as const) {
    const name = makeImage(folder, format);
    for (const load of WORKLOADS) {
      evict(name);
      const node = await openImage(MACHINE_BLOCK_HOST, { file: name, format, beside: true });
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
        const long = holds.filter((hold) => hold.end - hold.start > MOST_MS);
        const slept = long.filter((hold) => causeOf(hold) === 'asleep');
        const collecting = slept.filter(({ start, end }) => collections.some((c) => c.from < end && c.to > start));
        waits[kind] += slept.length - collecting.length;
        all[kind].calls += holds.length;
        all[kind].long += long.length;
        const counts = CAUSES.map((cause) => long.filter((hold) => causeOf(hold) === cause).length);
        const most = (of: (hold: Hold) => number): string =>
          holds
            .reduce((longest, hold) => Math.max(longest, of(hold)), 0)
            .toFixed(3)
            .padStart(8);
        const numbers = [long.length, ...counts, collecting.length].map((n) => String(n).padStart(4)).join('');
        const which = [...new Set(slept.map((hold) => hold.what))].join(', ');
        console.log(
          `${what.padEnd(44)}${String(holds.length).padStart(6)} ${most(({ start, end }) => end - start)} ${most(({ asleep }) => asleep)} ${numbers}  ${which}`,
        );
      }
    }
  }
  observer.disconnect();
  fs.rmSync(folder, { recursive: true });
  const verdict = (kind: 'layer' | 'files'): string =>
    `${waits[kind] === 0 ? 'never' : `${waits[kind]} times`} (${all[kind].calls} calls, ${all[kind].long} took longer)`;
  console.log(
    `The machine's thread slept for more than ${MOST_MS} ms in a call to a file: ${verdict('files')}; in a call of the block layer: ${verdict('layer')}.`,
  );
  return waits.files === 0 && waits.layer === 0;
}

const V8_ON_ONE_THREAD = ['--single-threaded-gc', '--no-concurrent-recompilation'];

/** Gives whether nothing waited for longer than a millisecond. */
export function measureStalls(folder: string): boolean {
  const { status } = spawnSync(process.execPath, [...V8_ON_ONE_THREAD, fileURLToPath(import.meta.url), folder], {
    stdio: 'inherit',
  });
  return status === 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = (await measure(process.argv[2]!)) ? 0 : 1;
