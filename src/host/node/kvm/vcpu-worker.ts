/** A vCPU's thread. */
import { workerData } from 'node:worker_threads';
import { attach, markEnded, type VcpuThreadData } from '../../../accel/kvm/control.js';
import { vcpuLoop } from '../../../accel/kvm/vcpu-loop.js';
import { linuxCalls } from './linux.js';

const data = workerData as VcpuThreadData;
if (attach(data)) {
  try {
    vcpuLoop(linuxCalls(), data);
  } catch (error) {
    process.stderr.write(
      `tinamou: processor ${data.index}: ${error instanceof Error ? error.message : String(error)}\n`,
    );
  } finally {
    markEnded(data);
  }
}
