/** The CPUID leaves of a vCPU's record as KVM takes them, cut to what this host's KVM supports. */
import { FEATURE_WORDS } from '../../guest/x86/features.js';
import { LAPIC, X86 } from '../../guest/x86/state.js';
import { XsaveArea } from '../../guest/x86/xsave-layout.js';
import { CPUID_SIGNIFICANT_INDEX, type CpuidEntry } from './abi.js';

type FeatureRegister = 'eax' | 'ebx' | 'ecx' | 'edx';

const ANY = 0xffffffff;
const XSAVE_LEAF = 0xd;
const HYPERVISOR = 0x40000000;
/** Words that say what a processor can do: those are cut, the others only describe. */
const FEATURES: readonly (readonly [leaf: number, index: number, register: FeatureRegister])[] = [
  [1, 0, 'ecx'],
  [1, 0, 'edx'],
  [6, 0, 'eax'],
  [7, 0, 'ebx'],
  [7, 0, 'ecx'],
  [7, 0, 'edx'],
  [7, 1, 'eax'],
  [0xd, 1, 'eax'],
  [0x80000001, 0, 'ecx'],
  [0x80000001, 0, 'edx'],
  [0x80000007, 0, 'edx'],
  [0x80000008, 0, 'ebx'],
];
/** Set by KVM itself, or in leaf 1 and not announced: bits that are kept although the host's list lacks them. */
const KEPT: Readonly<Record<string, number>> = { '1:ecx': 0x8000_0000 | 0x0100_0000, '1:edx': 0x1000_0000 };

/** Features of a model that this host's KVM does not have, a line each as `-cpu` warns about others. */
export function missingFeatures(features: Uint32Array, supported: readonly CpuidEntry[]): string[] {
  const missing: string[] = [];
  for (const [i, { leaf, subleaf, register, names }] of FEATURE_WORDS.entries()) {
    if (!FEATURES.some(([l, s, r]) => l === leaf && s === subleaf && r === register)) continue;
    const cut = features[i]! & ~hostWord(supported, leaf, subleaf, register);
    for (const [bit, name] of names.entries()) {
      if (!((cut >>> bit) & 1) || name === '') continue;
      const number = leaf.toString(16).toUpperCase().padStart(2, '0');
      const place = `CPUID.${number}H${subleaf === 0 ? '' : `.0${subleaf}`}:${register.toUpperCase()}`;
      missing.push(`host doesn't support requested feature: ${place}.${name} [bit ${bit}]`);
    }
  }
  return missing;
}

/** The bits of a feature word that a guest can have here. */
function hostWord(supported: readonly CpuidEntry[], leaf: number, index: number, register: FeatureRegister): number {
  const host = supported.find((s) => s.function === leaf && s.index === index)?.[register] ?? 0;
  return host | (KEPT[`${leaf}:${register}`] ?? 0);
}

export function kvmCpuid(view: DataView, state: number, supported: readonly CpuidEntry[]): CpuidEntry[] {
  const at = (field: string): number => state + X86.at[field]!;
  const word = (offset: number): number => view.getUint32(offset, true);
  const apicId = word(at('lapic') + LAPIC.at['initialId']!);
  /** EAX of a leaf of the model. */
  const record = (leaf: number, index: number): number => {
    for (let i = 0; i < word(at('cpuidCount')); i++) {
      if (word(at('cpuidIndex') + 8 * i) !== leaf || word(at('cpuidIndex') + 8 * i + 4) !== index) continue;
      return word(at('cpuid') + 16 * i);
    }
    return 0;
  };
  const entries: CpuidEntry[] = [];
  for (let i = 0; i < word(at('cpuidCount')); i++) {
    const leaf = word(at('cpuidIndex') + 8 * i);
    const index = word(at('cpuidIndex') + 8 * i + 4);
    // Their numbers are this host's, not the model's: see below.
    if (leaf === XSAVE_LEAF || (leaf >= HYPERVISOR && leaf < 0x80000000)) continue;
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
      entry[register] = (entry[register] & hostWord(supported, leaf, entry.index, register)) >>> 0;
    }
    if (leaf === 1) entry.ebx = ((entry.ebx & 0x00ff_ffff) | (apicId << 24)) >>> 0;
    if (leaf === 0xb) entry.edx = apicId;
    if (leaf === 0x8000001e) entry.eax = apicId;
    entries.push(entry);
  }
  entries.push(...xsaveLeaves(record(XSAVE_LEAF, 0), record(XSAVE_LEAF, 1), supported));
  // What KVM offers its guests: clock, end-of-interrupt and so on.
  for (const s of supported) if (s.function >= HYPERVISOR && s.function <= HYPERVISOR + 1) entries.push(s);
  return entries;
}

/** XSAVE areas are laid out by the host's processor; the model says only which of its components there are. */
function xsaveLeaves(components: number, features: number, supported: readonly CpuidEntry[]): CpuidEntry[] {
  if (components === 0) return [];
  const host = supported.filter((s) => s.function === XSAVE_LEAF);
  const mask = (host.find((s) => s.index === 0)?.eax ?? 0) & components;
  const own = host.filter((s) => s.index >= 2 && s.index < 32 && (mask >>> s.index) & 1);
  const end = own.reduce((most, { eax, ebx }) => Math.max(most, eax + ebx), XsaveArea.base as number);
  return host.flatMap((s) => {
    if (s.index === 0) return [{ ...s, eax: mask, ecx: end, edx: 0 }];
    if (s.index === 1) return [{ ...s, eax: s.eax & features, ecx: 0, edx: 0 }];
    return own.includes(s) ? [s] : [];
  });
}
