/** Guests in each processor mode, and each kind of exit, on the host's KVM and on ours. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KvmError } from '../../src/accel/kvm/error.js';
import { Kvm } from '../../src/accel/kvm/kvm.js';
import { linuxCalls } from '../../src/host/node/kvm/linux.js';
import { patience } from './patience.js';
import { BACKENDS, DATA, hex, type Rig, run } from './rig.js';

test('a missing device is a KvmError with call and errno', () => {
  assert.throws(
    () => new Kvm(linuxCalls(), '/dev/there-is-no-kvm'),
    (e) => e instanceof KvmError && e.call === 'open' && e.errnoName === 'ENOENT',
  );
});

for (const { name, skip, withRig } of BACKENDS) {
  const options = { skip, timeout: patience(30_000) };

  test(`${name}: a refused request tells its name`, options, () =>
    withRig({}, (rig) => {
      const odd = rig.ram.subarray(1, 4097);
      assert.throws(
        () => rig.vm.setMemory({ slot: 1, guestAddress: 0x100000n, memory: odd }),
        (e) => e instanceof KvmError && e.call === 'KVM_SET_USER_MEMORY_REGION' && e.errnoName === 'EINVAL',
      );
    }),
  );

  // out port, al; a read of the port; hlt: the same bytes in every mode.
  const PORTS = 'b0 41 e6 80 e4 81 f4';
  for (const mode of ['real', 'protected', 'long'] as const) {
    test(`${name}: ${mode} mode: out, in, hlt`, options, () =>
      withRig({}, (rig) => {
        const vcpu = rig.vcpu(mode, PORTS);
        const out = run(vcpu);
        assert.ok(out.reason === 'io' && out.write);
        assert.deepEqual([out.port, out.size, out.count, [...out.data]], [0x80, 1, 1, [0x41]]);
        const input = run(vcpu);
        assert.ok(input.reason === 'io' && !input.write && input.port === 0x81);
        input.data[0] = 0x5a;
        assert.equal(run(vcpu).reason, 'hlt');
        assert.equal(vcpu.regs().rax & 0xffn, 0x5an);
        if (mode === 'long') assert.equal(vcpu.sregs().efer & 0x400n, 0x400n, 'long mode is active');
      }),
    );
  }

  test(`${name}: 64-bit arithmetic in long mode`, options, () =>
    withRig({}, (rig) => {
      // mov rax, 0x123456789abcdef0 / mov rbx, rax / shl rbx, 4 / hlt
      const vcpu = rig.vcpu('long', '48 b8 f0 de bc 9a 78 56 34 12 48 89 c3 48 c1 e3 04 f4');
      assert.equal(run(vcpu).reason, 'hlt');
      assert.equal(vcpu.regs().rbx, 0x23456789abcdef00n);
    }),
  );

  test(`${name}: string I/O comes with its count`, options, () =>
    withRig({}, (rig) => {
      rig.ram.set(new TextEncoder().encode('string'), DATA);
      // mov si, 0x8000 / mov cx, 6 / mov dx, 0x3f8 / cld / rep outsb / hlt
      const vcpu = rig.vcpu('real', 'be 00 80 b9 06 00 ba f8 03 fc f3 6e f4');
      let text = '';
      let exit = run(vcpu);
      while (exit.reason === 'io') {
        assert.equal(exit.data.length, exit.count * exit.size);
        text += new TextDecoder().decode(exit.data.slice());
        exit = run(vcpu);
      }
      assert.equal(text, 'string');
      assert.equal(exit.reason, 'hlt');
    }),
  );

  test(`${name}: memory without a slot is an mmio exit`, options, () =>
    withRig({}, (rig) => {
      // mov dword [0x200000], 0xdeadbeef / mov eax, [0x200004] / hlt
      const vcpu = rig.vcpu('protected', 'c7 05 00 00 20 00 ef be ad de a1 04 00 20 00 f4');
      const write = run(vcpu);
      assert.ok(write.reason === 'mmio' && write.write);
      assert.equal(write.address, 0x200000);
      assert.deepEqual([...write.data], [0xef, 0xbe, 0xad, 0xde]);
      const read = run(vcpu);
      assert.ok(read.reason === 'mmio' && !read.write && read.address === 0x200004);
      read.data.set([1, 2, 3, 4]);
      assert.equal(run(vcpu).reason, 'hlt');
      assert.equal(vcpu.regs().rax & 0xffff_ffffn, 0x04030201n);
    }),
  );

  test(`${name}: a read-only slot: reads are memory, writes exits`, options, () =>
    withRig({}, (rig) => {
      const rom = rig.vm.allocate(0x10000);
      rom[0] = 0x77;
      rig.vm.setMemory({ slot: 1, guestAddress: 0x200000n, memory: rom, flags: 2 });
      // mov al, [0x200000] / mov [0x200000], ah / hlt
      const vcpu = rig.vcpu('protected', 'a0 00 00 20 00 88 25 00 00 20 00 f4');
      const exit = run(vcpu);
      assert.ok(exit.reason === 'mmio' && exit.write && exit.address === 0x200000);
      assert.equal(run(vcpu).reason, 'hlt');
      assert.equal(vcpu.regs().rax & 0xffn, 0x77n);
      assert.equal(rom[0], 0x77);
    }),
  );

  test(`${name}: a triple fault is a shutdown`, options, () =>
    withRig({}, (rig) => {
      const vcpu = rig.vcpu('protected', '0f 0b'); // ud2, with an empty interrupt table
      vcpu.setSregs({ ...vcpu.sregs(), idt: { base: 0n, limit: 0, padding: [0, 0, 0] } });
      assert.equal(run(vcpu).reason, 'shutdown');
    }),
  );

  test(`${name}: code outside memory is an internal error, or an mmio read of it`, options, () =>
    withRig({}, (rig) => {
      const vcpu = rig.vcpu('protected', 'b8 00 00 40 00 ff e0'); // mov eax, 0x400000 / jmp eax
      const exit = run(vcpu);
      assert.ok(exit.reason === 'internalError' || (exit.reason === 'mmio' && exit.address === 0x400000), exit.reason);
    }),
  );

  test(`${name}: the instruction that KVM cannot emulate is reported`, options, () =>
    withRig({}, (rig) => {
      // An MMX store to a device: beyond the emulator. movq [0x200000], mm0 works, so packed arithmetic from memory it is.
      const vcpu = rig.vcpu('protected', '0f fc 05 00 00 20 00 f4'); // paddb mm0, [0x200000]
      const exit = run(vcpu);
      if (name === 'software') {
        // Nothing is beyond it.
        assert.ok(exit.reason === 'mmio' && exit.address === 0x200000);
        return;
      }
      assert.ok(exit.reason === 'internalError', exit.reason);
      assert.equal(exit.suberror, 1);
      assert.deepEqual([...exit.instruction!.subarray(0, 7)], [...hex('0f fc 05 00 00 20 00')]);
    }),
  );

  test(`${name}: registers, events, debug registers, FPU and XSAVE read back what was written`, options, () =>
    withRig({}, (rig) => {
      const vcpu = rig.vcpu('real', 'f4');
      let seed = 12345n;
      const random = (): bigint => {
        seed = BigInt.asUintN(64, seed * 6364136223846793005n + 1442695040888963407n);
        return seed;
      };
      for (let round = 0; round < 50; round++) {
        const regs = vcpu.regs();
        for (const name of Object.keys(regs) as (keyof typeof regs)[]) if (name !== 'rflags') regs[name] = random();
        vcpu.setRegs(regs);
        assert.deepEqual(vcpu.regs(), regs);
        const fpu = vcpu.fpu();
        const xmm = fpu.xmm.map(() => new Uint8Array(new BigUint64Array([random(), random()]).buffer));
        vcpu.setFpu({ ...fpu, xmm });
        assert.deepEqual(vcpu.fpu().xmm, xmm);
      }
      const area = vcpu.xsave();
      vcpu.setXsave(area);
      assert.deepEqual(vcpu.xsave(), area);
      const sregs = vcpu.sregs();
      vcpu.setSregs(sregs);
      assert.deepEqual(vcpu.sregs(), sregs);
      const debug = { ...vcpu.debugRegs(), db: [1n, 2n, 3n, 4n] };
      vcpu.setDebugRegs(debug);
      assert.deepEqual(vcpu.debugRegs(), debug);
      const events = vcpu.events();
      vcpu.setEvents({ ...events, nmiPending: 1, flags: 1 });
      assert.equal(vcpu.events().nmiPending, 1);
      assert.equal(vcpu.xcr0() & 1n, 1n);
    }),
  );

  test(`${name}: MSRs: set, get, and the one that does not exist`, options, () =>
    withRig({}, (rig) => {
      const vcpu = rig.vcpu('real', 'f4');
      const STAR = 0xc0000081;
      const NONE = 0x12345;
      assert.deepEqual(
        vcpu.setMsrs(
          new Map([
            [NONE, 1n],
            [STAR, 0x1122334400000000n],
          ]),
        ),
        [NONE],
      );
      assert.deepEqual(vcpu.msrs([NONE, STAR]), [undefined, 0x1122334400000000n]);
      assert.ok(rig.kvm.msrIndices().includes(STAR));
    }),
  );

  test(`${name}: CPUID leaves are the ones that were set`, options, () =>
    withRig({}, (rig) => {
      // mov eax, 0x80000000 / cpuid / hlt; in real mode with a 66 prefix
      const vcpu = rig.vcpu('real', '66 b8 00 00 00 80 0f a2 f4');
      vcpu.setCpuid(rig.kvm.supportedCpuid().map((l) => (l.function === 0x80000000 ? { ...l, ebx: 0x6e697474 } : l)));
      assert.equal(run(vcpu).reason, 'hlt');
      assert.equal(vcpu.regs().rbx & 0xffff_ffffn, 0x6e697474n);
    }),
  );

  test(`${name}: translate walks the page tables`, options, () =>
    withRig({}, (rig: Rig) => {
      const vcpu = rig.vcpu('long', 'f4');
      assert.equal(vcpu.translate(0x1234n), 0x1234n);
      assert.equal(vcpu.translate(0x7f0000000000n), undefined);
    }),
  );
}
