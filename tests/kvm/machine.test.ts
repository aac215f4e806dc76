/** Whole machines under `-accel kvm`: firmware to its boot prompt, reset, state in the shared form, leaving. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { hostProcessor, usableCpuid } from '../../src/accel/kvm/cpuid.js';
import { IRQCHIP_MODES, type IrqchipMode } from '../../src/accel/kvm/irqchip-mode.js';
import { Kvm } from '../../src/accel/kvm/kvm.js';
import { KVM_TRACE } from '../../src/accel/kvm/trace.js';
import { VirtualMachine } from '../../src/app/lib/index.js';
import { setTrace, setTraceSink } from '../../src/base/trace.js';
import { parseCpu } from '../../src/guest/x86/cpu-models.js';
import { FEATURE_WORDS } from '../../src/guest/x86/features.js';
import { DebuggerFlag } from '../../src/guest/x86/state.js';
import { linuxCalls } from '../../src/host/node/kvm/linux.js';
import { cacheFolder } from '../../tools/guest/cache.js';
import { biosFile } from '../../tools/guest/guests.js';
import { firmware, Guest, pause } from './guest.js';
import { patience, times } from './patience.js';
import { skip as noKvm, skipDebug } from './rig.js';

const noFirmware = existsSync(join(cacheFolder(), 'seabios'))
  ? false
  : 'fetch the firmware first: node dist/tools/guest/fetch.js seabios';
/** Bits of a feature word that have names. */
const named = (word: number): number =>
  FEATURE_WORDS[word]!.names.reduce((bits, name, bit) => (name === '' ? bits : bits | (1 << bit)), 0);

const skip = noKvm || noFirmware;
/** For a long run: TINAMOU_KVM_CYCLES=1000. */
const CYCLES = Number(process.env['TINAMOU_KVM_CYCLES'] ?? times(20));
/** After so many, heaps have grown to what they need. */
const SETTLED = 10;
/** Of garbage that is not collected yet, whatever the number of cycles; a machine has 32 MiB of RAM. */
const MOST_GROWTH_MIB = 300;
const options = { skip, timeout: patience(180_000) };
const COMMAND = new URL('../../../bin/tinamou-system-x86_64.js', import.meta.url);

async function withGuest(cpus: number, body: (guest: Guest) => Promise<void>, irqchip?: IrqchipMode): Promise<void> {
  const guest = new Guest(readFileSync(await biosFile('bios-256k.bin')), { cpus, ...(irqchip && { irqchip }) });
  try {
    await body(guest);
  } finally {
    await guest.dispose();
  }
}

for (const irqchip of IRQCHIP_MODES) {
  test(`kernel_irqchip=${irqchip}: SeaBIOS comes to its boot prompt, twice with a reset between`, options, () =>
    withGuest(
      1,
      async (guest) => {
        await guest.expect('Booting from Floppy');
        const [master] = guest.composed.inspection.pic();
        assert.equal(master!.vectorBase, 8);
        assert.equal(master!.imr & 1, 0, 'the timer is open');
        guest.composed.machine.lifecycle.reset('host-qmp-system-reset');
        await guest.expect('Booting from Floppy', 2);
      },
      irqchip,
    ),
  );

  test(`kernel_irqchip=${irqchip}: firmware starts two processors`, options, () =>
    withGuest(2, (guest) => guest.expect('Found 2 cpu(s)'), irqchip),
  );
}

test('interrupt and timer chips in the kernel are saved and loaded as the devices that they stand for', options, () =>
  withGuest(1, async (guest) => {
    await guest.expect('Booting from Floppy');
    const { machine } = guest.composed;
    machine.lifecycle.pause();
    while (machine.lifecycle.state !== 'paused') await pause(5);
    const chips = (): string => {
      const saved = Object.entries(machine.saveDevices()).filter(([path]) => /i8259|ioapic|isa-pit/.test(path));
      // Time goes on for the kernel's counters while nobody looks, and their interrupt (0, or pin 2) comes.
      return JSON.stringify(saved, (key, value) => {
        if (key === 'start' || key === 'edge') return 0;
        return key === 'irr' ? value & ~0b101 : value;
      });
    };
    const before = chips();
    assert.match(before, /"vectorBase":112/);
    // The kernel's timer is not among them.
    assert.ok(guest.composed.inspection.irqCounts().every(({ counts }) => counts.some((n) => n > 0)));
    const saved = machine.saveDevices();
    for (const { node } of machine.devices()) if (/i8259|ioapic|isa-pit/.test(node.type)) node.device.reset();
    assert.notEqual(chips(), before);
    machine.loadDevices(saved);
    assert.equal(chips(), before);
    machine.lifecycle.start();
    await guest.expect('No bootable device');
  }),
);

test('state goes from KVM to the record and back without a change, also while the guest runs', options, () =>
  withGuest(1, async (guest) => {
    await guest.expect('SeaBIOS');
    const { composed } = guest;
    composed.machine.lifecycle.pause();
    while (composed.machine.lifecycle.state !== 'paused') await new Promise((resolve) => setTimeout(resolve, 5));
    composed.synchronize();
    const [registers] = composed.registers;
    const names = (registers!.constructor as typeof import('../../src/guest/x86/registers.js').X86Registers).names;
    const all = (): bigint[] => names.map((name) => registers!.get(name));
    const before = all();
    registers!.setVector(3, 1, 0x1122334455667788n);
    for (let i = 0; i < 3; i++) {
      composed.kvm!.reload();
      composed.synchronize();
      assert.deepEqual(all(), before);
      assert.equal(registers!.vector(3, 1), 0x1122334455667788n);
    }
    composed.machine.lifecycle.start();
    for (let i = 0; i < 20; i++) {
      composed.synchronize();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await guest.expect('Booting from Floppy');
  }),
);

for (const [name, code] of [
  ['writes a port for ever', 'e6 80 eb fc'],
  ['reads a port as strings for ever', 'b9 00 80 ba f8 03 31 ff fc f3 6c eb f4'],
  ['touches unassigned memory for ever', 'b8 00 b0 8e d8 a1 00 00 a3 ff 0f eb f8'],
  ['does nothing for ever', 'eb fe'],
  ['halts for ever', 'fa f4 eb fd'],
  ['resets the machine for ever', 'b0 fe e6 64 eb fe'],
] as const) {
  test(`a guest that ${name} is paused, resumed and ended at will`, {
    skip: noKvm,
    timeout: patience(60_000),
  }, async () => {
    const guest = new Guest(firmware(code), { cpus: 1 });
    const { lifecycle } = guest.composed.machine;
    for (let i = 0; i < 5; i++) {
      await pause(20);
      lifecycle.pause();
      for (let waited = 0; lifecycle.running && waited < patience(2000); waited++) await pause(1);
      assert.equal(lifecycle.state, 'paused', `${guest.reports}`);
      guest.composed.synchronize();
      lifecycle.start();
    }
    await guest.dispose();
    assert.deepEqual(guest.reports, []);
  });
}

test('machines that come and go leave no descriptor, no thread and no memory', {
  skip: noKvm,
  timeout: patience(120_000 + CYCLES * 2000),
}, async () => {
  const cycle = async (i: number): Promise<void> => {
    const guest = new Guest(firmware('e6 80 eb fc'), { cpus: 2, irqchip: IRQCHIP_MODES[i % IRQCHIP_MODES.length]! });
    await pause(30);
    await guest.dispose();
    await pause(20);
  };
  const count = (): number[] => ['fd', 'task'].map((folder) => readdirSync(`/proc/self/${folder}`).length);
  for (let i = 0; i < SETTLED; i++) await cycle(i);
  const before = count();
  const memory = process.memoryUsage.rss();
  for (let i = 0; i < CYCLES; i++) await cycle(i);
  for (let waited = 0; waited < patience(50) && count().some((n, i) => n > before[i]!); waited++) await pause(100);
  const after = count();
  assert.ok(
    after.every((n, i) => n <= before[i]!),
    `descriptors and threads: ${before} before, ${after} after`,
  );
  const grown = (process.memoryUsage.rss() - memory) / 2 ** 20;
  assert.ok(grown < MOST_GROWTH_MIB, `${grown.toFixed(0)} MiB more after ${CYCLES} cycles`);
});

test('an instruction that KVM cannot run stops the machine, not the process', {
  skip: noKvm,
  timeout: patience(30_000),
}, async () => {
  // jmp b000:0000: nothing is there without a display adapter, so there is no code to fetch.
  const guest = new Guest(firmware('ea 00 00 00 b0'), { cpus: 1 });
  const { lifecycle } = guest.composed.machine;
  for (let waited = 0; lifecycle.running && waited < patience(5000); waited++) await pause(1);
  assert.equal(lifecycle.state, 'internal-error');
  assert.match(guest.reports.join(), /processor 0 at 0x/);
  await guest.dispose();
});

test('-cpu host is what KVM has; a named model is cut to it with a warning, and refused with enforce', {
  skip: noKvm,
}, () => {
  const kvm = new Kvm(linuxCalls());
  const supported = usableCpuid(kvm.supportedCpuid(), 'on');
  kvm.close();
  const host = hostProcessor(supported);
  const all = parseCpu('host', host);
  assert.deepEqual(all.warnings, []);
  assert.equal(all.passthrough, true);
  assert.deepEqual(
    [...all.features].slice(0, 2),
    [...host.features].slice(0, 2).map((w, i) => (w & named(i)) >>> 0),
  );
  assert.throws(() => parseCpu('host'), /requires KVM/);
  // Nobody has all of them.
  const { warnings } = parseCpu('qemu64,+vmx,+svm,+fpu', host);
  assert.ok(warnings.length > 0 && !warnings.some((line) => line.includes('.fpu ')));
  for (const line of warnings) assert.match(line, /^host doesn't support requested feature: CPUID\.\w+H/);
  assert.throws(() => parseCpu('qemu64,+vmx,+svm,enforce', host), /Host doesn't support requested features: CPUID/);
  assert.equal(parseCpu('host,-sse2', host).features[0]! & (1 << 26), 0);
});

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  test(`${signal} ends the command while the guest runs`, options, async () => {
    const talk = ['-debugcon', 'stdio', '-global', 'isa-debugcon.iobase=0x402'];
    const args = ['-accel', 'kvm', '-nodefaults', '-display', 'none', '-m', '16', ...talk];
    const child = spawn(process.execPath, [COMMAND.pathname, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    let errors = '';
    child.stderr.on('data', (data) => {
      errors += data;
    });
    const exited = new Promise<number | null>((resolve) => child.on('exit', (code) => resolve(code)));
    // When the guest talks, the command listens to signals.
    await Promise.race([new Promise((resolve) => child.stdout.once('data', resolve)), exited]);
    assert.equal(child.exitCode, null, errors);
    child.kill(signal);
    const late = setTimeout(() => child.kill('SIGKILL'), 20_000);
    assert.equal(await exited, 0, errors);
    clearTimeout(late);
    assert.match(errors, /terminating on signal/);
  });
}

test('exits are counted by reason and by what they touch, and traced with what they carried', {
  skip: noKvm,
}, async () => {
  const lines: string[] = [];
  setTraceSink((line) => lines.push(line));
  // mov al, 0x5a / out 0x80, al, for ever
  const guest = new Guest(firmware('b0 5a e6 80 eb fc'), { cpus: 1 });
  const kvm = guest.composed.kvm!;
  const written = (): number => kvm.accesses().find((a) => a.address === 0x80)?.count ?? 0;
  try {
    for (let waited = 0; written() < 1000 && waited < patience(2000); waited++) await pause(1);
    setTrace(Object.values(KVM_TRACE), '*', true);
    // On a busy host the guest may not get its turn at once.
    for (let waited = 0; lines.length < 20 && waited < patience(5000); waited++) await pause(1);
    setTrace(Object.values(KVM_TRACE), '*', false);
    const [exits] = kvm.exits();
    const io = exits!.exits.find((e) => e.reason === 'io')!;
    assert.ok(io.count >= written() && written() >= 1000, `${io.count} ${written()}`);
    assert.ok(io.ns > 0 && exits!.guestNs > 0);
    assert.deepEqual(
      kvm.accesses().map(({ space, write, address }) => ({ space, write, address })),
      [{ space: 'port', write: true, address: 0x80 }],
    );
    assert.ok(lines.includes('kvm_pio cpu 0 write port 0x80 size 1 count 1 data 5a'), lines.slice(0, 5).join('\n'));
    assert.ok(lines.some((line) => /^kvm_exit cpu 0 reason io rip 0x/.test(line)));
    assert.ok(lines.some((line) => /^kvm_entry cpu 0 rip 0x/.test(line)));
  } finally {
    setTrace(Object.values(KVM_TRACE), '*', false);
    setTraceSink(() => {});
    await guest.dispose();
  }
});

test('exits that are for the thread of the processor alone are traced too, and it is paused and ended as ever', {
  skip: noKvm,
  timeout: patience(30_000),
}, async () => {
  const lines: string[] = [];
  setTraceSink((line) => lines.push(line));
  for (const name of ['kvm_exit', 'kvm_entry']) setTrace(Object.values(KVM_TRACE), name, true);
  // sti / l: hlt / jmp l; no interrupt comes, and halting is not KVM's.
  const guest = new Guest(firmware('fb f4 eb fd'), { irqchip: 'off' });
  const { lifecycle } = guest.composed.machine;
  const seen = (reason: string): boolean =>
    lines.some((line) => line.startsWith(`kvm_exit cpu 0 reason ${reason} rip 0x`));
  try {
    for (let waited = 0; !seen('hlt') && waited < patience(2000); waited++) await pause(1);
    assert.ok(seen('hlt'), lines.join());
    assert.equal(lines[0], 'kvm_entry cpu 0 rip 0xfff0');
    for (let i = 0; i < 5; i++) {
      await guest.stop();
      lifecycle.start();
      await pause(5);
    }
  } finally {
    setTrace(Object.values(KVM_TRACE), '*', false);
    setTraceSink(() => {});
    await guest.dispose();
  }
  // A guest that never leaves by itself is kicked.
  const busy = new Guest(firmware('eb fe'));
  setTraceSink((line) => lines.push(line));
  setTrace(Object.values(KVM_TRACE), 'kvm_exit', true);
  lines.length = 0;
  try {
    for (let i = 0; i < 5; i++) {
      await pause(20);
      await busy.stop();
      busy.composed.machine.lifecycle.start();
    }
    assert.ok(seen('intr'), lines.join());
  } finally {
    setTrace(Object.values(KVM_TRACE), '*', false);
    setTraceSink(() => {});
    await busy.dispose();
  }
});

test('memory without a slot is traced with the instruction that touched it', { skip: noKvm }, async () => {
  const lines: string[] = [];
  setTraceSink((line) => lines.push(line));
  setTrace(Object.values(KVM_TRACE), 'kvm_page_fault', true);
  // mov ax, b000h / mov ds, ax / l: mov [10h], ax / mov ecx, [20h] / jmp l
  const guest = new Guest(firmware('b8 00 b0 8e d8 a3 10 00 66 8b 0e 20 00 eb f6'));
  try {
    for (let waited = 0; lines.length < 4 && waited < patience(5000); waited++) await pause(1);
    const seen = new Set(lines);
    assert.ok(
      seen.has('kvm_page_fault cpu 0 address 0xb0010 rip 0x8 instruction a3 10 00: mov    ds:0x10,ax'),
      lines[0],
    );
    assert.ok(
      seen.has('kvm_page_fault cpu 0 address 0xb0020 rip 0x8 instruction 66 8b 0e 20 00: mov    ecx,DWORD PTR ds:0x20'),
      lines[1],
    );
  } finally {
    setTrace(Object.values(KVM_TRACE), '*', false);
    setTraceSink(() => {});
    await guest.dispose();
  }
});

test('a trace in a .json file is a bar for each exit', { skip: noKvm }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'kvm-trace-'));
  const file = join(folder, 'trace.json');
  try {
    const bios = join(folder, 'bios.bin');
    writeFileSync(bios, firmware('b0 5a e6 80 eb fc'));
    const args = ['-accel', 'kvm', '-nodefaults', '-trace', `kvm_*,file=${file}`];
    const vm = await VirtualMachine.create({ bios, memory: '16M', args });
    vm.start();
    for (let waited = 0; !vm.monitor('info exits').includes('0x80') && waited < patience(2000); waited++)
      await pause(5);
    await vm.dispose();
    const events: { ph: string; name?: string; tid: number; ts: number; args?: { text?: string } }[] = JSON.parse(
      readFileSync(file, 'utf8'),
    );
    const start = events.findIndex((e) => e.ph === 'B' && e.name === 'io');
    const [write, end] = events.slice(start + 1);
    assert.match(write!.args!.text!, /write port 0x80 size 1 count 1 data 5a/);
    assert.ok(end!.ph === 'E' && end!.tid === 0 && end!.ts >= events[start]!.ts);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("a debugger's breakpoints and steps, as the record has them, stop the machine", {
  skip: skipDebug,
  timeout: patience(60_000),
}, async () => {
  // xor ax, ax / l: inc ax / nop / jmp l; at f000:0000
  const guest = new Guest(firmware('31 c0 40 90 eb fc'), { paused: true });
  const { machine, registers } = guest.composed;
  const [r] = registers;
  const base = 0xf0000n;
  const wish = (flags: number, ...breakpoints: bigint[]): void => {
    const view = new DataView(guest.composed.accelerator.memory.buffer);
    r!.setField('debugger', flags);
    r!.setField('breakpointCount', breakpoints.length);
    breakpoints.forEach((at, i) => {
      view.setBigUint64(r!.address('breakpoints') + 8 * i, at, true);
    });
  };
  const stopped = async (): Promise<bigint> => {
    machine.lifecycle.start();
    for (let waited = 0; machine.lifecycle.running && waited < patience(5000); waited++) await pause(1);
    assert.equal(machine.lifecycle.state, 'debug', `${guest.reports}`);
    guest.composed.synchronize();
    return r!.get('rip');
  };
  try {
    wish(DebuggerFlag.breakpoints, base + 3n);
    for (let round = 1n; round <= 3n; round++) {
      assert.equal(await stopped(), 3n);
      assert.equal(r!.get('rax') & 0xffffn, round);
    }
    wish(DebuggerFlag.single);
    assert.equal(await stopped(), 4n);
    assert.equal(await stopped(), 2n);
    assert.equal(await stopped(), 3n);
    assert.equal(r!.get('rax') & 0xffffn, 4n);
    wish(0);
    machine.lifecycle.start();
    await pause(30);
    assert.equal(machine.lifecycle.state, 'running');
  } finally {
    await guest.dispose();
  }
});

for (const [what, act, status] of [
  ['an uncaught error', "throw new Error('on purpose')", 1],
  ['process.exit', 'process.exit(7)', 7],
] as const) {
  test(`${what} ends a process whose guest runs`, { skip: noKvm, timeout: patience(60_000) }, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'kvm-exit-'));
    try {
      const bios = join(folder, 'bios.bin');
      writeFileSync(bios, firmware('eb fe'));
      const library = new URL('../../src/app/lib/index.js', import.meta.url).href;
      const program = `
        const { VirtualMachine } = await import(${JSON.stringify(library)});
        const options = { bios: ${JSON.stringify(bios)}, memory: '16M', smp: 2, args: ['-accel', 'kvm'] };
        (await VirtualMachine.create(options)).start();
        setTimeout(() => { ${act}; }, 300);`;
      const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: 'ignore' });
      const late = setTimeout(() => child.kill('SIGKILL'), 40_000);
      assert.equal(await new Promise((resolve) => child.on('exit', (code) => resolve(code))), status);
      clearTimeout(late);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
}
