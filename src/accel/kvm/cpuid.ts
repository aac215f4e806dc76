/** The CPUID leaves of a vCPU's record as KVM takes them, cut to what this host's KVM supports. */
import { LAPIC, X86 } from '../../guest/x86/state.js';
import { CPUID_SIGNIFICANT_INDEX, type CpuidEntry } from './abi.js';

const ANY = 0xffffffff;
const HYPERVISOR = 0x40000000;
/** Words that say what a processor can do: those are cut, the others only describe. */
const FEATURES: readonly (readonly [leaf: number, index: number, register: 'eax' | 'ebx' | 'ecx' | 'edx'])[] = [
  [1, 0, 'ecx'],
  [1, 0, 'edx'],
  [6, 0, 'eax'],
  [7, 0, 'ebx'],
  [7, 0, 'ecx'],
  [7, 0, 'edx'],
  [7, 1, 'eax'],
  [0xd, 0, 'eax'],
  [0xd, 1, 'eax'],
  [0x80000001, 0, 'ecx'],
  [0x80000001, 0, 'edx'],
  [0x80000007, 0, 'edx'],
  [0x80000008, 0, 'ebx'],
];
/** Set by KVM itself, or in leaf 1 and not announced: bits that are kept although the host's list lacks them. */
const KEPT: Readonly<Record<string, number>> = { '1:ecx': 0x8000_0000 | 0x0100_0000, '1:edx': 0x1000_0000 };

export function kvmCpuid(view: DataView, state: number, supported: readonly CpuidEntry[]): CpuidEntry[] {
  const at = (field: string): number => state + X86.at[field]!;
  const word = (offset: number): number => view.getUint32(offset, true);
  const apicId = word(at('lapic') + LAPIC.at['initialId']!);
  const entries: CpuidEntry[] = [];
  for (let i = 0; i < word(at('cpuidCount')); i++) {
    const leaf = word(at('cpuidIndex') + 8 * i);
    const index = word(at('cpuidIndex') + 8 * i + 4);
    if (leaf >= HYPERVISOR && leaf < 0x80000000) continue;
    const [eax, ebx, ecx, edx] = [0, 4, 8, 12].map((n) => word(at('cpuid') + 16 * i + n)) as [
      number,
      number,
      number,
      number,
    ];
    const flags = index === ANY ? 0 : CPUID_SIGNIFICANT_INDEX;
    // Of all other sub-leaves of a leaf, KVM makes zeros by itself.
    if (index === ANY && entries.some((e) => e.function === leaf)) continue;
    const entry: CpuidEntry = { function: leaf, index: index === ANY ? 0 : index, flags, eax, ebx, ecx, edx };
    for (const [featureLeaf, featureIndex, register] of FEATURES) {
      if (featureLeaf !== leaf || featureIndex !== entry.index) continue;
      const host = supported.find((s) => s.function === leaf && s.index === entry.index)?.[register] ?? 0;
      entry[register] = (entry[register] & (host | (KEPT[`${leaf}:${register}`] ?? 0))) >>> 0;
    }
    if (leaf === 1) entry.ebx = ((entry.ebx & 0x00ff_ffff) | (apicId << 24)) >>> 0;
    if (leaf === 0xb) entry.edx = apicId;
    if (leaf === 0x8000001e) entry.eax = apicId;
    entries.push(entry);
  }
  // What KVM offers its guests: clock, end-of-interrupt and so on.
  for (const s of supported) if (s.function >= HYPERVISOR && s.function <= HYPERVISOR + 1) entries.push(s);
  return entries;
}
