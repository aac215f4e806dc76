/** A thread that kicks another one out of KVM_RUN again and again while it is told to. */
import { workerData } from 'node:worker_threads';
import { linuxCalls } from '../../src/host/node/kvm/linux.js';

export interface KickWorkerData {
  readonly thread: number;
  /** [0]: 1 while kicks are wanted; [1]: how many there were. */
  readonly shared: SharedArrayBuffer;
}

const KICK_MS = 20;
const { thread, shared } = workerData as KickWorkerData;
const calls = linuxCalls();
const words = new Int32Array(shared);
for (;;) {
  Atomics.wait(words, 0, 0);
  if (Atomics.wait(words, 0, 1, KICK_MS) !== 'timed-out') continue;
  Atomics.add(words, 1, 1);
  calls.interruptThread(thread);
}
