/** Any state that is written to KVM comes back from it as it was; its clocks go on where they were. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostProcessor, usableCpuid } from '../../src/accel/kvm/cpuid.js';
import { IRQCHIP_MODES } from '../../src/accel/kvm/irqchip-mode.js';
import { Kvm } from '../../src/accel/kvm/kvm.js';
import { hostOffsets } from '../../src/accel/kvm/xsave-state.js';
import { loadMachine, saveMachine } from '../../src/app/lib/machine-state.js';
import { type CpuConfig, parseCpu } from '../../src/guest/x86/cpu-models.js';
import type { X86Registers } from '../../src/guest/x86/registers.js';
import { GPR, LAPIC, PARAVIRTUAL_MSRS, X86 } from '../../src/guest/x86/state.js';
import { linuxCalls } from '../../src/host/node/kvm/linux.js';
import { firmware, Guest, pause } from './guest.js';
import { patience } from './patience.js';
import { Random } from './random.js';
import { skip } from './rig.js';

const STATES = 60;
const LOOP = 'eb fe';
const ARITHMETIC_FLAGS = 0xcd5n;
const MXCSR = 0xffbf;
const MODES = ['real', 'protected', 'long'] as const;
/** Between two looks at two clocks on a busy host. */
const MOST_MS = patience(100);
/** Longer: a clock that went on meanwhile would be seen. */
const STILL_MS = patience(300);
const SYSTEM_TIME = PARAVIRTUAL_MSRS.indexOf(0x4b564d01);

interface Host {
  readonly cpu: CpuConfig;
  /** XCR0 with everything that the record has and this host too. */
  readonly xcr0: bigint;
}

function host(): Host {
  const kvm = new Kvm(linuxCalls());
  const supported = usableCpuid(kvm.supportedCpuid(), 'on');
  kvm.close();
  const offsets = hostOffsets(supported);
  const bits = [2, 5, 6, 7, 9].filter((bit) => offsets.has(bit));
  return {
    cpu: parseCpu('host', hostProcessor(supported)),
    xcr0: bits.reduce((mask, bit) => mask | (1n << BigInt(bit)), 3n),
  };
}

/** Fills a record with a state that a processor can have. */
function randomise(r: X86Registers, memory: WebAssembly.Memory, random: Random, { cpu, xcr0 }: Host): void {
  const view = new DataView(memory.buffer, r.state);
  const set = (field: string, value: bigint, element = 0): void =>
    view.setBigUint64(X86.at[field]! + 8 * element, value, true);
  const bytes = (field: string, offset: number, count: number): void =>
    new Uint8Array(memory.buffer, r.address(field) + offset, count).set(random.bytes(count));
  const mode = random.pick(MODES);
  r.set('cr0', mode === 'real' ? 0x10n : mode === 'protected' ? 0x11n : 0x8001_0011n);
  r.set('cr4', (mode === 'long' ? 0x20n : 0n) | 0x4_0600n); // OSXSAVE, OSFXSR, OSXMMEXCPT
  r.set('efer', mode === 'long' ? 0xd01n : 0n);
  r.set('cr2', random.wide());
  r.set('cr3', BigInt(random.below(4096)) << 12n);
  for (const name of ['es', 'cs', 'ss', 'ds', 'fs', 'gs'] as const) {
    const code = name === 'cs';
    const selector = random.below(0x1_0000) & ~3;
    const attributes = (code ? 0x9b : 0x93) | (mode === 'real' ? 0 : 0xc000);
    const wide = mode === 'long' && (name === 'fs' || name === 'gs');
    const base = wide ? random.canonical() : mode === 'real' ? BigInt(selector * 16) : BigInt(random.word());
    const limit = mode === 'real' ? 0xffff : 0xffff_ffff;
    r.setSegment(name, {
      selector,
      base: code && mode === 'long' ? 0n : base,
      limit,
      attributes: code && mode === 'long' ? 0xa09b : attributes,
    });
  }
  r.setSegment('tr', { selector: 8 * random.below(64), base: BigInt(random.word()), limit: 0x67, attributes: 0x8b });
  for (const name of ['gdtr', 'idtr'] as const) {
    r.setSegment(name, { selector: 0, base: BigInt(random.word()), limit: random.below(0x1_0000), attributes: 0 });
  }
  for (const name of GPR) r.set(name, random.wide());
  r.set('rip', BigInt(random.below(0x1_0000)));
  r.set('rflags', (random.wide() & ARITHMETIC_FLAGS) | 2n);
  for (let i = 0; i < 4; i++) set('dr', random.canonical(), i);
  set('dr', 0xffff0ff0n | BigInt(random.below(16)), 6);
  for (const name of ['lstar', 'cstar', 'kernelGsBase']) set(name, random.canonical());
  // AMD's processors have 32 bits of these.
  const wideSysenter = cpu.vendor === 'GenuineIntel';
  for (const name of ['sysenterEsp', 'sysenterEip']) {
    set(name, wideSysenter ? random.canonical() : BigInt(random.word()));
  }
  set('star', random.wide());
  set('fmask', BigInt(random.word()));
  set('sysenterCs', BigInt(random.below(0x1_0000)));
  set('pat', 0x0007_0406_0007_0406n);
  set('mtrrDefType', 0xc06n);
  set('mcgCtl', random.below(2) ? 0n : 0xffff_ffff_ffff_ffffn);
  for (let bank = 0; bank < 10; bank++) {
    set('mcBanks', random.below(2) ? 0n : 0xffff_ffff_ffff_ffffn, 4 * bank);
    for (let i = 1; i < 4; i++) set('mcBanks', random.wide(), 4 * bank + i);
  }
  for (let i = 0; i < 11; i++) set('mtrrFixed', 0x0606_0606_0606_0606n, i);
  set('xcr0', xcr0);
  r.setField('fpTop', random.below(8));
  r.setField('fpTags', random.below(256));
  r.setField('fcw', 0x0340 | random.below(64));
  r.setField('fsw', random.below(0x1_0000) & 0x47ff & ~0x80);
  r.setField('fop', random.below(0x800));
  r.setField('mxcsr', random.word() & MXCSR);
  for (let i = 0; i < 8; i++) bytes('fpr', 16 * i, 10);
  for (let i = 0; i < 16; i++) bytes('zmm', 64 * i, xcr0 & 0x40n ? 64 : 32);
  if (xcr0 & 0x20n) bytes('opmask', 0, 64);
  if (xcr0 & 0x80n) bytes('zmmHigh', 0, 1024);
  if (xcr0 & 0x200n) set('pkru', BigInt(random.word()));
  r.setField('nmiBlocked', random.below(2));
  const lapic = X86.at['lapic']!;
  view.setUint32(lapic + LAPIC.at['tpr']!, random.below(16) << 4, true);
  view.setUint32(lapic + LAPIC.at['svr']!, 0x100 | random.below(256), true);
  for (let i = 0; i < 8; i++) view.setUint32(lapic + LAPIC.at['irr']! + 4 * i, i === 0 ? 0 : random.word(), true);
}

/** What only KVM knows once these are overwritten: field, bytes of an element, and how many of them are the processor's. */
const OVERWRITTEN = [
  ['rax', 8, 8, 0n],
  ['lstar', 8, 8, 0n],
  ['fpr', 16, 10, 0n],
  ['zmm', 64, 32, 0x04n],
  ['opmask', 8, 8, 0x20n],
  ['zmmHigh', 64, 64, 0x80n],
  ['pkru', 8, 8, 0x200n],
] as const;

/** Follows from other fields, or moves. */
const DERIVED = new Set(['tscOffset', 'hardPending', 'shadowPc', 'inhibitInterrupts', 'pendingDr6', 'fcs', 'fds']);

for (const irqchip of IRQCHIP_MODES) {
  test(`random state comes back as it was written, kernel_irqchip=${irqchip}`, {
    skip,
    timeout: patience(120_000),
  }, async () => {
    const tested = host();
    const { cpu, xcr0 } = tested;
    const guest = new Guest(firmware(LOOP), { irqchip, cpu });
    try {
      // CPUID is in place once a processor has run.
      await pause(50);
      await guest.stop();
      const { composed } = guest;
      composed.synchronize();
      const [registers] = composed.registers;
      const { memory } = composed.accelerator;
      const read = (): Record<string, Uint8Array> =>
        Object.fromEntries(
          Object.keys(X86.at)
            .filter((field) => !DERIVED.has(field))
            .map((field) => [
              field,
              new Uint8Array(memory.buffer, registers!.address(field), X86.bytes[field]!).slice(),
            ]),
        );
      for (let seed = 1; seed <= STATES; seed++) {
        randomise(registers!, memory, new Random(seed), tested);
        const flags = registers!.get('rflags');
        const before = read();
        composed.kvm!.recordsLoaded();
        composed.kvm!.reload();
        for (const [field, stride, used, component] of OVERWRITTEN) {
          if ((xcr0 & component) !== component) continue;
          const bytes = new Uint8Array(memory.buffer, registers!.address(field), X86.bytes[field]!);
          for (let at = 0; at < bytes.length; at += stride) bytes.fill(0xee, at, at + used);
        }
        composed.synchronize();
        const after = read();
        assert.equal(registers!.get('rflags'), flags, `seed ${seed}`);
        for (const [field, bytes] of Object.entries(before)) {
          assert.deepEqual(after[field], bytes, `seed ${seed}: ${field}`);
        }
      }
    } finally {
      await guest.dispose();
    }
  });
}

test("KVM's clock stands still with the machine, and goes on in another that the state is loaded into", {
  skip,
  timeout: patience(60_000),
}, async () => {
  const PAGE = 0x5001n;
  /** How far KVM's clock is from virtual time, ms. */
  const offset = (guest: Guest): number => {
    const { kvm, machine, accelerator, registers } = guest.composed;
    kvm!.settle();
    const view = new DataView(accelerator.memory.buffer, registers[0]!.state);
    assert.equal(view.getBigUint64(X86.at['paravirtual']! + 8 * SYSTEM_TIME, true), PAGE);
    return (Number(view.getBigUint64(X86.at['paravirtualClock']!, true)) - machine.clocks.virtual.now()) / 1e6;
  };
  // mov ecx, 4b564d01h / mov eax, 5001h / xor edx, edx / wrmsr / mov dx, 402h / mov al, 'R' / out dx, al / jmp $
  const code = '66 b9 01 4d 56 4b 66 b8 01 50 00 00 66 31 d2 0f 30 ba 02 04 b0 52 ee eb fe';
  let guest = new Guest(firmware(code));
  try {
    await guest.expect('R');
    await guest.stop();
    const first = offset(guest);
    const check = (): void => assert.ok(Math.abs(offset(guest) - first) < MOST_MS, `${offset(guest)} ms, not ${first}`);
    await pause(STILL_MS);
    check();
    guest.composed.machine.lifecycle.start();
    await pause(50);
    await guest.stop();
    check();
    const state = saveMachine(guest.composed);
    await guest.dispose();
    guest = new Guest(firmware(code), { paused: true });
    await pause(STILL_MS);
    loadMachine(guest.composed, state);
    guest.composed.machine.lifecycle.start();
    await pause(50);
    await guest.stop();
    check();
  } finally {
    await guest.dispose();
  }
});

for (const accelerator of ['kvm', 'tcg'] as const) {
  test(`${accelerator}: ten banks of machine checks, and IA32_MCG_CTL`, {
    skip,
    timeout: patience(60_000),
  }, async () => {
    // mov ecx, 179h / rdmsr / mov dx, 402h / out dx, al / mov al, ah / out dx, al / hlt
    const guest = new Guest(firmware('66 b9 79 01 00 00 0f 32 ba 02 04 ee 88 e0 ee fa f4'), { accelerator });
    const heard: number[] = [];
    try {
      for (let waited = 0; heard.length < 2 && waited < patience(5000); waited++) {
        await pause(2);
        heard.push(...guest.hear());
      }
      assert.deepEqual(heard, [0x0a, 0x01], `${guest.reports}`);
    } finally {
      await guest.dispose();
    }
  });
}
