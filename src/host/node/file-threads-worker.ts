// hot path
/** A thread that makes calls to files which may take long; see file-threads.ts. */
import { constants } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { fileCalls } from './file-calls.js';
import { Field, type Futex, futexOf, Operation, Shared, Word, type WorkerData, whileLoading } from './file-threads.js';
import { type Koffi, loadKoffi } from './koffi.js';

const { EINTR, EIO } = constants.errno;
const BYTE = new Uint8Array(1);

const { shared: memory, tell } = workerData as WorkerData;
const shared = new Shared(memory);

/** Carries out the call whose fields are there: its result, or a negative error number. */
function carrier(koffi: Koffi): (at: number) => number {
  const { punchHole, zeroRange } = fileCalls()!;
  const libc = koffi.load('libc.so.6');
  type Transfer = (fd: number, address: bigint, length: number, offset: number) => number | bigint;
  const pread = libc.func('int64_t pread64(int, void *, size_t, int64_t)') as unknown as Transfer;
  const pwrite = libc.func('int64_t pwrite64(int, void *, size_t, int64_t)') as unknown as Transfer;
  const fdatasync = libc.func('int fdatasync(int)') as unknown as (fd: number) => number;
  const call = (at: number): number | bigint => {
    const { slots } = shared;
    const fd = slots[at + Field.fd]!;
    const offset = slots[at + Field.offset]!;
    const length = slots[at + Field.length]!;
    switch (slots[at + Field.operation]) {
      case Operation.read:
        return pread(fd, BigInt(slots[at + Field.address]!), length, offset);
      case Operation.write:
        return pwrite(fd, BigInt(slots[at + Field.address]!), length, offset);
      case Operation.flush:
        return fdatasync(fd);
      case Operation.punchHole:
        return punchHole(fd, offset, length) ? 1 : 0;
      default:
        return zeroRange(fd, offset, length) ? 1 : 0;
    }
  };
  return (at) => {
    try {
      for (;;) {
        const result = Number(call(at));
        if (result >= 0) return result;
        const errno = koffi.errno();
        if (errno !== EINTR) return -errno;
      }
    } catch {
      return -EIO;
    }
  };
}

interface Calls {
  readonly futex: Futex;
  carryOut(at: number): number;
  write(fd: number, bytes: Uint8Array, n: number): number;
}

function load(): Calls {
  const koffi = loadKoffi()!;
  const write = koffi.load('libc.so.6').func('int64_t write(int, void *, size_t)') as unknown as Calls['write'];
  return { futex: futexOf(koffi, shared)!, carryOut: carrier(koffi), write };
}

function work({ futex, carryOut, write }: Calls): void {
  const { words, calls, done, slots } = shared;
  const mask = Shared.SLOTS - 1;
  // It is there.
  parentPort!.postMessage(null);
  while (Atomics.load(words, Word.stop) === 0) {
    const head = Atomics.load(words, Word.head);
    if (head === Atomics.load(words, Word.tail)) {
      Atomics.add(words, Word.idle, 1);
      futex.wait(head);
      Atomics.sub(words, Word.idle, 1);
      continue;
    }
    // Before it is taken: afterwards its place may be another's already.
    const slot = calls[head & mask]!;
    if (Atomics.compareExchange(words, Word.head, head, (head + 1) | 0) !== head) continue;
    const at = slot * Shared.FIELDS;
    slots[at + Field.result] = carryOut(at);
    Atomics.store(done, Atomics.add(words, Word.ended, 1) & mask, slot + 1);
    if (Atomics.exchange(words, Word.told, 1) === 0) write(tell, BYTE, 1);
  }
}

const loaded = whileLoading(shared, load);
if (loaded) work(loaded);
