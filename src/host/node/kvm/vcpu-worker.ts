/** A vCPU's thread, from when it is told which. */
import { parentPort } from 'node:worker_threads';
import { attach, markEnded, type VcpuThreadData } from '../../../accel/kvm/control.js';
import { vcpuLoop } from '../../../accel/kvm/vcpu-loop.js';
import { linuxCalls } from './linux.js';

parentPort!.once('message', (data: VcpuThreadData) => {
  if (!attach(data)) return;
  // From here on the end of the process waits for this thread, which ends badly in the middle of loading a native module.
  try {
    vcpuLoop(linuxCalls(), data);
  } catch (error) {
    process.stderr.write(
      `tinamou: processor ${data.index}: ${error instanceof Error ? error.message : String(error)}\n`,
    );
  } finally {
    markEnded(data);
  }
});
