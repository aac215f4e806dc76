/** A vCPU's thread. */
import { workerData } from 'node:worker_threads';
import { Command, Control, markEnded, type VcpuThreadData } from '../../../accel/kvm/control.js';
import { vcpuLoop } from '../../../accel/kvm/vcpu-loop.js';
import { linuxCalls } from './linux.js';

const data = workerData as VcpuThreadData;
const command = (): number => Atomics.load(new Int32Array(data.control), data.base + Control.command);
try {
  if (command() !== Command.end) vcpuLoop(linuxCalls(), data);
} catch (error) {
  // One that was told to end before it began has lost its vCPU already.
  if (command() !== Command.end) {
    process.stderr.write(
      `tinamou: processor ${data.index}: ${error instanceof Error ? error.message : String(error)}\n`,
    );
  }
} finally {
  markEnded(data);
}
