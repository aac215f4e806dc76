/** x87 stores that an unmasked exception stops: on both tiers, models of both vendors, and with every form of address. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { Decoded, Decoder, Insn } from '../../src/guest/x86/decode.js';
import { ROWS } from '../../src/guest/x86/insn/index.js';
import type { SegmentName } from '../../src/guest/x86/registers.js';
import { GPR, Mode } from '../../src/guest/x86/state.js';
import { VCPU } from '../../src/ir/layout.js';
import { Sample } from '../silicon/native.js';
import { Operands } from '../silicon/operands.js';
import { RowBench } from '../silicon/row-bench.js';
import { BareMachine, type BareMode } from '../support/bare-machine.js';
import type { ProcessorVendor } from '../support/host-vendor.js';

/** Opcode, ModRM.reg and bytes of FST and FSTP m32, m64, FSTP m80, FIST and FISTP, FISTTP, FBSTP. */
const STORES = [
  ...[[0xd9, 2, 4] as const, [0xd9, 3, 4] as const, [0xdd, 2, 8] as const, [0xdd, 3, 8] as const],
  ...[[0xdb, 7, 10] as const, [0xdf, 2, 2] as const, [0xdb, 2, 4] as const, [0xdf, 3, 2] as const],
  ...[[0xdb, 3, 4] as const, [0xdf, 7, 8] as const, [0xdf, 1, 2] as const, [0xdb, 1, 4] as const],
  ...[[0xdd, 1, 8] as const, [0xdf, 6, 10] as const],
] as const;
const VENDORS = ['AuthenticAMD', 'GenuineIntel'] as const;
const PAGE_FAULT = 14;
const NO_FAULT = -1;
const MASKED = 0x37f;
const INVALID_UNMASKED = 0x37e;
/** ES, B, SF and IE. */
const STACK_FAULT = 0x80c1;
const HLT = 0xf4;

const HOLE = 0x3000;
for (const vendor of VENDORS)
  for (const compiled of [false, true])
    test(`${vendor}: a stopped store to a page that is out (${compiled ? 'compiled' : 'interpreted'})`, () => {
      const bench = new RowBench(vendor);
      bench.pageOut(HOLE);
      for (const [opcode, operation, bytes] of STORES) {
        const code = [opcode, (operation << 3) | 7];
        const name = code.map((b) => b.toString(16)).join(' ');
        // The second address lies across the page's edge.
        for (const at of [HOLE, HOLE - 1, HOLE - bytes]) {
          const sample = Sample.of(code);
          sample.fcw = INVALID_UNMASKED;
          sample.ftw = 0;
          bench.setMemory(HOLE - 16, new Uint8Array(16).fill(0x55));
          const { after, fault } = bench.run(code, sample, compiled, at);
          const faults = vendor === 'AuthenticAMD' && at + bytes > HOLE;
          assert.equal(fault, faults ? PAGE_FAULT : NO_FAULT, name);
          assert.equal(after.fsw, faults ? 0 : STACK_FAULT, name);
          assert.deepEqual(bench.memory(HOLE - 16, 16), new Uint8Array(16).fill(0x55), name);
          sample.fcw = MASKED;
          const masked = bench.run(code, sample, compiled, at);
          assert.equal(masked.fault, at + bytes > HOLE ? PAGE_FAULT : NO_FAULT, name);
          assert.equal(masked.after.fsw & 0x41, masked.fault === NO_FAULT ? 0x41 : 0, name);
        }
      }
    });

const CODE = 0x100000;
const PAGE_DIRECTORY = 0x7000;
/** Operands lie from here on. */
const DATA = 0x400000;
const RAM = 64 << 20;
const SEGMENTS: readonly SegmentName[] = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'];
const FIELDS = ['fop', 'fcs', 'fds', 'fpTop'] as const;
const PREFIXES = { real: 0, protected32: Mode.cs32 | Mode.protected, long64: Mode.cs64 | Mode.lma | Mode.protected };

/** A processor whose memory operands fault, unless `there`. */
class Stores {
  readonly m: BareMachine;
  readonly #decoder = new Decoder(ROWS);

  constructor(
    readonly mode: BareMode,
    readonly vendor: ProcessorVendor,
    readonly there: boolean,
  ) {
    this.m = new BareMachine({ mode, vendor, ramBytes: RAM });
    const { view, registers: r } = this.m;
    for (const [n, name] of SEGMENTS.entries()) {
      const base = mode === 'long64' ? BigInt(n < 4 ? 0 : 0x40 * n) : BigInt(0x10000 * (n + 1));
      const limit = there || mode === 'long64' || name === 'cs' ? (mode === 'real' ? 0xffff : 0xffffffff) : 0;
      r.setSegment(name, { ...r.segment(name), selector: 8 * n, base, limit });
    }
    if (mode !== 'long64') return;
    // Pages of 2 MiB: the first has the code, the others the data.
    view.setBigUint64(0x2000, BigInt(PAGE_DIRECTORY | 7), true);
    for (let n = 0; n < (there ? RAM >> 21 : 1); n++)
      view.setBigUint64(PAGE_DIRECTORY + 8 * n, BigInt(n << 21) | 0x87n, true);
  }

  /** Length of an instruction. */
  length(code: readonly number[]): number {
    const i = new Insn();
    const bytes = Uint8Array.from([...code, ...new Array(16).fill(0)]);
    assert.equal(this.#decoder.decode(i, bytes, 0, bytes.length, PREFIXES[this.mode]), Decoded.ok);
    return i.length;
  }

  /** Runs a store of an empty register; gives what it left of the x87, and where it ended. */
  run(code: readonly number[], gpr: readonly bigint[], fcw: number): Record<string, bigint | number> {
    const { m } = this;
    const { registers: r } = m;
    GPR.forEach((name, n) => {
      r.set(name, gpr[n] as bigint);
    });
    r.setField('fcw', fcw);
    r.setField('fsw', 0);
    r.setField('fpTags', 0xff);
    for (const name of FIELDS) r.setField(name, 0);
    for (const name of ['fip', 'fdp']) r.set(name, 0n);
    const cs = Number(r.segment('cs').base);
    const pc = this.mode === 'real' ? 0x100 : CODE;
    m.load(cs + pc, [...code, HLT]);
    r.set('rip', BigInt(pc));
    new DataView(m.accelerator.memory.buffer).setUint32(r.state + (VCPU.at['halted'] as number), 0, true);
    assert.equal(m.run().reason, 'halted', Buffer.from(code).toString('hex'));
    const out: Record<string, bigint | number> = { rip: r.get('rip'), fip: r.get('fip'), fdp: r.get('fdp') };
    for (const name of FIELDS) out[name] = r.field(name);
    return out;
  }
}

/** A store with a random address; what is no displacement lies in the data. */
function randomStore(random: Operands, mode: BareMode): number[] {
  const code: number[] = [];
  const any = <T>(of: readonly T[]): T => of[random.below(of.length)] as T;
  const resized = random.below(4) === 0;
  if (resized) code.push(0x67);
  if (random.below(3) === 0) code.push(any([0x26, 0x36, 0x3e, 0x64, 0x65, 0x66, 0xf2, 0xf3]));
  // A REX prefix that another prefix follows is none.
  if (mode === 'long64' && random.below(8) === 0) code.push(0x43, 0x66);
  if (mode === 'long64' && random.below(2) === 0) code.push(0x40 | random.below(16));
  const [opcode, operation] = any(STORES);
  const mod = random.below(3);
  const rm = random.below(8);
  code.push(opcode, (mod << 6) | (operation << 3) | rm);
  const wide = mode === 'protected32' ? !resized : mode === 'real' ? resized : true;
  if (!wide) {
    if (mod === 1 || mod === 2 || rm === 6) code.push(random.below(256), random.below(mode === 'real' ? 0x40 : 256));
    return code;
  }
  const sib = random.below(256);
  if (rm === 4) code.push(sib);
  const absolute = mod === 0 && (rm === 5 || (rm === 4 && (sib & 7) === 5));
  const disp = absolute ? (mode === 'real' ? 0x2000 : DATA) + random.below(0x4000) : random.below(0x2000);
  code.push(
    ...new Uint8Array(Int32Array.of(random.below(2) === 0 && !absolute && mode !== 'real' ? -disp : disp).buffer),
  );
  return code;
}

for (const mode of ['real', 'protected32', 'long64'] as const)
  test(`a stopped store leaves pointers and pc as one does that is not (${mode})`, () => {
    const random = new Operands(7);
    const plain = new Stores(mode, 'AuthenticAMD', true);
    const stopped = [plain, new Stores(mode, 'GenuineIntel', true), new Stores(mode, 'GenuineIntel', false)];
    for (let round = 0; round < 400; round++) {
      const code = randomStore(random, mode);
      code.length = plain.length(code);
      const gpr = GPR.map(() => BigInt(mode === 'real' ? 0x400 + random.below(0x600) : DATA + random.below(0x100000)));
      const text = `${Buffer.from(code).toString('hex')} ${gpr.map((x) => x.toString(16))}`;
      const { fpTop: popped, ...expected } = plain.run(code, gpr, MASKED);
      const { registers: r, ram } = plain.m;
      assert.equal(r.field('fsw') & 0xff, 0x41, text);
      assert.ok(popped === 0 || popped === 1);
      const segment = SEGMENTS[(expected['fds'] as number) / 8] as SegmentName;
      const at = Number(r.segment(segment).base) + Number(expected['fdp']);
      const memory = ram.slice(at, at + 10);
      for (const machine of stopped) {
        ram.fill(0x55, at, at + 10);
        assert.deepEqual(machine.run(code, gpr, INVALID_UNMASKED), { ...expected, fpTop: 0 }, text);
        assert.equal(machine.m.registers.field('fsw'), STACK_FAULT, text);
        assert.deepEqual(ram.slice(at, at + 10), new Uint8Array(10).fill(0x55), text);
      }
      assert.notDeepEqual(memory, new Uint8Array(10).fill(0x55), text);
    }
  });

test('a single step ends behind a stopped store', () => {
  for (const there of [false, true]) {
    const machine = new Stores('long64', 'GenuineIntel', there);
    const { view, ram, registers: r } = machine.m;
    const [gdt, idt, handler] = [0x4000, 0x5000, 0x6000];
    view.setBigUint64(gdt + 8, 0x00af9b000000ffffn, true);
    view.setBigUint64(idt + 16, BigInt(handler) | (8n << 16n) | (0x8e00n << 32n), true);
    ram.set([HLT], handler);
    r.setSegment('gdtr', { selector: 0, base: BigInt(gdt), limit: 0xff, attributes: 0 });
    r.setSegment('idtr', { selector: 0, base: BigInt(idt), limit: 0x1ff, attributes: 0 });
    r.set('rflags', 0x102n);
    // fstp dword [rdi]; nop
    const gpr = GPR.map((name) => BigInt(name === 'rsp' ? 0xf000 : DATA));
    const { rip } = machine.run([0xd9, 0x1f, 0x90], gpr, INVALID_UNMASKED);
    assert.equal(rip, BigInt(handler + 1));
    assert.equal(view.getBigUint64(Number(r.get('rsp')), true), BigInt(CODE + 2));
    assert.equal(r.field('fsw'), STACK_FAULT);
  }
});

test('a store to a device reads nothing from it', () => {
  const machine = new Stores('protected32', 'GenuineIntel', true);
  const { m } = machine;
  const device = { start: 0xf0000000, last: 0xf000ffff };
  m.setDevice(device);
  m.registers.setSegment('ds', { ...m.registers.segment('ds'), base: 0n });
  for (const [opcode, operation, bytes] of STORES) {
    const code = [opcode, (operation << 3) | 7];
    const gpr = GPR.map(() => BigInt(device.start));
    m.deviceAccesses.length = 0;
    machine.run(code, gpr, MASKED);
    assert.ok(m.deviceAccesses.length >= bytes / 8, `${m.deviceAccesses}`);
    assert.ok(!m.deviceAccesses.includes('read'), code.map((b) => b.toString(16)).join(' '));
    m.deviceAccesses.length = 0;
    machine.run(code, gpr, INVALID_UNMASKED);
    assert.deepEqual(m.deviceAccesses, []);
  }
});
