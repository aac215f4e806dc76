/** A thread that runs one vCPU until the guest halts, and tells the exits that it saw. */
import { parentPort, workerData } from 'node:worker_threads';
import { Exit } from '../../src/accel/kvm/abi.js';
import { KvmVcpu } from '../../src/accel/kvm/vcpu.js';
import { linuxCalls } from '../../src/host/node/kvm/linux.js';

export interface RunWorkerData {
  readonly fd: number;
  readonly runBytes: number;
  readonly id: number;
  /** [0]: 1 when about to run; [1]: the thread's number; [2]: interruptions so far; [3]: stop at the next one. */
  readonly shared: SharedArrayBuffer;
}

const { fd, runBytes, id, shared } = workerData as RunWorkerData;
const calls = linuxCalls();
const words = new Int32Array(shared);
const vcpu = new KvmVcpu(calls, fd, runBytes, id);
Atomics.store(words, 1, calls.threadId());
Atomics.store(words, 0, 1);
Atomics.notify(words, 0);
let last = '';
for (;;) {
  if (vcpu.run() === Exit.interrupted) {
    vcpu.setImmediateExit(false);
    Atomics.add(words, 2, 1);
    Atomics.notify(words, 2);
    if (Atomics.load(words, 3) === 1) break;
    continue;
  }
  last = vcpu.exit().reason;
  if (last === 'hlt') break;
}
vcpu.detach();
parentPort!.postMessage(last);
