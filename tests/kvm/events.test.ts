/** Interrupts, event descriptors, dirty pages, debugging, kicks and several processors on the host's KVM. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { MSR_EXIT_UNKNOWN } from '../../src/accel/kvm/abi.js';
import { Doorbells } from '../../src/accel/kvm/doorbells.js';
import type { KvmVcpu } from '../../src/accel/kvm/vcpu.js';
import type { FlatRange } from '../../src/memory/flat-view.js';
import type { IoHandler } from '../../src/memory/io.js';
import { Memory } from '../../src/memory/memory.js';
import { patience } from './patience.js';
import { BACKENDS, CODE, DATA, type KernelRig, type Rig, run, skip, skipDebug, withRig } from './rig.js';
import type { RunWorkerData } from './run-worker.js';

const options = { skip, timeout: patience(30_000) };

/** Programs the 8259s: vectors from 0x20, only input `irq` open. */
const openIrq = (irq: number): string =>
  `b0 11 e6 20 b0 20 e6 21 b0 04 e6 21 b0 01 e6 21 b0 ${(0xff & ~(1 << irq)).toString(16)} e6 21`;
/** A handler at 0000:0900 that does `out 0x80, al` with al = 0x99. */
function installHandler(rig: Rig, vector: number): void {
  rig.ram.set([0x00, 0x09, 0x00, 0x00], vector * 4);
  rig.ram.set([0xb0, 0x99, 0xe6, 0x80, 0xf4], 0x900);
}

/** Runs a vCPU in a thread of its own. */
function inThread(rig: KernelRig, vcpu: KvmVcpu): { worker: Worker; words: Int32Array; ended: Promise<unknown> } {
  const shared = new SharedArrayBuffer(16);
  const workerData: RunWorkerData = { fd: vcpu.fd, runBytes: rig.vm.runBytes, id: vcpu.id, shared };
  const worker = new Worker(new URL('./run-worker.js', import.meta.url), { workerData });
  const ended = Promise.all([once(worker, 'message'), once(worker, 'exit')]).then(
    ([[message]]: unknown[][]) => message,
  );
  return { worker, words: new Int32Array(shared), ended };
}

/** Waits for a word to leave a value, while the event loop runs. */
async function waitWhile(words: Int32Array, index: number, value: number): Promise<void> {
  while (Atomics.load(words, index) === value) await new Promise((resolve) => setTimeout(resolve, 1));
}

test('the PIT interrupts through the in-kernel PIC', options, () =>
  withRig({ irqchip: true }, (rig) => {
    rig.vm.createPit();
    installHandler(rig, 0x20);
    // open IRQ 0; PIT channel 0, mode 2, count 0x1000; sti; hlt (in the kernel) until it comes
    const vcpu = rig.vcpu('real', `${openIrq(0)} b0 34 e6 43 b0 00 e6 40 b0 10 e6 40 fb f4 eb fd`);
    const exit = run(vcpu);
    assert.ok(exit.reason === 'io' && exit.port === 0x80);
    assert.equal(exit.data[0], 0x99);
    assert.equal(rig.vm.pit().channels[0]!.count, 0x1000);
  }),
);

test('an irqfd raises an interrupt, an ioeventfd takes a port write', options, () =>
  withRig({ irqchip: true }, (rig) => {
    const irq = rig.calls.eventfd();
    const doorbell = rig.calls.eventfd();
    try {
      rig.vm.irqfd(irq, 5, true);
      rig.vm.ioeventfd({ eventfd: doorbell, space: 'port', address: 0x510n, length: 1 }, true);
      installHandler(rig, 0x25);
      // out to port 0x510 three times, in from 0x81, then wait for the interrupt
      const vcpu = rig.vcpu('real', `${openIrq(5)} ba 10 05 ee ee ee e4 81 fb f4 eb fd`);
      const ready = run(vcpu);
      assert.ok(ready.reason === 'io' && ready.port === 0x81);
      // Not before: setting up an 8259 makes it forget the edges that it has seen.
      rig.calls.signalEvent(irq);
      const exit = run(vcpu);
      assert.ok(exit.reason === 'io' && exit.port === 0x80, 'the doorbell itself is no exit');
      assert.equal(rig.calls.takeEvent(doorbell), 3n);
      assert.equal(rig.calls.takeEvent(doorbell), 0n);
      rig.vm.ioeventfd({ eventfd: doorbell, space: 'port', address: 0x510n, length: 1 }, false);
      rig.vm.irqfd(irq, 5, false);
    } finally {
      rig.calls.close(irq);
      rig.calls.close(doorbell);
    }
  }),
);

for (const { name, skip, withRig } of BACKENDS) {
  const options = { skip, timeout: patience(30_000) };
  const debugOptions = { ...options, skip: name === 'software' ? skip : skipDebug };

  test(`${name}: the dirty log has the pages that were written`, options, () =>
    withRig({ flags: 1 }, (rig) => {
      const pages = rig.ram.length / 4096;
      // mov [0x8000], al / mov [0xa000], al / hlt
      const vcpu = rig.vcpu('real', 'a2 00 80 a2 00 a0 f4');
      rig.vm.dirtyLog(0, pages);
      assert.equal(run(vcpu).reason, 'hlt');
      const log = rig.vm.dirtyLog(0, pages);
      const dirty = Array.from({ length: pages }, (_, i) => i).filter((i) => log[i >> 3]! & (1 << (i & 7)));
      assert.ok(dirty.includes(8) && dirty.includes(10), `${dirty}`);
      assert.ok(!dirty.includes(9));
      assert.ok(
        rig.vm.dirtyLog(0, pages).every((b) => b === 0),
        'cleared by reading',
      );
    }),
  );

  test(`${name}: an interrupt is injected when the guest can take it`, options, () =>
    withRig({}, (rig) => {
      installHandler(rig, 0x25);
      // cli / out 0x81, al / sti / nop / nop / jmp to the nops
      const vcpu = rig.vcpu('real', 'fa e6 81 fb 90 90 eb fc');
      const ready = run(vcpu);
      assert.ok(ready.reason === 'io' && ready.port === 0x81);
      vcpu.requestInterruptWindow(true);
      assert.equal(run(vcpu).reason, 'irqWindowOpen');
      assert.ok(vcpu.readyForInterrupt);
      vcpu.requestInterruptWindow(false);
      vcpu.interrupt(0x25);
      const exit = run(vcpu);
      assert.ok(exit.reason === 'io' && exit.port === 0x80 && exit.data[0] === 0x99);
    }),
  );

  test(`${name}: an NMI comes through its vector`, options, () =>
    withRig({}, (rig) => {
      installHandler(rig, 2);
      const vcpu = rig.vcpu('real', 'fa e6 81 90 eb fd');
      assert.equal(run(vcpu).reason, 'io');
      vcpu.nmi();
      const exit = run(vcpu);
      assert.ok(exit.reason === 'io' && exit.port === 0x80 && exit.data[0] === 0x99);
      assert.equal(vcpu.events().nmiMasked, 1);
    }),
  );

  test(`${name}: a hardware breakpoint and single steps`, debugOptions, () =>
    withRig({}, (rig) => {
      const vcpu = rig.vcpu('real', '40 40 40 40 f4'); // inc ax, four times
      vcpu.setRegs({ ...vcpu.regs(), rax: 0n });
      vcpu.setGuestDebug({ breakpoints: [BigInt(CODE + 2)] });
      const hit = run(vcpu);
      assert.ok(hit.reason === 'debug' && hit.exception === 1);
      assert.equal(hit.pc, BigInt(CODE + 2));
      assert.equal(vcpu.regs().rax, 2n);
      vcpu.setGuestDebug({ singleStep: true });
      const step = run(vcpu);
      assert.ok(step.reason === 'debug');
      assert.equal(vcpu.regs().rip, BigInt(CODE + 3));
      vcpu.setGuestDebug({});
      assert.equal(run(vcpu).reason, 'hlt');
      assert.equal(vcpu.regs().rax, 4n);
    }),
  );

  test(`${name}: a software breakpoint stops before INT3`, debugOptions, (t) =>
    withRig({}, (rig) => {
      const vcpu = rig.vcpu('long', '90 cc f4');
      vcpu.setGuestDebug({ softwareBreakpoints: true });
      const hit = run(vcpu);
      if (hit.reason === 'internalError') {
        // A KVM that runs kernel-mode code through its emulator has no INT3: it says so, and which instruction it was.
        assert.equal(hit.instruction?.[0], 0xcc);
        t.skip('this KVM does not run INT3');
        return;
      }
      assert.ok(hit.reason === 'debug' && hit.exception === 3, JSON.stringify(hit.reason));
      assert.equal(vcpu.regs().rip, BigInt(CODE + 1));
    }),
  );
}

test('a kick ends KVM_RUN in another thread, again and again', options, () =>
  withRig({}, async (rig) => {
    const vcpu = rig.vcpu('real', 'eb fe'); // for ever
    const { words, ended } = inThread(rig, vcpu);
    await waitWhile(words, 0, 0);
    for (let i = 0; i < 20; i++) {
      if (i === 19) Atomics.store(words, 3, 1);
      vcpu.setImmediateExit(true);
      rig.calls.interruptThread(Atomics.load(words, 1));
      await waitWhile(words, 2, i);
    }
    await ended;
    assert.equal(Atomics.load(words, 2), 20);
  }),
);

test('two processors share memory', options, () =>
  withRig({}, async (rig) => {
    // Each waits for the other's byte to change, three times: mov al, [mine] / ... see below.
    // first:  mov byte [0x8000], 1 / w: cmp byte [0x8001], 1 / jne w / hlt
    // second: w: cmp byte [0x8000], 1 / jne w / mov byte [0x8001], 1 / hlt
    const first = rig.vcpu('real', 'c6 06 00 80 01 80 3e 01 80 01 75 f9 f4');
    const second = rig.vcpu('real', '80 3e 00 80 01 75 f9 c6 06 01 80 01 f4', 0x1800);
    const a = inThread(rig, first);
    const b = inThread(rig, second);
    assert.deepEqual(await Promise.all([a.ended, b.ended]), ['hlt', 'hlt']);
    assert.deepEqual([rig.ram[DATA], rig.ram[DATA + 1]], [1, 1]);
  }),
);

test('a thousand machines leave no descriptor, no thread and no memory', {
  skip,
  timeout: patience(180_000),
}, async () => {
  const cycle = (): Promise<void> =>
    withRig({ irqchip: true }, (rig) => {
      assert.equal(run(rig.vcpu('real', 'e6 80')).reason, 'io');
    });
  const left = (): number[] => ['fd', 'task'].map((folder) => readdirSync(`/proc/self/${folder}`).length);
  for (let i = 0; i < 100; i++) await cycle();
  // Machines are closed in the background: the kernel's thread of the last one may be there for a moment.
  const settled = async (): Promise<number[]> => {
    let now = left();
    for (let same = 0; same < 20; same++) {
      await delay(10);
      const next = left();
      if (next.join() !== now.join()) same = 0;
      now = next;
    }
    return now;
  };
  const before = await settled();
  const resident = process.memoryUsage.rss();
  for (let i = 0; i < 900; i++) await cycle();
  assert.deepEqual(await settled(), before);
  const grown = process.memoryUsage.rss() - resident;
  assert.ok(grown < 50e6, `${grown} bytes more than after the first hundred`);
});

test('coalesced writes wait for the next other exit, in order', options, (t) =>
  withRig({}, (rig) => {
    if (rig.vm.capability('COALESCED_MMIO') === 0 || rig.vm.capability('COALESCED_PIO') === 0) {
      t.skip('this KVM does not coalesce writes');
      return;
    }
    rig.vm.coalesce('memory', 0x200000n, 0x1000, true);
    rig.vm.coalesce('port', 0x70n, 1, true);
    // mov [0x200010], eax / out 0x70, al / inc eax / mov [0x200ffc], eax / in al, 0x71 / hlt
    const vcpu = rig.vcpu('protected', 'a3 10 00 20 00 e6 70 40 a3 fc 0f 20 00 e4 71 f4');
    vcpu.setRegs({ ...vcpu.regs(), rax: 0x11223344n });
    const exit = run(vcpu);
    assert.ok(exit.reason === 'io' && exit.port === 0x71, exit.reason);
    const writes: [string, number, number[]][] = [];
    const take = (): void => vcpu.takeCoalesced((space, address, data) => writes.push([space, address, [...data]]));
    take();
    assert.deepEqual(writes, [
      ['memory', 0x200010, [0x44, 0x33, 0x22, 0x11]],
      ['port', 0x70, [0x44]],
      ['memory', 0x200ffc, [0x45, 0x33, 0x22, 0x11]],
    ]);
    take();
    assert.equal(writes.length, 3);
    rig.vm.coalesce('memory', 0x200000n, 0x1000, false);
    rig.vm.coalesce('port', 0x70n, 1, false);
  }),
);

/** Where a flat view has a device. */
function ioRange(handler: IoHandler, start: number, bytes: number): FlatRange {
  const memory = new Memory({
    memory: { buffer: new ArrayBuffer(0) },
    allocateRam: () => 0,
    notifyWrite() {},
    fetchAndClearDirty: () => new Uint8Array(0),
  });
  const owner = memory.io('device', bytes, handler);
  return { start, last: start + bytes - 1, flags: 0, host: 0, region: owner.index, offset: 0, owner };
}

test('doorbells of a device ring in the event loop and are no exits', options, () =>
  withRig({}, async (rig) => {
    const rung: [number, number][] = [];
    const bells = new Doorbells(rig.vm, rig.calls, 'memory', ({ region, offset }) => rung.push([region, offset]));
    const doorbells = [0x100, 0x104, 0x108].map((offset) => ({ offset, size: 2 }) as const);
    const range = ioRange({ read: () => 0, write: () => {}, doorbells }, 0x200000, 0x1000);
    bells.update([range]);
    // mov word [0x200108], ax / mov word [0x200104], ax, twice / in al, 0x81 / mov word [0x200104], ax / hlt
    const ring = (bell: string): string => `66 a3 ${bell} 01 20 00`;
    const vcpu = rig.vcpu('protected', `${ring('08')} ${ring('04')} ${ring('04')} e4 81 ${ring('04')} f4`);
    try {
      const exit = run(vcpu);
      assert.ok(exit.reason === 'io' && exit.port === 0x81, exit.reason);
      assert.deepEqual(rung, []);
      for (let waited = 0; rung.length < 2 && waited < patience(2000); waited++)
        await new Promise((r) => setTimeout(r, 1));
      assert.deepEqual(
        rung.sort((a, b) => a[1] - b[1]),
        [
          [range.region, 0x104],
          [range.region, 0x108],
        ],
      );
      bells.update([]);
      const write = run(vcpu);
      assert.ok(write.reason === 'mmio' && write.address === 0x200104, write.reason);
    } finally {
      bells.dispose();
    }
  }),
);

test('a doorbell among ports rings for its value, others are exits', options, () =>
  withRig({}, async (rig) => {
    const rung: (number | undefined)[] = [];
    const bells = new Doorbells(rig.vm, rig.calls, 'port', ({ value }) => rung.push(value));
    const doorbells = [0, 1].map((value) => ({ offset: 0x10, size: 2, value }) as const);
    bells.update([ioRange({ read: () => 0, write: () => {}, doorbells }, 0xc000, 0x20)]);
    // mov dx, c010h / mov ax, 1 / out dx, ax, twice / mov ax, 2 / out dx, ax
    const vcpu = rig.vcpu('real', 'ba 10 c0 b8 01 00 ef ef b8 02 00 ef');
    try {
      const exit = run(vcpu);
      assert.ok(exit.reason === 'io' && exit.port === 0xc010 && exit.data[0] === 2, exit.reason);
      bells.drain();
      assert.deepEqual(rung, [1]);
    } finally {
      bells.dispose();
    }
  }),
);

test('an MSR that KVM does not know is an exit; refused, the guest gets #GP', options, (t) =>
  withRig({}, (rig) => {
    if (rig.vm.capability('X86_USER_SPACE_MSR') === 0) {
      t.skip('this KVM has no exits for MSRs');
      return;
    }
    rig.vm.enableCapability('X86_USER_SPACE_MSR', MSR_EXIT_UNKNOWN);
    installHandler(rig, 13);
    // mov ecx, 0x12345 / mov eax, 7 / xor edx, edx / wrmsr / rdmsr / hlt
    const vcpu = rig.vcpu('real', '66 b9 45 23 01 00 66 b8 07 00 00 00 66 31 d2 0f 30 0f 32 f4');
    const write = run(vcpu);
    assert.ok(write.reason === 'wrmsr' && write.index === 0x12345 && write.value === 7n, write.reason);
    vcpu.answerMsr(0n);
    const read = run(vcpu);
    assert.ok(read.reason === 'rdmsr' && read.index === 0x12345, read.reason);
    vcpu.answerMsr(undefined);
    const handler = run(vcpu);
    assert.ok(handler.reason === 'io' && handler.port === 0x80 && handler.data[0] === 0x99, handler.reason);
  }),
);
