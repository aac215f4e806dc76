import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UserError } from '../../base/errors.js';
import { ANY_PROCESSOR, cpuHelp, cpuModels, type HostProcessor, hasFeature, parseCpu } from './cpu-models.js';
import { apicId, cpuidLeaves } from './cpuid-leaves.js';
import { FEATURE } from './features.js';

const ONE = { sockets: 1, cores: 1, threads: 1 };
const hex = (n: number): string => (n >>> 0).toString(16).padStart(8, '0');

function leaf(model: string, number: number, subleaf = 0, topology = ONE, index = 0): string {
  const found = cpuidLeaves(parseCpu(model), topology, index).find(
    (l) => l.leaf === number && (l.subleaf === subleaf || l.subleaf === 0xffffffff),
  );
  return found === undefined ? '' : found.words.map(hex).join(' ');
}

test('models announce what QEMU announces for them', () => {
  // Lines as a guest on qemu-system-x86_64 7.2 saw them.
  assert.equal(leaf('qemu64', 0), '0000000d 68747541 444d4163 69746e65');
  assert.equal(leaf('qemu64', 1), '00060fb1 00000800 80002001 078bfbfd');
  assert.equal(leaf('qemu64', 0x80000001), '00060fb1 00000000 00000001 2193fbfd');
  assert.equal(leaf('qemu32', 1), '00000663 00000800 80000001 0781abfd');
  assert.equal(leaf('qemu32', 0x80000002), '554d4551 72695620 6c617574 55504320');
  assert.equal(leaf('Nehalem', 2), '00000001 00000000 0000004d 002c307d');
  assert.equal(leaf('Nehalem', 4), '00000121 01c0003f 0000003f 00000001');
  assert.equal(leaf('Nehalem', 0x80000008), '00003028 00000000 00000000 00000000');
  assert.equal(leaf('Haswell', 0xd, 2), '00000100 00000240 00000000 00000000');
  assert.equal(leaf('max', 0xd, 9), '00000008 00000a80 00000000 00000000');
  assert.equal(leaf('max', 0x40000000), '40000001 54474354 43544743 47435447');
});

test('every model can be had, with unimplemented features left out', () => {
  for (const m of cpuModels()) {
    if (m.name === 'base') continue;
    const config = parseCpu(m.name);
    assert.equal(hasFeature(config, 'fpu'), true, m.name);
    assert.equal(hasFeature(config, 'hypervisor'), true, m.name);
    assert.equal(hasFeature(config, 'rtm') || hasFeature(config, 'svm'), false, m.name);
  }
  assert.deepEqual(parseCpu('qemu64').warnings, []);
  assert.deepEqual(parseCpu('max').warnings, []);
  assert.deepEqual(parseCpu('Haswell').warnings, [
    "TCG doesn't support requested feature: CPUID.07H:EBX.hle [bit 4]",
    "TCG doesn't support requested feature: CPUID.07H:EBX.rtm [bit 11]",
  ]);
});

test('features and properties are switched by options', () => {
  const config = parseCpu('qemu64,+avx2,-sse3,aes=on,sse4_1,model-id=Mine,vendor=GenuineIntel,phys-bits=36');
  assert.equal(hasFeature(config, 'avx2'), true);
  assert.equal(hasFeature(config, 'pni'), false);
  assert.equal(hasFeature(config, 'aes'), true);
  assert.equal(hasFeature(config, 'sse4.1'), true);
  assert.equal(config.modelId, 'Mine');
  assert.equal(config.vendor, 'GenuineIntel');
  assert.equal(config.physBits, 36);
  assert.equal(hasFeature(parseCpu('max,-lm,+lm'), 'lm'), true);
  assert.equal(parseCpu('qemu32,+rdtscp').xlevel, 0x80000004);
  assert.equal(parseCpu('pentium3,+lm').xlevel, 0x80000008);
  assert.equal(parseCpu('qemu32,+avx2').level, 7);
});

test('what is wrong is said', () => {
  const message = (text: string): string => {
    try {
      parseCpu(text);
    } catch (e) {
      if (e instanceof UserError) return e.message;
      throw e;
    }
    return '';
  };
  assert.equal(message('pentium9'), "unable to find CPU model 'pentium9'");
  assert.equal(
    message('max,hv_time'),
    "Tinamou does not have Hyper-V's features for guests (hv-*) yet: leave hv-time out",
  );
  assert.match(message('qemu64,+hv-relaxed'), /leave hv-relaxed out/);
  assert.match(message('qemu64,hv-spinlocks=0x1fff'), /leave hv-spinlocks out/);
  assert.equal(message('qemu64,hv-relaxed=off,-hv-time'), '');
  assert.equal(message('qemu64,+nothing'), "Property 'qemu64-x86_64-cpu.nothing' not found");
  assert.equal(message('qemu64,avx=maybe'), "Parameter 'avx' expects 'on' or 'off'");
  assert.equal(
    message('Haswell,enforce'),
    "TCG doesn't support requested features: CPUID.07H:EBX.hle [bit 4], CPUID.07H:EBX.rtm [bit 11]: turn them off, or go on without them by leaving enforce out",
  );
  assert.equal(message('Haswell,-hle,-rtm,enforce'), '');
  assert.equal(message('Haswell,check=off,enforce'), message('Haswell,enforce'));
});

test('APIC IDs give threads, cores and sockets bit fields of their own', () => {
  const ids = (sockets: number, cores: number, threads: number): number[] =>
    Array.from({ length: sockets * cores * threads }, (_, i) => apicId({ sockets, cores, threads }, i));
  assert.deepEqual(ids(1, 4, 1), [0, 1, 2, 3]);
  assert.deepEqual(ids(2, 3, 1), [0, 1, 2, 4, 5, 6]);
  assert.deepEqual(ids(1, 2, 2), [0, 1, 2, 3]);
  const topology = { sockets: 1, cores: 2, threads: 2 };
  assert.equal(leaf('Haswell', 0xb, 0, topology), '00000001 00000002 00000100 00000000');
  assert.equal(leaf('Haswell', 0xb, 1, topology), '00000002 00000004 00000200 00000000');
});

test('the list of models', () => {
  const lines = cpuHelp().split('\n');
  assert.equal(lines[0], 'Available CPUs:');
  assert.ok(lines.includes('x86 Haswell               Intel Core Processor (Haswell)'));
  assert.ok(lines.some((l) => l.split(' ').includes('avx2')));
});

test('base has nothing but what is named', () => {
  const { features, vendor, hypervisorLeaves } = parseCpu('base,+fpu');
  assert.deepEqual([...features].filter(Boolean), [1]);
  assert.equal(vendor, '\0'.repeat(12));
  assert.equal(hypervisorLeaves, false);
});

test('check=off keeps quiet about features that are not there', () => {
  const { warnings, features } = parseCpu('Haswell,check=off');
  assert.deepEqual(warnings, []);
  assert.deepEqual(features, parseCpu('Haswell').features);
});

test("KVM's own features are asked for and taken away as others are", () => {
  const host: HostProcessor = { ...ANY_PROCESSOR, kvmFeatures: 0x0100_00ff };
  assert.deepEqual(parseCpu('host', host).kvmFeatures, { eax: 0x0100_00ff, edx: 0 });
  const config = parseCpu('host,-kvmclock,kvm_pv_eoi=off,+kvm-steal-time,kvm-hint-dedicated=on', host);
  assert.deepEqual(config.kvmFeatures, { eax: 0x0100_00b6, edx: 1 });
  assert.deepEqual(config.warnings, []);
  assert.deepEqual(parseCpu('host,+kvm-pv-ipi', host).warnings, [
    "host doesn't support requested feature: CPUID.40000001H:EAX.kvm-pv-ipi [bit 11]",
  ]);
  assert.throws(
    () => parseCpu('host,+kvm-pv-ipi,enforce', host),
    /^UserError: Host doesn't support requested features: CPUID.40000001H:EAX.kvm-pv-ipi \[bit 11\]/,
  );
  assert.throws(() => parseCpu('host,kvmclock=maybe', host), /Parameter 'kvmclock' expects 'on' or 'off'/);
  assert.deepEqual(parseCpu('max,+kvmclock').warnings, []);
});

test('the rate of the time stamp counter is in Hz', () => {
  assert.equal(parseCpu('qemu64').tscKhz, undefined);
  assert.equal(parseCpu('qemu64,tsc-frequency=2100000000').tscKhz, 2_100_000);
  assert.throws(() => parseCpu('qemu64,tsc-frequency=fast'), /'tsc-frequency' expects a number/);
});

test('versions differ from the one before, and have other names', () => {
  const [client, noTsx] = [
    parseCpu('Skylake-Client', ANY_PROCESSOR),
    parseCpu('Skylake-Client-noTSX-IBRS', ANY_PROCESSOR),
  ];
  const differing = Object.keys(FEATURE).filter((f) => hasFeature(client, f) !== hasFeature(noTsx, f));
  assert.deepEqual(differing.sort(), ['hle', 'rtm', 'spec-ctrl']);
  assert.equal(noTsx.modelId, 'Intel Core Processor (Skylake, IBRS, no TSX)');
  assert.deepEqual(parseCpu('Skylake-Client-v3', ANY_PROCESSOR).features, noTsx.features);
  assert.deepEqual(parseCpu('Skylake-Client-v1', ANY_PROCESSOR).features, client.features);
  assert.deepEqual([parseCpu('Icelake-Server').model, parseCpu('Icelake-Server-v4').model], [134, 106]);
  assert.throws(() => parseCpu('Skylake-Client-v5'), /unable to find CPU model/);
  // Lines of a guest on qemu-system-x86_64 7.2 -accel kvm, but for what its host lacks.
  assert.deepEqual(
    ['Opteron_G5', 'EPYC-Milan', 'core2duo', 'Dhyana'].map((name) => leaf(name, 1).split(' ')[0]),
    ['00600f20', '00a00f11', '000006fb', '00900f01'],
  );
});

test("features that describe the guest's machine are had on every host, and not of one that has them not", () => {
  const host: HostProcessor = { ...ANY_PROCESSOR, features: ANY_PROCESSOR.features.slice() };
  const number = FEATURE['topoext']!;
  host.features[number >> 5]! &= ~(1 << (number & 31));
  const epyc = parseCpu('EPYC,enforce', host);
  assert.deepEqual([hasFeature(epyc, 'topoext'), epyc.warnings], [true, []]);
  assert.equal(hasFeature(parseCpu('host', host), 'topoext'), false);
  assert.equal(hasFeature(parseCpu('host,+topoext', host), 'topoext'), true);
});

test('under KVM a named model has not what no guest gets there, unless it is asked for', () => {
  const has = (text: string, host?: HostProcessor): boolean[] =>
    ['monitor', 'svm', 'x2apic'].map((f) => hasFeature(parseCpu(text, host), f));
  assert.deepEqual(has('EPYC', ANY_PROCESSOR), [false, false, false]);
  assert.deepEqual(has('EPYC,+x2apic,+monitor,+svm', ANY_PROCESSOR), [true, true, true]);
  assert.deepEqual(has('host', ANY_PROCESSOR), [true, true, true]);
});
