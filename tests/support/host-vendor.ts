/** Who made the host's processor: what it does where makers differ is compared with a model of the same maker. */
import { readFileSync } from 'node:fs';

export type ProcessorVendor = 'GenuineIntel' | 'AuthenticAMD';

/** Hygon's processors are AMD's; other makers' are compared with AMD's as well. */
export function hostVendor(): ProcessorVendor {
  const text = process.platform === 'linux' ? readFileSync('/proc/cpuinfo', 'latin1') : '';
  return /^vendor_id\s*:\s*GenuineIntel$/m.test(text) ? 'GenuineIntel' : 'AuthenticAMD';
}
