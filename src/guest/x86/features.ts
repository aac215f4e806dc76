/**
 * CPUID feature flags by the names the command line uses (Intel SDM vol. 2A "CPUID", AMD APM vol. 3 appendix E).
 * The vCPU's `features` array holds one 32-bit word for each entry here, in this order.
 */

export interface FeatureWord {
  readonly leaf: number;
  readonly subleaf: number;
  readonly register: 'eax' | 'ebx' | 'ecx' | 'edx';
  /** Name by bit; '' where a bit has none. */
  readonly names: readonly string[];
}

/** `text` lists names from bit 0 on; `-` is an unnamed bit, `@n` goes on at bit n. */
function word(leaf: number, subleaf: number, register: FeatureWord['register'], text: string): FeatureWord {
  const names: string[] = new Array<string>(32).fill('');
  let bit = 0;
  for (const item of text.trim().split(/\s+/)) {
    if (item.startsWith('@')) bit = Number(item.slice(1));
    else names[bit++] = item === '-' ? '' : item;
  }
  return { leaf, subleaf, register, names };
}

export const FEATURE_WORDS: readonly FeatureWord[] = [
  word(
    1,
    0,
    'edx',
    `fpu vme de pse tsc msr pae mce cx8 apic @11 sep mtrr pge mca cmov pat pse36 pn clflush @21 ds acpi mmx fxsr sse
     sse2 ss ht tm ia64 pbe`,
  ),
  word(
    1,
    0,
    'ecx',
    `pni pclmulqdq dtes64 monitor ds-cpl vmx smx est tm2 ssse3 cid - fma cx16 xtpr pdcm - pcid dca sse4.1 sse4.2
     x2apic movbe popcnt tsc-deadline aes xsave - avx f16c rdrand hypervisor`,
  ),
  word(
    7,
    0,
    'ebx',
    `fsgsbase tsc-adjust sgx bmi1 hle avx2 - smep bmi2 erms invpcid rtm @14 mpx @16 avx512f avx512dq rdseed adx smap
     avx512ifma pcommit clflushopt clwb intel-pt avx512pf avx512er avx512cd sha-ni avx512bw avx512vl`,
  ),
  word(
    7,
    0,
    'ecx',
    `- avx512vbmi umip pku - waitpkg avx512vbmi2 - gfni vaes vpclmulqdq avx512vnni avx512bitalg - avx512-vpopcntdq -
     la57 @22 rdpid @24 bus-lock-detect cldemote - movdiri movdir64b - sgxlc pks`,
  ),
  word(
    7,
    0,
    'edx',
    `@2 avx512-4vnniw avx512-4fmaps fsrm @8 avx512-vp2intersect - md-clear @14 serialize - tsx-ldtrk @19 arch-lbr @22
     amx-bf16 avx512-fp16 amx-tile amx-int8 spec-ctrl stibp - arch-capabilities core-capability ssbd`,
  ),
  word(0x80000001, 0, 'edx', '@11 syscall @19 mp nx @22 mmxext @25 fxsr-opt pdpe1gb rdtscp - lm 3dnowext 3dnow'),
  word(
    0x80000001,
    0,
    'ecx',
    `lahf-lm cmp-legacy svm extapic cr8legacy abm sse4a misalignsse 3dnowprefetch osvw ibs xop skinit wdt - lwp fma4
     tce - nodeid-msr - tbm topoext perfctr-core perfctr-nb`,
  ),
  word(0x80000007, 0, 'edx', '@8 invtsc'),
  word(
    0x80000008,
    0,
    'ebx',
    'clzero - xsaveerptr @9 wbnoinvd @12 ibpb - ibrs amd-stibp @24 amd-ssbd virt-ssbd amd-no-ssb',
  ),
  word(0xd, 1, 'eax', 'xsaveopt xsavec xgetbv1 xsaves'),
  word(6, 0, 'eax', '@2 arat'),
  word(7, 1, 'eax', '@4 avx-vnni avx512-bf16'),
];

/** Other spellings of the names above that the command line takes. `_` always stands for `-` as well. */
export const FEATURE_ALIASES: Readonly<Record<string, string>> = {
  sse3: 'pni',
  pclmuldq: 'pclmulqdq',
  'sse4-1': 'sse4.1',
  'sse4-2': 'sse4.2',
  xd: 'nx',
  i64: 'lm',
  ffxsr: 'fxsr-opt',
};

/** Number of a feature: word * 32 + bit. */
export const FEATURE: Readonly<Record<string, number>> = Object.fromEntries(
  FEATURE_WORDS.flatMap((w, i) => w.names.map((name, bit) => [name, i * 32 + bit] as const)).filter(([n]) => n !== ''),
);
