/** What KVM offers its guests beyond a processor: CPUID leaf 40000001h (Linux, Documentation/virt/kvm/x86/cpuid.rst), in QEMU's names. */

/** Of EAX, by bit. The clock has two: with its old MSRs and with its new ones. */
const FEATURES: readonly (readonly [bit: number, name: string])[] = [
  [0, 'kvmclock'],
  [1, 'kvm-nopiodelay'],
  [2, 'kvm-mmu'],
  [3, 'kvmclock'],
  [4, 'kvm-asyncpf'],
  [5, 'kvm-steal-time'],
  [6, 'kvm-pv-eoi'],
  [7, 'kvm-pv-unhalt'],
  [9, 'kvm-pv-tlb-flush'],
  [10, 'kvm-asyncpf-vmexit'],
  [11, 'kvm-pv-ipi'],
  [12, 'kvm-poll-control'],
  [13, 'kvm-pv-sched-yield'],
  [14, 'kvm-asyncpf-int'],
  [15, 'kvm-msi-ext-dest-id'],
  [24, 'kvmclock-stable-bit'],
];
/** Of EDX: a promise of ours, which needs nothing of KVM. */
const DEDICATED = 'kvm-hint-dedicated';

/** Words of the leaf. */
export interface KvmFeatures {
  readonly eax: number;
  readonly edx: number;
}

export const isKvmFeature = (name: string): boolean => name === DEDICATED || FEATURES.some(([, n]) => n === name);

/**
 * What a guest gets of what KVM has: all, but for what was taken away. `asked`: names with whether they are to be there. Calls
 * `lacking` for those that cannot.
 */
export function chooseKvmFeatures(
  supported: number,
  asked: ReadonlyMap<string, boolean>,
  lacking: (name: string, bit: number) => void,
): KvmFeatures {
  let eax = supported;
  for (const [bit, name] of FEATURES) {
    if (asked.get(name) === false) eax &= ~(1 << bit);
    else if (asked.get(name) && !(supported & (1 << bit))) lacking(name, bit);
  }
  return { eax: eax >>> 0, edx: asked.get(DEDICATED) ? 1 : 0 };
}
