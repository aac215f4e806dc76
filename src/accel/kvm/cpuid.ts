/** The CPUID leaves of a vCPU's record as KVM takes them, cut to what this host's KVM supports. */
import type { CpuConfig, HostProcessor } from '../../guest/x86/cpu-models.js';
import { FEATURE_WORDS, type FeatureWord } from '../../guest/x86/features.js';
import { LAPIC, X86 } from '../../guest/x86/state.js';
import { XsaveArea } from '../../guest/x86/xsave-layout.js';
import { CPUID_SIGNIFICANT_INDEX, type CpuidEntry } from './abi.js';
import type { IrqchipMode } from './irqchip-mode.js';

const ANY = 0xffffffff;
const XSAVE_LEAF = 0xd;
const HYPERVISOR = 0x40000000;
const EXTENDED = 0x80000000;
/** How processors are grouped and share caches: leaves that describe the guest's machine, not the host's. */
const TOPOLOGY: readonly number[] = [4, 0xb, 0x1f, 0x8000001d, 0x8000001e];
/** Leaf 1 EBX: logical processors in the package. */
const LOGICAL_COUNT = 0x00ff_0000;
/** Leaf 80000001h EDX bits that repeat those of leaf 1 on AMD processors. */
const REPEATED = 0x0183_f3ff;
const USUAL_PHYS_BITS = 40;
const NO_ENTRY = { index: 0, flags: 0, eax: 0, ebx: 0, ecx: 0, edx: 0 } as const;
/** Leaf 1 ECX: KVM does these, but does not announce them all. */
const HYPERVISED = 0x8000_0000;
const TSC_DEADLINE = 0x0100_0000;
const X2APIC = 0x0020_0000;
/** Leaf 1 EDX: several logical processors. */
const HTT = 0x1000_0000;
const KVM_FEATURES = HYPERVISOR + 1;
/** Paravirtual features of the local APIC in the kernel: page-fault interrupts, EOI, kicks, interrupts among processors, wider destinations. */
const KVM_APIC_FEATURES = (1 << 4) | (1 << 6) | (1 << 7) | (1 << 11) | (1 << 14) | (1 << 15);

/** What of KVM's list a guest can have whose interrupt controllers are there. */
export function usableCpuid(supported: readonly CpuidEntry[], irqchip: IrqchipMode): CpuidEntry[] {
  const kernelApic = irqchip !== 'off';
  return supported.map((entry) => {
    if (entry.function === 1) {
      const ecx = entry.ecx | HYPERVISED | TSC_DEADLINE;
      const usable = kernelApic ? ecx : ecx & ~(TSC_DEADLINE | X2APIC);
      return { ...entry, ecx: usable >>> 0, edx: (entry.edx | HTT) >>> 0 };
    }
    if (entry.function === KVM_FEATURES && !kernelApic) {
      return { ...entry, eax: (entry.eax & ~KVM_APIC_FEATURES) >>> 0 };
    }
    return entry;
  });
}

/** Leaf 80000001h ECX: the leaves of TOPOLOGY for AMD are there. They are ours, so KVM need not list it. */
const TOPOEXT = 0x0040_0000;

/** The bits of a feature word that KVM has for guests. */
const hostWord = (supported: readonly CpuidEntry[], { leaf, subleaf, register }: FeatureWord): number =>
  supported.find((s) => s.function === leaf && s.index === subleaf)?.[register] ?? 0;

const text = (words: readonly number[]): string =>
  new TextDecoder('latin1').decode(new Uint8Array(Uint32Array.from(words).buffer));

/** What this host's KVM has for guests, as CPU models see it; of what `usableCpuid` gives. */
export function hostProcessor(supported: readonly CpuidEntry[]): HostProcessor {
  const leaf = (number: number): CpuidEntry =>
    supported.find((s) => s.function === number) ?? { ...NO_ENTRY, function: number };
  const { eax: level, ebx, ecx, edx } = leaf(0);
  const { eax: signature } = leaf(1);
  const baseFamily = (signature >>> 8) & 15;
  const baseModel = (signature >>> 4) & 15;
  const extended = baseFamily === 15 || baseFamily === 6;
  const modelId = [2, 3, 4].map((n) => leaf(EXTENDED + n)).flatMap((l) => [l.eax, l.ebx, l.ecx, l.edx]);
  return {
    vendor: text([ebx, edx, ecx]),
    family: baseFamily === 15 ? 15 + ((signature >>> 20) & 0xff) : baseFamily,
    model: extended ? baseModel | (((signature >>> 16) & 15) << 4) : baseModel,
    stepping: signature & 15,
    level,
    xlevel: leaf(EXTENDED).eax,
    modelId: text(modelId).replace(/\0.*$/s, ''),
    physBits: leaf(0x80000008).eax & 0xff || USUAL_PHYS_BITS,
    features: Uint32Array.from(FEATURE_WORDS, (word) => hostWord(supported, word)),
    kvmFeatures: leaf(KVM_FEATURES).eax,
  };
}

/** `passthrough`: every leaf is the host's, but for features that the model has not and for what is this processor's own. */
export function kvmCpuid(
  view: DataView,
  state: number,
  supported: readonly CpuidEntry[],
  { passthrough, kvmLeaves, kvmFeatures }: Pick<CpuConfig, 'passthrough' | 'kvmLeaves' | 'kvmFeatures'>,
): CpuidEntry[] {
  const own = modelLeaves(view, state);
  const apicId = view.getUint32(state + X86.at['lapic']! + LAPIC.at['initialId']!, true);
  const entries = passthrough ? hostLeaves(own, supported) : modelOnHost(own, supported);
  for (const entry of entries) {
    if (entry.function === 1) entry.ebx = ((entry.ebx & 0x00ff_ffff) | (apicId << 24)) >>> 0;
    if (entry.function === 0xb) entry.edx = apicId;
    if (entry.function === 0x8000001e) entry.eax = apicId;
  }
  if (kvmLeaves) {
    for (const s of supported) {
      if (s.function === HYPERVISOR) entries.push(s);
      else if (s.function === KVM_FEATURES) entries.push({ ...s, ...kvmFeatures });
    }
  }
  return entries;
}

const isHypervisors = (leaf: number): boolean => leaf >= HYPERVISOR && leaf < EXTENDED;

/** The leaves of a vCPU's record. Of all other sub-leaves of a leaf, KVM makes zeros by itself. */
export function modelLeaves(view: DataView, state: number): CpuidEntry[] {
  const at = (field: string): number => state + X86.at[field]!;
  const word = (offset: number): number => view.getUint32(offset, true);
  const entries: CpuidEntry[] = [];
  for (let i = 0; i < word(at('cpuidCount')); i++) {
    const leaf = word(at('cpuidIndex') + 8 * i);
    const index = word(at('cpuidIndex') + 8 * i + 4);
    if (isHypervisors(leaf) || (index === ANY && entries.some((e) => e.function === leaf))) continue;
    const words = at('cpuid') + 16 * i;
    entries.push({
      function: leaf,
      index: index === ANY ? 0 : index,
      flags: index === ANY ? 0 : CPUID_SIGNIFICANT_INDEX,
      eax: word(words),
      ebx: word(words + 4),
      ecx: word(words + 8),
      edx: word(words + 12),
    });
  }
  return entries;
}

/** A model's leaves, cut to what the host has. */
function modelOnHost(own: readonly CpuidEntry[], supported: readonly CpuidEntry[]): CpuidEntry[] {
  const entries = own.filter((e) => e.function !== XSAVE_LEAF).map((e) => ({ ...e }));
  for (const word of FEATURE_WORDS) {
    const entry = entries.find((e) => e.function === word.leaf && e.index === word.subleaf);
    const ours = word.leaf === EXTENDED + 1 && word.register === 'ecx' ? TOPOEXT : 0;
    if (entry) entry[word.register] = (entry[word.register] & (hostWord(supported, word) | ours)) >>> 0;
  }
  // AMD's repetition of leaf 1.
  const repeated = entries.find((e) => e.function === EXTENDED + 1);
  const first = entries.find((e) => e.function === 1);
  if (repeated && first) repeated.edx = (repeated.edx & (first.edx | ~REPEATED)) >>> 0;
  const components = own.find((e) => e.function === XSAVE_LEAF && e.index === 0)?.eax ?? 0;
  const features = own.find((e) => e.function === XSAVE_LEAF && e.index === 1)?.eax ?? 0;
  return [...entries, ...xsaveLeaves(components, features, supported)];
}

/** The host's leaves, without the named features that the model has not, grouped into processors as the model says. */
function hostLeaves(own: readonly CpuidEntry[], supported: readonly CpuidEntry[]): CpuidEntry[] {
  const ours = (leaf: number, index: number): CpuidEntry | undefined =>
    own.find((e) => e.function === leaf && e.index === index);
  const entries = supported
    .filter((s) => !TOPOLOGY.includes(s.function) && !isHypervisors(s.function))
    .map((s) => ({ ...s }));
  for (const word of FEATURE_WORDS) {
    const entry = entries.find((e) => e.function === word.leaf && e.index === word.subleaf);
    if (!entry) continue;
    const named = word.names.reduce((bits, name, bit) => (name === '' ? bits : bits | (1 << bit)), 0);
    const kept = ours(word.leaf, word.subleaf)?.[word.register] ?? 0;
    entry[word.register] = ((entry[word.register] & ~named) | (kept & named)) >>> 0;
  }
  const first = entries.find((e) => e.function === 1);
  if (first) {
    first.ebx = ((first.ebx & ~LOGICAL_COUNT) | ((ours(1, 0)?.ebx ?? 0) & LOGICAL_COUNT)) >>> 0;
  }
  const sizes = entries.find((e) => e.function === EXTENDED + 8);
  if (sizes) sizes.ecx = ours(EXTENDED + 8, 0)?.ecx ?? 0;
  return [...entries, ...own.filter((e) => TOPOLOGY.includes(e.function)).map((e) => ({ ...e }))];
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
