/** A vCPU's thread. */
import { workerData } from 'node:worker_threads';
import { Control, State, type VcpuThreadData } from '../../../accel/kvm/control.js';
import { vcpuLoop } from '../../../accel/kvm/vcpu-loop.js';
import { linuxCalls } from './linux.js';

const data = workerData as VcpuThreadData;
try {
  vcpuLoop(linuxCalls(), data);
} catch (error) {
  process.stderr.write(`tinamou: processor ${data.index}: ${error instanceof Error ? error.message : String(error)}\n`);
  const words = new Int32Array(data.control);
  Atomics.store(words, data.base + Control.state, State.ended);
  Atomics.add(words, data.doorbell, 1);
  Atomics.notify(words, data.doorbell);
}
