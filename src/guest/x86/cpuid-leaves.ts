/** The CPUID leaves of a configured processor, written into a vCPU's state (Intel SDM vol. 2A "CPUID", AMD APM vol. 3). */
import { Bug } from '../../base/errors.js';
import { type CpuConfig, hasFeature } from './cpu-models.js';
import { FEATURE_WORDS } from './features.js';
import { LAPIC, X86 } from './state.js';
import { XsaveArea, XsaveBit } from './xsave-layout.js';

/** How the processors are grouped. `threads` in a core, `cores` in a socket. */
export interface CpuTopology {
  readonly sockets: number;
  readonly cores: number;
  readonly threads: number;
}

/** Bits that number `count` things. */
const bitsFor = (count: number): number => (count <= 1 ? 0 : 32 - Math.clz32(count - 1));

/** APIC ID of each processor in order: thread, core and socket numbers in bit fields of their own. */
export function apicId(topology: CpuTopology, index: number): number {
  const { cores, threads } = topology;
  const threadBits = bitsFor(threads);
  const packageBits = threadBits + bitsFor(cores);
  const thread = index % threads;
  const core = Math.floor(index / threads) % cores;
  const socket = Math.floor(index / (threads * cores));
  return (socket << packageBits) | (core << threadBits) | thread;
}

type Words = readonly [eax: number, ebx: number, ecx: number, edx: number];
interface Leaf {
  readonly leaf: number;
  readonly subleaf: number;
  readonly words: Words;
}
const ANY = 0xffffffff;

const word = (text: string, at: number): number =>
  [0, 1, 2, 3].reduce((sum, i) => sum | ((text.charCodeAt(at + i) || 0) << (8 * i)), 0) >>> 0;

/** Family, model and stepping as leaf 1's EAX has them. */
function signature(c: CpuConfig): number {
  const family = c.family > 15 ? (15 << 8) | ((c.family - 15) << 20) : c.family << 8;
  return family | ((c.model & 15) << 4) | ((c.model >> 4) << 16) | c.stepping;
}

/** A cache as leaf 4 (and AMD's 0x8000001D) describes it. */
interface Cache {
  readonly type: 1 | 2 | 3; // data, instruction, unified
  readonly level: number;
  readonly kib: number;
  readonly ways: number;
  readonly inclusive: boolean;
}
const LINE = 64;
const CACHES: readonly Cache[] = [
  { type: 1, level: 1, kib: 32, ways: 8, inclusive: false },
  { type: 2, level: 1, kib: 32, ways: 8, inclusive: false },
  { type: 3, level: 2, kib: 4096, ways: 16, inclusive: false },
  { type: 3, level: 3, kib: 16384, ways: 16, inclusive: true },
];
function cacheLeaf(cache: Cache, topology: CpuTopology, coresField: number): Words {
  const sharing = cache.level === 3 ? topology.cores * topology.threads : topology.threads;
  const sets = (cache.kib * 1024) / (LINE * cache.ways);
  return [
    cache.type | (cache.level << 5) | (1 << 8) | (((1 << bitsFor(sharing)) - 1) << 14) | (coresField << 26),
    (LINE - 1) | ((cache.ways - 1) << 22),
    sets - 1,
    cache.inclusive ? 6 : 1,
  ];
}

/** XSAVE components beyond x87 and SSE: number, feature, bytes, offset in the standard format. */
const COMPONENTS = [
  [2, 'avx', XsaveArea.avxBytes, XsaveArea.avx],
  [9, 'pku', XsaveArea.pkruBytes, XsaveArea.pkru],
] as const;

/** All leaves of a processor. */
export function cpuidLeaves(c: CpuConfig, topology: CpuTopology, index: number): readonly Leaf[] {
  const leaves: Leaf[] = [];
  const put = (leaf: number, subleaf: number, ...words: Words): void => void leaves.push({ leaf, subleaf, words });
  const feature = (leaf: number, subleaf: number, register: 'eax' | 'ebx' | 'ecx' | 'edx'): number => {
    const i = FEATURE_WORDS.findIndex((w) => w.leaf === leaf && w.subleaf === subleaf && w.register === register);
    return i < 0 ? 0 : (c.features[i] as number);
  };
  const has = (name: string): boolean => hasFeature(c, name);
  const inSocket = topology.cores * topology.threads;
  const amd = c.vendor === 'AuthenticAMD';
  const vendor = [word(c.vendor, 0), word(c.vendor, 8), word(c.vendor, 4)] as const;
  const many = inSocket > 1 ? 1 << 28 : 0;

  // The vendor must be the first entry (vendor.ts), the signature the second: reset puts it into EDX.
  put(0, ANY, c.level, ...vendor);
  const ebx1 = (8 << 8) | (inSocket > 1 ? (1 << bitsFor(inSocket)) << 16 : 0);
  put(1, ANY, signature(c), ebx1, feature(1, 0, 'ecx'), feature(1, 0, 'edx') | many);
  if (!amd) put(2, ANY, 1, 0, 0x4d, 0x2c307d);
  if (!amd) {
    CACHES.forEach((cache, i) => {
      put(4, i, ...cacheLeaf(cache, topology, (1 << bitsFor(topology.cores)) - 1));
    });
  }
  // Line sizes that MONITOR watches; MWAIT's extensions exist.
  put(5, ANY, has('monitor') ? LINE : 0, has('monitor') ? LINE : 0, 3, 0);
  put(6, ANY, feature(6, 0, 'eax'), 0, 0, 0);
  const leaf7 = feature(7, 1, 'eax');
  put(7, 0, leaf7 !== 0 ? 1 : 0, feature(7, 0, 'ebx'), feature(7, 0, 'ecx'), feature(7, 0, 'edx'));
  if (leaf7 !== 0) put(7, 1, leaf7, 0, 0, 0);
  // EDX (the APIC ID) and the number in ECX are the runtime's.
  put(0xb, 0, bitsFor(topology.threads), topology.threads, 1 << 8, 0);
  put(0xb, 1, bitsFor(topology.threads) + bitsFor(topology.cores), inSocket, 2 << 8, 0);
  put(0xb, ANY, 0, 0, 0, 0);
  if (has('xsave')) {
    const own = COMPONENTS.filter(([, f]) => has(f));
    const mask = own.reduce((sum, [n]) => sum | (1 << n), XsaveBit.x87 | XsaveBit.sse);
    const end = own.reduce((most, [, , bytes, offset]) => Math.max(most, offset + bytes), XsaveArea.base as number);
    put(0xd, 0, mask, XsaveArea.base, end, 0);
    put(0xd, 1, feature(0xd, 1, 'eax'), 0, 0, 0);
    for (const [n, , bytes, offset] of own) put(0xd, n, bytes, offset, 0, 0);
  }

  if (c.hypervisorLeaves) {
    const name = 'TCGTCGTCGTCG';
    put(0x40000000, ANY, 0x40000001, word(name, 0), word(name, 4), word(name, 8));
    put(0x40000001, ANY, 0, 0, 0, 0);
  }

  if (c.xlevel >= 0x80000000) {
    put(0x80000000, ANY, c.xlevel, ...vendor);
    // AMD's word repeats most of leaf 1's EDX.
    const repeated = amd ? feature(1, 0, 'edx') & 0x0183f3ff : 0;
    const legacy = inSocket > 1 && amd ? 2 : 0;
    put(
      0x80000001,
      ANY,
      signature(c),
      0,
      feature(0x80000001, 0, 'ecx') | legacy,
      feature(0x80000001, 0, 'edx') | repeated,
    );
    for (let i = 0; i < 3; i++) {
      const at = i * 16;
      const id = c.modelId;
      put(0x80000002 + i, ANY, word(id, at), word(id, at + 4), word(id, at + 8), word(id, at + 12));
    }
    // TLBs of 255 and 512 entries; L1 64 KiB 2-way, L2 512 KiB and L3 16 MiB 16-way.
    const l1 = (64 << 24) | (2 << 16) | (1 << 8) | LINE;
    put(0x80000005, ANY, 0x01ff01ff, 0x01ff01ff, l1, l1);
    const more = (8 << 12) | (1 << 8) | LINE;
    put(0x80000006, ANY, 0, 0x42004200, (512 << 16) | more, (32 << 18) | more);
    put(0x80000007, ANY, 0, 0, 0, feature(0x80000007, 0, 'edx'));
    const virtual = !has('lm') ? 0 : has('la57') ? 57 << 8 : 48 << 8;
    const cores = inSocket > 1 ? (bitsFor(inSocket) << 12) | (inSocket - 1) : 0;
    put(0x80000008, ANY, c.physBits | virtual, feature(0x80000008, 0, 'ebx'), cores, 0);
    if (has('topoext')) {
      CACHES.forEach((cache, i) => {
        put(0x8000001d, i, ...cacheLeaf(cache, topology, 0));
      });
      const core = Math.floor(index / topology.threads) % topology.cores;
      // EAX (the APIC ID) is the runtime's.
      put(0x8000001e, ANY, 0, core | ((topology.threads - 1) << 8), Math.floor(index / inSocket), 0);
    }
  }
  return leaves.filter((l) => l.leaf <= (l.leaf >= 0x80000000 ? c.xlevel : l.leaf >= 0x40000000 ? ANY : c.level));
}

const MAX_LEAVES = 128;
const at = (field: string): number => X86.at[field] as number;

/** Makes the vCPU whose state is at `state` this processor. Before its first reset. */
export function installCpu(view: DataView, state: number, c: CpuConfig, topology: CpuTopology, index: number): void {
  const leaves = cpuidLeaves(c, topology, index);
  if (leaves.length > MAX_LEAVES) throw new Bug('too many CPUID leaves');
  const set32 = (offset: number, value: number): void => view.setUint32(state + offset, value, true);
  leaves.forEach((l, i) => {
    set32(at('cpuidIndex') + i * 8, l.leaf);
    set32(at('cpuidIndex') + i * 8 + 4, l.subleaf);
    for (const [j, w] of l.words.entries()) set32(at('cpuid') + i * 16 + j * 4, w);
  });
  set32(at('cpuidCount'), leaves.length);
  for (const [i, w] of c.features.entries()) set32(at('features') + i * 4, w);
  set32(at('physBits'), c.physBits);
  set32(at('lapic') + (LAPIC.at['initialId'] as number), apicId(topology, index));
  // Microcode revision (bootMsrs 1): Intel has it in the upper half.
  if (c.vendor === 'AuthenticAMD') set32(at('bootMsrs') + 8, 0x01000065);
  else set32(at('bootMsrs') + 12, 1);
}
