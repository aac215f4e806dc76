/** What a guest sees of a processor that -cpu asked for. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostProcessor, usableCpuid } from '../../src/accel/kvm/cpuid.js';
import { Kvm } from '../../src/accel/kvm/kvm.js';
import { UserError } from '../../src/base/errors.js';
import { type HostProcessor, parseCpu } from '../../src/guest/x86/cpu-models.js';
import { linuxCalls } from '../../src/host/node/kvm/linux.js';
import { firmware, Guest, pause } from './guest.js';
import { patience } from './patience.js';
import { skip, withRig } from './rig.js';

const CLOCKS = 0x09;
const PV_EOI = 0x40;

function host(): HostProcessor {
  const kvm = new Kvm(linuxCalls());
  try {
    return hostProcessor(usableCpuid(kvm.supportedCpuid(), 'on'));
  } finally {
    kvm.close();
  }
}

/** The first bytes that firmware writes to port 402h. */
async function said(code: string, model: string, count: number): Promise<number[]> {
  const guest = new Guest(firmware(code), { cpu: parseCpu(model, host()) });
  try {
    const bytes: number[] = [];
    for (let waited = 0; bytes.length < count && waited < patience(1000); waited++, await pause(5))
      bytes.push(...guest.hear());
    assert.equal(bytes.length, count, `${guest.reports}`);
    return bytes;
  } finally {
    await guest.dispose();
  }
}

/** The low bytes of CPUID.40000001H:EAX and EDX, as a guest sees them. */
const kvmLeaf = (model: string): Promise<number[]> =>
  // mov eax, 40000001h / cpuid / mov ebx, edx / mov dx, 402h / out dx, al / mov al, bl / out dx, al / cli / hlt
  said('66 b8 01 00 00 40 0f a2 66 89 d3 ba 02 04 ee 88 d8 ee fa f4', model, 2);

test("KVM's features are those of the host, but for what was taken away", {
  skip,
  timeout: patience(60_000),
}, async () => {
  const all = host().kvmFeatures & 0xff;
  assert.deepEqual(await kvmLeaf('host'), [all, 0]);
  assert.deepEqual(await kvmLeaf('qemu64,-kvmclock,kvm-pv-eoi=off,+kvm-hint-dedicated'), [all & ~(CLOCKS | PV_EOI), 1]);
});

test('a named model has its leaves about cores, and says so, whatever KVM lists', {
  skip,
  timeout: patience(60_000),
}, async () => {
  // mov eax, 80000001h / cpuid / shr ecx, 16 / mov al, cl / mov dx, 402h / out dx, al / mov eax, 8000001eh / cpuid / mov al, bh / ...
  const code = '66 b8 01 00 00 80 0f a2 66 c1 e9 10 88 c8 ba 02 04 ee 66 b8 1e 00 00 80 0f a2 88 f8 ba 02 04 ee fa f4';
  const [high, threads] = await said(code, 'EPYC', 2);
  assert.equal(high! & 0x40, 0x40);
  assert.equal(threads, 0);
});

test('a time stamp counter of a given rate, or a refusal', { skip, timeout: patience(60_000) }, async () => {
  let own = 0;
  let scales = false;
  await withRig({}, (rig) => {
    own = rig.vcpu('real', 'f4').tscKhz();
    scales = rig.vm.capability('TSC_CONTROL') !== 0;
  });
  const start = async (khz: number): Promise<void> => {
    await new Guest(firmware('fa f4'), { cpu: parseCpu(`qemu64,tsc-frequency=${khz}000`, host()) }).dispose();
  };
  await start(own);
  const other = start(Math.round(own * 0.75));
  if (scales) await other;
  else await assert.rejects(other, UserError);
});
