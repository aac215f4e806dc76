/** KVM in software, in Node.js. */
import { getRandomValues } from 'node:crypto';
import { SoftwareKvm } from '../../../accel/kvm/software/kvm.js';
import { runtimeModule } from '../runtime-module.js';
import { monotonicNs } from '../time-source.js';

export function softwareKvm(): SoftwareKvm {
  const word = new Uint32Array(1);
  return new SoftwareKvm({
    runtime: runtimeModule(),
    now: monotonicNs,
    random: () => getRandomValues(word)[0]!,
  });
}
