/** Where this thread's time went, as Linux accounts for it. */
import fs from 'node:fs';
import { UserError } from '../src/base/errors.js';
import { loadKoffi } from '../src/host/node/koffi.js';

/** Of this thread so far, in ms. */
export interface ThreadTimes {
  /** It ran. */
  readonly ran: number;
  /** It was ready to run, and others had the processor. */
  readonly ready: number;
  /** How often it gave the processor away to wait for something in the kernel. */
  readonly sleeps: number;
}

const CLOCK_THREAD_CPUTIME_ID = 3;
const RUSAGE_THREAD = 1;
/** struct rusage on 64-bit Linux, in words. */
const RUSAGE_WORDS = 18;
const RU_NVCSW = 16;

/** Gives what reads them, in some microseconds. */
export function threadTimes(): () => ThreadTimes {
  const koffi = process.platform === 'linux' ? loadKoffi() : null;
  if (!koffi || !fs.existsSync('/proc/thread-self/schedstat')) {
    throw new UserError('stalls need Linux with statistics of its scheduler, and the package koffi');
  }
  const libc = koffi.load('libc.so.6');
  type Call = (what: number, into: BigInt64Array) => number;
  const clockGettime = libc.func('int clock_gettime(int, void *)') as unknown as Call;
  const getrusage = libc.func('int getrusage(int, void *)') as unknown as Call;
  const time = new BigInt64Array(2);
  const usage = new BigInt64Array(RUSAGE_WORDS);
  const schedstat = fs.openSync('/proc/thread-self/schedstat', 'r');
  const buffer = Buffer.alloc(256);
  // Before anybody times it.
  const read = fs.readSync;
  return () => {
    getrusage(RUSAGE_THREAD, usage);
    clockGettime(CLOCK_THREAD_CPUTIME_ID, time);
    const ran = Number(time[0]) * 1000 + Number(time[1]) / 1e6;
    const text = buffer.toString('latin1', 0, read(schedstat, buffer, 0, buffer.length, 0));
    return { ran, ready: Number(text.split(' ')[1]) / 1e6, sleeps: Number(usage[RU_NVCSW]) };
  };
}
