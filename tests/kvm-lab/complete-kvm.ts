/** Why there is no complete KVM to test on; false: there is. */
import { Kvm } from '../../src/accel/kvm/kvm.js';
import { probe } from '../../src/accel/kvm/probe.js';
import { linuxCalls } from '../../src/host/node/kvm/linux.js';
import { skip as noKvm } from '../kvm/rig.js';

function incomplete(): string | false {
  const kvm = new Kvm(linuxCalls());
  try {
    const [paging] = probe(kvm, ['paging']);
    return paging!.works ? false : 'this KVM has no paging: npm run test:kvm-lab brings a complete one';
  } finally {
    kvm.close();
  }
}

export const incompleteKvm: string | false = noKvm || incomplete();
