/** The rate of a guest's time stamp counter, where the user asks for one (`-cpu ...,tsc-frequency=HZ`). */
import { UserError } from '../../base/errors.js';
import type { CapabilityName } from './abi.js';
import { KvmError } from './error.js';
import type { KvmVcpu } from './vcpu.js';

/** KVM makes up for so much by itself, also on a processor that cannot scale its counter: parts per million. */
const TOLERANCE_PPM = 250;

/** Throws UserError when the host cannot do it. */
export function setTscRate(
  vcpu: Pick<KvmVcpu, 'tscKhz' | 'setTscKhz'>,
  capability: (name: CapabilityName) => number,
  khz: number,
): void {
  const own = capability('GET_TSC_KHZ') === 0 ? 0 : vcpu.tscKhz();
  if (own === khz) return;
  try {
    if (capability('TSC_CONTROL') !== 0 || Math.abs(own - khz) * 1e6 <= own * TOLERANCE_PPM) {
      vcpu.setTscKhz(khz);
      return;
    }
  } catch (error) {
    if (!(error instanceof KvmError)) throw error;
  }
  throw new UserError(
    `tsc-frequency: this host's processors count ${own} kHz and cannot show a guest ${khz} kHz: leave it out`,
  );
}
