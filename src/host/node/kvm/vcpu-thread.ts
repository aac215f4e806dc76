/** Starts the threads of vCPUs, and waits for shared words without holding up the event loop. */
import { Worker } from 'node:worker_threads';
import type { VcpuThread } from '../../../accel/kvm/accelerator.js';
import { markEnded, type VcpuThreadData } from '../../../accel/kvm/control.js';
import { packageFile } from '../package-files.js';

/** ES2024's, which the library typings do not have yet. */
interface WaitAsync {
  waitAsync(
    words: Int32Array,
    index: number,
    value: number,
  ): { readonly async: false; readonly value: string } | { readonly async: true; readonly value: Promise<string> };
}

/** Waits for a vCPU. */
let ready: Worker | undefined;

function newThread(): Worker {
  // What the program was started with (`-e`, loaders) is not meant for this thread.
  const worker = new Worker(packageFile('dist/commands/vcpu-worker.cjs'), { execArgv: [] });
  worker.unref();
  return worker;
}

/** A thread takes about as long to start as a machine to be put together: the first can be there when it is. */
export function prepareVcpuThread(): void {
  ready ??= newThread();
}

/** The command has started one before anything else (bin/command.js). */
export function giveVcpuThread(worker: Worker): void {
  ready = worker;
}

/** No vCPU is to have a thread. */
export function dropVcpuThread(): void {
  void ready?.terminate();
  ready = undefined;
}

export function startVcpuThread(data: VcpuThreadData): VcpuThread {
  const worker = ready ?? newThread();
  ready = undefined;
  worker.on('error', (error) => {
    process.stderr.write(`tinamou: processor ${data.index}: ${error.message}\n`);
    markEnded(data);
  });
  worker.postMessage(data);
  return { terminate: () => void worker.terminate() };
}

export function whenChanged(words: Int32Array, index: number, value: number, then: () => void): void {
  const wait = (Atomics as typeof Atomics & WaitAsync).waitAsync(words, index, value);
  if (wait.async) void wait.value.then(then);
  else queueMicrotask(then);
}
