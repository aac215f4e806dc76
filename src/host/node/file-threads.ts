// hot path
/**
 * Threads of our own for calls to files that may take long. Who hands a call to Node.js's pool waits in the C library until threads that it
 * woke before have had a processor (`pthread_cond_signal`), for many milliseconds on a busy host, and who hears from the pool, or gets a
 * message of a worker, waits for the mutex that the other thread still holds; so does who calls `Atomics.notify`. These threads take calls
 * out of shared memory (file-threads-worker.ts), sleep in system calls, and tell by a socket that some have ended: the kernel's locks
 * of both are held by nobody who has no processor.
 */
import net from 'node:net';
import { getSystemErrorMap } from 'node:util';
import { Worker } from 'node:worker_threads';
import { type LongCalls, POOL_CALLS } from './file-pool.js';
import { type Koffi, loadKoffi } from './koffi.js';
import { packageFile } from './package-files.js';

/** As many as Node.js's pool has. */
const MOST_THREADS = 4;

/**
 * What is shared. `words`: `tail` counts calls handed over, `head` those taken, `ended` those that have ended, `idle` threads that sleep until
 * `tail` changes; `told`: a byte that says that something has ended is on its way; `stop`: the program ends; `loading` threads that load koffi or ask it for functions.
 * A call is a slot: its fields in `slots`; `calls` and `done` are rings of slots handed over, and of slots that have ended, plus 1.
 */
export class Shared {
  static readonly SLOTS = 256;
  static readonly FIELDS = 6;
  readonly words: Int32Array;
  readonly calls: Int32Array;
  readonly done: Int32Array;
  readonly slots: Float64Array;

  constructor(readonly buffer = new SharedArrayBuffer(32 + Shared.SLOTS * (8 + 8 * Shared.FIELDS))) {
    const { SLOTS, FIELDS } = Shared;
    this.words = new Int32Array(buffer, 0, 8);
    this.slots = new Float64Array(buffer, 32, SLOTS * FIELDS);
    this.calls = new Int32Array(buffer, 32 + 8 * SLOTS * FIELDS, SLOTS);
    this.done = new Int32Array(buffer, 32 + 8 * SLOTS * FIELDS + 4 * SLOTS, SLOTS);
  }
}

export const Word = { tail: 0, head: 1, ended: 2, idle: 3, told: 4, stop: 5, loading: 6 } as const;
/** `result`: as the C library's call gives it, or a negative error number. */
export const Field = { operation: 0, fd: 1, offset: 2, length: 3, address: 4, result: 5 } as const;
export const Operation = { read: 0, write: 1, flush: 2, punchHole: 3, zeroRange: 4 } as const;

/** Of the first word. */
export interface Futex {
  /** Sleeps while the word is `value`. */
  wait(value: number): void;
  /** Wakes as many that sleep. */
  wake(most: number): void;
}

const FUTEX: { readonly [arch: string]: number } = { x64: 202, arm64: 98 };
const FUTEX_WAIT_PRIVATE = 128;
const FUTEX_WAKE_PRIVATE = 129;

/** Null on processors of whose system calls we do not know the numbers. */
export function futexOf(koffi: Koffi, shared: Shared): Futex | null {
  const number = FUTEX[process.arch];
  if (number === undefined) return null;
  const syscall = koffi.load('libc.so.6').func('long syscall(long, void *, int, uint32_t, void *)') as unknown as (
    number: number,
    address: bigint,
    operation: number,
    value: number,
    time: null,
  ) => number;
  const address = koffi.address(shared.words);
  return {
    wait: (value) => {
      syscall(number, address, FUTEX_WAIT_PRIVATE, value >>> 0, null);
    },
    wake: (most) => {
      syscall(number, address, FUTEX_WAKE_PRIVATE, most, null);
    },
  };
}

export interface WorkerData {
  readonly shared: SharedArrayBuffer;
  /** The socket. */
  readonly tell: number;
}

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;

type SocketPair = readonly [number, number];

/** Null where the program may open no more files. */
function socketPair(koffi: Koffi): SocketPair | null {
  const ends = new Int32Array(2);
  const socketpair = koffi.load('libc.so.6').func('int socketpair(int, int, int, void *)');
  const failed = socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) !== 0;
  return failed ? null : [ends[0]!, ends[1]!];
}

interface Call {
  readonly operation: number;
  readonly fd: number;
  readonly offset: number;
  readonly length: number;
  /** Stays where it is while a thread uses it. */
  readonly buffer: Uint8Array | undefined;
  resolve(result: number): void;
  reject(error: Error): void;
}

/**
 * A process that ends while a thread loads a native module, or asks koffi for functions, ends with that module's fatal error. A thread
 * that would begin after the program began to end does not: undefined.
 */
export function whileLoading<T>(shared: Shared, load: () => T): T | undefined {
  const { words } = shared;
  Atomics.add(words, Word.loading, 1);
  try {
    return Atomics.load(words, Word.stop) === 0 ? load() : undefined;
  } finally {
    Atomics.sub(words, Word.loading, 1);
    Atomics.notify(words, Word.loading);
  }
}

/** Until no thread loads; `stop` is set. */
function awaitLoading({ words }: Shared): void {
  for (;;) {
    const loading = Atomics.load(words, Word.loading);
    if (loading === 0) return;
    Atomics.wait(words, Word.loading, loading);
  }
}

class FileThreads implements LongCalls {
  readonly #free = Array.from({ length: Shared.SLOTS }, (_, slot) => slot);
  readonly #underWay: (Call | undefined)[] = [];
  /** For want of a slot. */
  #queue: Call[] = [];
  #threads = 0;
  #starting = false;
  #tail = 0;
  #ended = 0;
  readonly #tell: number;
  readonly #heard: net.Socket;

  constructor(
    private readonly koffi: Koffi,
    private readonly shared: Shared,
    private readonly futex: Futex,
    ends: SocketPair,
  ) {
    this.#tell = ends[1];
    const callback = (): boolean => {
      this.#collect();
      return true;
    };
    const onread: net.OnReadOpts = { buffer: new Uint8Array(64), callback };
    // Node.js's types know of `onread` where a socket connects only.
    this.#heard = new net.Socket({ fd: ends[0], readable: true, onread } as net.SocketConstructorOpts);
    this.#heard.unref();
    // Node.js waits for its threads before it ends, and cannot make one return from a system call.
    process.on('exit', () => {
      Atomics.store(shared.words, Word.stop, 1);
      Atomics.add(shared.words, Word.tail, 1);
      futex.wake(MOST_THREADS);
      awaitLoading(shared);
    });
  }

  get #calls(): number {
    return Shared.SLOTS - this.#free.length;
  }

  /** Starts a thread, which takes a while, when the caller is done. */
  #start(): void {
    this.#starting = true;
    setImmediate(() => {
      // What the program was started with (`-e`, loaders) is not meant for this thread.
      const worker = new Worker(packageFile('dist/commands/file-threads-worker.cjs'), {
        execArgv: [],
        workerData: { shared: this.shared.buffer, tell: this.#tell } satisfies WorkerData,
      });
      worker.unref();
      let begun = false;
      worker.once('message', () => {
        begun = true;
        this.#starting = false;
        this.#threads++;
        // Node.js has it keep the program running once more since it has begun.
        worker.unref();
      });
      // One that cannot start is done without, and so are more: `#starting` stays as it is.
      worker.on('error', (error) => {
        if (begun) this.#giveUp(error);
      });
    }).unref();
  }

  /** Without its threads the pool has to do. What is under way stays known: another thread may still use its buffer. */
  #giveUp(error: Error): void {
    this.#starting = true;
    this.#threads = 0;
    this.#heard.unref();
    for (const call of [...this.#underWay, ...this.#queue]) call?.reject(error);
    this.#queue = [];
  }

  /** Whether there are threads; another one is started when all have something to do. */
  #there(): boolean {
    if (this.#calls >= this.#threads && this.#threads < MOST_THREADS && !this.#starting) this.#start();
    return this.#threads > 0;
  }

  #ask(operation: number, fd: number, offset: number, length: number, buffer?: Uint8Array): Promise<number> {
    return new Promise((resolve, reject) => {
      const call = { operation, fd, offset, length, buffer, resolve, reject };
      if (this.#free.length === 0) this.#queue.push(call);
      else this.#handOver(call);
    });
  }

  #handOver(call: Call): void {
    if (this.#calls === 0) this.#heard.ref();
    const { words, calls, slots } = this.shared;
    const slot = this.#free.pop()!;
    this.#underWay[slot] = call;
    const at = slot * Shared.FIELDS;
    slots[at + Field.operation] = call.operation;
    slots[at + Field.fd] = call.fd;
    slots[at + Field.offset] = call.offset;
    slots[at + Field.length] = call.length;
    slots[at + Field.address] = call.buffer === undefined ? 0 : Number(this.koffi.address(call.buffer));
    calls[this.#tail & (Shared.SLOTS - 1)] = slot;
    this.#tail = (this.#tail + 1) | 0;
    Atomics.store(words, Word.tail, this.#tail);
    if (Atomics.load(words, Word.idle) > 0) this.futex.wake(1);
  }

  /** What has ended. */
  #collect(): void {
    const { words, done, slots } = this.shared;
    Atomics.store(words, Word.told, 0);
    for (;;) {
      const at = this.#ended & (Shared.SLOTS - 1);
      const slot = Atomics.load(done, at) - 1;
      const call = this.#underWay[slot];
      if (call === undefined) return;
      Atomics.store(done, at, 0);
      this.#ended = (this.#ended + 1) | 0;
      this.#underWay[slot] = undefined;
      this.#free.push(slot);
      const result = slots[slot * Shared.FIELDS + Field.result]!;
      if (result >= 0) call.resolve(result);
      else call.reject(failure(result));
      const next = this.#queue.shift();
      if (next !== undefined) this.#handOver(next);
      if (this.#calls === 0) this.#heard.unref();
    }
  }

  read(fd: number, buffer: Uint8Array, offset: number): Promise<number> {
    if (!this.#there()) return POOL_CALLS.read(fd, buffer, offset);
    return this.#ask(Operation.read, fd, offset, buffer.length, buffer);
  }

  write(fd: number, buffer: Uint8Array, offset: number): Promise<number> {
    if (!this.#there()) return POOL_CALLS.write(fd, buffer, offset);
    return this.#ask(Operation.write, fd, offset, buffer.length, buffer);
  }

  async flush(fd: number): Promise<void> {
    if (!this.#there()) return POOL_CALLS.flush(fd);
    await this.#ask(Operation.flush, fd, 0, 0);
  }

  async punchHole(fd: number, offset: number, length: number): Promise<boolean> {
    if (!this.#there()) return POOL_CALLS.punchHole(fd, offset, length);
    return (await this.#ask(Operation.punchHole, fd, offset, length)) === 1;
  }

  async zeroRange(fd: number, offset: number, length: number): Promise<boolean> {
    if (!this.#there()) return POOL_CALLS.zeroRange(fd, offset, length);
    return (await this.#ask(Operation.zeroRange, fd, offset, length)) === 1;
  }
}

function failure(result: number): Error {
  const [code, message] = getSystemErrorMap().get(result) ?? ['EIO', `error ${-result}`];
  return Object.assign(new Error(message), { code });
}

let threads: LongCalls | undefined;

/** By threads of our own, where the host has koffi, without which they could reach neither files nor the caller's memory. */
export function fileThreads(): LongCalls {
  threads ??= newThreads() ?? POOL_CALLS;
  return threads;
}

function newThreads(): LongCalls | null {
  const koffi = process.platform === 'linux' ? loadKoffi() : null;
  if (!koffi) return null;
  const shared = new Shared();
  const futex = futexOf(koffi, shared);
  const ends = futex && socketPair(koffi);
  return ends && new FileThreads(koffi, shared, futex, ends);
}
