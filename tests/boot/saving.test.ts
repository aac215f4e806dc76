/** Machines that are saved at any moment and go on elsewhere, with a guest of a few instructions that gets everything wrong else. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { crc32 } from 'node:zlib';
import { UserError, VirtualMachine, type VirtualMachineOptions } from '../../src/app/lib/index.js';
import { getU32, putU32 } from '../../src/base/bytes.js';
import { mapBytes } from '../../src/machine/saved/ram-pages.js';
import { decodeValue, encodeValue } from '../../src/machine/saved/value-codec.js';
import type { StateValue } from '../../src/machine/state.js';
import { randomNumbers } from '../../src/machine/testing/conformance.js';
import { checksumFirmware, image, Listener, letters, pause } from '../support/checksum-guest.js';

let folder: string;
let bios: string;
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'tinamou-saving-'));
  bios = join(folder, 'bios');
  writeFileSync(bios, checksumFirmware());
});
after(() => rmSync(folder, { recursive: true, force: true }));

const make = (options: VirtualMachineOptions = {}, ...args: string[]): Promise<VirtualMachine> =>
  VirtualMachine.create({ bios, memory: '8M', ...options, args: [...(options.args ?? []), ...args] });

for (const tier of ['both', 'interpreter', 'compiled'] as const) {
  test(`saved and loaded at random moments, ${tier}: nothing is lost`, { timeout: 200_000 }, async () => {
    const random = randomNumbers(11);
    const state = join(folder, `state-${tier}`);
    const listener = new Listener();
    let vm = await make({ tier });
    try {
      for (let round = 0; round < 12; round++) {
        listener.hear(vm);
        vm.start();
        if (round % 3 === 0) await listener.more(2);
        await pause(random() % 40);
        await vm.monitorAsync(`migrate file:${state}`);
        await vm.dispose();
        vm = await make({ tier }, '-incoming', `file:${state}`);
      }
      listener.hear(vm);
      vm.start();
      await listener.more(5);
    } finally {
      await vm.dispose();
    }
  });
}

test('snapshots in an image: back in time, in the same machine and in the next', { timeout: 100_000 }, async () => {
  const disk = await image(folder, 'snapshots.qcow2');
  const drives = [`file=${disk},format=qcow2`];
  let vm = await make({ drives });
  try {
    const first = new Listener();
    first.hear(vm);
    vm.start();
    await first.more(3);
    const before = first.heard;
    await vm.monitorAsync('savevm one');
    const behind = first.heard;
    assert.equal(vm.state, 'running');
    await first.more(3);
    vm.stop();
    while (vm.state === 'running') await pause(1);
    await vm.monitorAsync('savevm "second one"');
    const list = await vm.monitorAsync('info snapshots');
    assert.match(list, /^List of snapshots present on all disks:\nID {8}TAG .*\n-- {8}one .*\n-- {8}second one /);
    const table = spawnSync('qemu-img', ['snapshot', '-l', '-U', disk], { encoding: 'utf8' });
    if (table.error === undefined) assert.match(table.stdout, /^1 {9}one +[\d.]+ [KM]iB 20\d\d-.* 00:00:\d\d\.\d{3}/m);
    await assert.rejects(vm.monitorAsync('loadvm three'), /Snapshot 'three' does not exist in one or more devices/);
    await vm.dispose();
    vm = await make({ drives }, '-loadvm', 'one');
    let said = '';
    vm.serial.output.subscribe((bytes) => {
      said += String.fromCharCode(...bytes);
    });
    vm.start();
    while (said.length < 12) await pause(5);
    // What came after the snapshot comes again.
    const expected = letters();
    const all = Array.from({ length: behind + 12 }, () => expected.next().value as string).join('');
    const from = all.indexOf(said.slice(0, 12));
    assert.ok(from >= before && from <= behind, `${said} after ${before} to ${behind} letters of ${all}`);
    await vm.monitorAsync('delvm one');
    await vm.monitorAsync('loadvm "second one"');
    assert.equal(vm.state, 'running');
    await vm.monitorAsync('delvm "second one"');
    assert.match(await vm.monitorAsync('info snapshots'), /^There is no snapshot available.\n$/);
  } finally {
    await vm.dispose();
  }
  const checked = spawnSync('qemu-img', ['check', disk], { encoding: 'utf8' });
  if (checked.error === undefined) assert.match(checked.stdout, /No errors were found/);
});

test("a device that was plugged in while the machine ran is one of the next machine's options", {
  timeout: 60_000,
}, async () => {
  const state = join(folder, 'plugged');
  const listener = new Listener();
  let vm = await make();
  try {
    listener.hear(vm);
    vm.start();
    await listener.more(1);
    vm.monitor('device_add virtio-rng-pci,id=hot,addr=9');
    await vm.monitorAsync(`migrate file:${state}`);
    await vm.dispose();
    assert.match(
      await refusal(state, {}),
      /has a device that this one lacks: virtio-rng-pci \(id hot\) on pci.0 at 09.0/,
    );
    vm = await make({}, '-device', 'virtio-rng-pci,id=hot,addr=9', '-incoming', `file:${state}`);
    listener.hear(vm);
    vm.start();
    await listener.more(1);
    vm.monitor('device_del hot');
  } finally {
    await vm.dispose();
  }
});

test('what is typed before the state is there comes in afterwards', { timeout: 60_000 }, async () => {
  // mov dx, 3fdh / wait: in al, dx / test al, 1 / jz wait / mov dx, 3f8h / in al, dx / out dx, al / jmp
  const rom = Buffer.alloc(0x10000);
  Buffer.from('bafd03eca80174fbbaf803eceeebf1', 'hex').copy(rom);
  Buffer.from('ea000000f0', 'hex').copy(rom, 0xfff0);
  const echo = join(folder, 'echo');
  writeFileSync(echo, rom);
  const state = join(folder, 'echo-state');
  const from = await make({ bios: echo });
  from.start();
  await from.serial.run('first', 'first');
  await from.monitorAsync(`migrate file:${state}`);
  await from.dispose();
  const to = await make({ bios: echo }, '-incoming', 'defer');
  try {
    to.start();
    to.serial.write('early');
    await pause(50);
    await to.monitorAsync(`migrate_incoming file:${state}`);
    to.start();
    await to.serial.waitFor('early');
  } finally {
    await to.dispose();
  }
});

test('a machine that was stopped stays so; the calendar goes on', { timeout: 60_000 }, async () => {
  const state = join(folder, 'stopped');
  const rtc = ['-rtc', 'base=2001-02-03T04:05:06,clock=rt'];
  const time = (vm: VirtualMachine): number => {
    vm.monitor('o /b 0x70 0');
    return Number(/= 0x?([0-9a-f]+)/.exec(vm.monitor('i /x 0x71'))![1]);
  };
  let vm = await make({}, ...rtc);
  try {
    assert.ok(time(vm) <= 8);
    vm.start();
    await pause(1200);
    vm.stop();
    while (vm.state === 'running') await pause(1);
    const then = time(vm);
    await vm.monitorAsync(`migrate file:${state}`);
    await vm.dispose();
    vm = await make({}, ...rtc, '-incoming', `file:${state}`);
    assert.equal(vm.state, 'paused');
    assert.ok(time(vm) >= then && time(vm) <= then + 2, `${then}, ${time(vm)}`);
  } finally {
    await vm.dispose();
  }
});

test('a machine that has not begun gets one state after another', { timeout: 60_000 }, async () => {
  const drives = [`file=${await image(folder, 'unbegun.qcow2')},format=qcow2`];
  let vm = await make({ drives });
  try {
    await vm.monitorAsync('savevm empty');
    const listener = new Listener();
    listener.hear(vm);
    vm.start();
    await listener.more(2);
    await vm.monitorAsync('savevm full');
    await vm.dispose();
    vm = await make({ drives });
    const memory = (): string => vm.monitor('xp /1wx 0x20000');
    for (const [tag, expected] of [
      ['full', /: 0x(?!00000000)/],
      ['empty', /: 0x00000000/],
      ['full', /: 0x(?!00000000)/],
    ] as const) {
      await vm.monitorAsync(`loadvm ${tag}`);
      assert.equal(vm.state, 'prelaunch');
      assert.match(memory(), expected);
    }
  } finally {
    await vm.dispose();
  }
});

test('savevm without an image for it', async () => {
  const raw = join(folder, 'raw.img');
  writeFileSync(raw, new Uint8Array(1 << 20));
  let vm = await make();
  try {
    const none = 'no block device can store vmstate for snapshot';
    await assert.rejects(vm.monitorAsync('savevm a'), { message: none });
    await assert.rejects(vm.monitorAsync('loadvm a'), { message: none });
    assert.equal(await vm.monitorAsync('delvm a'), '');
    assert.equal(await vm.monitorAsync('info snapshots'), `${none}\n`);
    await vm.dispose();
    vm = await make({ drives: [`file=${raw},format=raw`] });
    await assert.rejects(vm.monitorAsync('savevm a'), {
      message: `Device 'ide0-hd0' is writable but does not support snapshots`,
    });
  } finally {
    await vm.dispose();
  }
});

for (const [name, out, into] of [
  ['exec:', 'exec:cat >STATE', 'exec:cat STATE'],
  ['file: behind something', 'file:STATE,offset=0x3000', 'file:STATE,offset=12288'],
] as const) {
  test(`by way of ${name}`, { timeout: 60_000 }, async () => {
    const state = join(folder, 'there');
    rmSync(state, { force: true });
    const listener = new Listener();
    let vm = await make();
    try {
      listener.hear(vm);
      vm.start();
      await listener.more(1);
      await vm.monitorAsync(`migrate "${out.replace('STATE', state)}"`);
      assert.equal(vm.state, 'postmigrate');
      await vm.dispose();
      vm = await make({}, '-incoming', into.replace('STATE', state));
      listener.hear(vm);
      vm.start();
      await listener.more(2);
    } finally {
      await vm.dispose();
    }
  });
}

for (const kind of ['unix', 'tcp'] as const) {
  test(`from one machine to another over ${kind}:, with the disk that both name`, { timeout: 60_000 }, async () => {
    const disk = await image(folder, `${kind}.qcow2`);
    const drives = [`file=${disk},format=qcow2`];
    const port = 20_000 + (process.pid % 20_000);
    const uri = kind === 'unix' ? `unix:${join(folder, 'socket')}` : `tcp:127.0.0.1:${port}`;
    const listener = new Listener();
    const from = await make({ drives });
    const to = await make({ drives }, '-incoming', 'defer');
    try {
      listener.hear(from);
      listener.hear(to);
      from.start();
      await listener.more(1);
      assert.equal(to.monitor('info status'), 'VM status: paused (inmigrate)\n');
      await assert.rejects(from.monitorAsync(`migrate ${uri}`), /Failed to connect/);
      assert.equal(from.state, 'running');
      assert.match(from.monitor('info migrate'), /^Migration status: failed \(Failed to connect/);
      to.start();
      const received = to.monitorAsync(`migrate_incoming ${uri}`);
      await pause(50);
      await from.monitorAsync(`migrate ${uri}`);
      await received;
      assert.equal(to.state, 'running');
      await listener.more(2);
      // The image is the other's now.
      await assert.rejects(from.monitorAsync('cont'), /lock/);
      assert.equal(from.state, 'postmigrate');
    } finally {
      await from.dispose();
      await to.dispose();
    }
  });
}

test('a migration can be given up, and the machine goes on', { timeout: 60_000 }, async () => {
  const disk = await image(folder, 'cancel.qcow2');
  const listener = new Listener();
  const vm = await make({ drives: [`file=${disk},format=qcow2`] });
  try {
    listener.hear(vm);
    vm.start();
    await listener.more(1);
    const moving = vm.monitorAsync('migrate "exec:sleep 1; cat >/dev/null"');
    vm.monitor('migrate_cancel');
    await assert.rejects(moving, /cancelled/);
    assert.equal(vm.monitor('info migrate'), 'Migration status: cancelled\n');
    assert.equal(vm.state, 'running');
    await listener.more(1);
    await assert.rejects(vm.monitorAsync('migrate "exec:exit 3"'), /exit 3.*failed|sending to/);
    assert.equal(vm.state, 'running');
    await assert.rejects(vm.monitorAsync('migrate rubbish'), /Parameter 'uri' expects a valid migration protocol/);
    await listener.more(1);
    await vm.monitorAsync(`migrate file:/dev/null`);
    await vm.monitorAsync('cont');
    assert.equal(vm.state, 'running');
    await listener.more(1);
  } finally {
    await vm.dispose();
  }
});

/** Why a machine of these options does not go on with the state. */
async function refusal(state: string, options: VirtualMachineOptions, ...args: string[]): Promise<string> {
  const made = await make(options, '-incoming', `file:${state}`, ...args).catch((error: unknown) => error);
  if (made instanceof VirtualMachine) {
    await made.dispose();
    assert.fail('it goes on');
  }
  assert.ok(made instanceof UserError, String((made as Error).stack));
  assert.doesNotMatch(made.message, /\n/);
  return made.message;
}

test('a machine with other options names the difference', { timeout: 100_000 }, async () => {
  const state = join(folder, 'options');
  const vm = await make({}, '-device', 'virtio-rng-pci,id=r,addr=7');
  await vm.monitorAsync(`migrate file:${state}`);
  await vm.dispose();
  const device = ['-device', 'virtio-rng-pci,id=r,addr=7'];
  assert.match(
    await refusal(state, { memory: '16M' }, ...device),
    /saved machine has 8 MiB of RAM, this one 16 MiB: give -m 8$/,
  );
  assert.match(
    await refusal(state, { smp: 2 }, ...device),
    /saved machine has 1 processor\(s\), this one 2: give -smp 1$/,
  );
  assert.match(
    await refusal(state, { machine: 'q35' }, ...device),
    /saved machine is of type 'pc', this one 'q35': give -machine pc$/,
  );
  assert.match(
    await refusal(state, {}),
    /has a device that this one lacks: virtio-rng-pci \(id r\) on pci.0 at 07.0: give/,
  );
  assert.match(
    await refusal(state, {}, '-device', 'virtio-rng-pci,id=r,addr=8'),
    /has a device that this one lacks: virtio-rng-pci \(id r\) on pci.0 at 07.0: give/,
  );
  assert.match(
    await refusal(state, {}, ...device, '-device', 'virtio-balloon-pci'),
    /this machine has a device that the saved one lacks: virtio-balloon-pci on pci.0 at 0/,
  );
  assert.match(
    await refusal(state, { cpu: 'qemu64,-sse3' }, ...device),
    /features that this one's lack \(pni\): give the same -cpu/,
  );
  const other = join(folder, 'other-bios');
  writeFileSync(other, Buffer.alloc(0x20000));
  assert.match(
    await refusal(state, { bios: other }, ...device),
    /memory pc.bios of 65536 bytes where this one has pc.bios of 131072 bytes/,
  );
});

/** The file that a machine which has run for a moment is saved to. */
async function savedFile(state: string): Promise<Buffer> {
  const vm = await make();
  vm.start();
  await pause(30);
  await vm.monitorAsync(`migrate file:${state}`);
  await vm.dispose();
  return readFileSync(state);
}

test('files that are none, or were hurt, are refused in one line', { timeout: 100_000 }, async () => {
  const good = await savedFile(join(folder, 'good'));
  const hurt = join(folder, 'hurt');
  const random = randomNumbers(21);
  for (let round = 0; round < 12; round++) {
    writeFileSync(hurt, good.subarray(0, random() % good.length));
    assert.match(await refusal(hurt, {}), /-incoming file:.*(broken|not a saved machine)/);
    writeFileSync(hurt, good);
    const fd = openSync(hurt, 'r+');
    const at = random() % good.length;
    writeSync(fd, Uint8Array.of(good[at]! ^ (1 << (random() & 7))), 0, 1, at);
    closeSync(fd);
    // Only the padding behind the description says nothing.
    const end = 24 + getU32(good, 12);
    if (at < end || at >= Math.ceil(end / 4096) * 4096)
      assert.match(await refusal(hurt, {}), /broken|not a saved machine/);
  }
  assert.match(await refusal(join(folder, 'nowhere'), {}), /failed to open '.*nowhere': No such file or directory/);
  assert.match(await refusal(folder, {}), /Is a directory/);
});

/** The same file with another description, checksums and all. */
function withDescription(file: Uint8Array, change: (description: Record<string, StateValue>) => void): Uint8Array {
  const length = getU32(file, 12);
  const description = decodeValue(file.subarray(24, 24 + length)) as Record<string, StateValue>;
  const blocks = description.ram as unknown as readonly { readonly bytes: number }[];
  const mapsLength = blocks.reduce((sum, block) => sum + mapBytes(block.bytes), 4);
  const padded = (bytes: number): number => Math.ceil((24 + bytes + mapsLength) / 4096) * 4096;
  change(description);
  const bytes = encodeValue(description);
  const head = new Uint8Array(padded(bytes.length));
  head.set(file.subarray(24 + length, 24 + length + mapsLength), 24 + bytes.length);
  head.set(file.subarray(0, 12));
  putU32(head, 12, bytes.length);
  putU32(head, 16, crc32(bytes, 0));
  putU32(head, 20, crc32(head.subarray(0, 20), 0));
  head.set(bytes, 24);
  return Buffer.concat([head, file.subarray(padded(length))]);
}

test('a processor with anything in its registers does no harm', { timeout: 200_000 }, async () => {
  const good = await savedFile(join(folder, 'processor'));
  const random = randomNumbers(31);
  // What has done harm, and then what chance makes of the rest.
  const known = ['inSmm'];
  for (let round = 0; round < 60; round++) {
    const changed: string[] = [];
    const hostile = withDescription(good, ({ machine }) => {
      const { state: parts } = machine as { state: { vcpus: { fields: Record<string, Uint8Array>; rip: bigint }[] } };
      const [vcpu] = parts.vcpus;
      const names = Object.keys(vcpu!.fields);
      for (const name of known.slice(round, round + 1)) vcpu!.fields[name]!.fill(0xfe);
      for (let i = 0; i < 1 + (round % 8); i++) {
        const name = names[random() % names.length]!;
        const bytes = vcpu!.fields[name]!;
        changed.push(name);
        for (let at = 0; at < bytes.length; at++) if (random() & 1) bytes[at] = random();
      }
    });
    writeFileSync(join(folder, 'hostile'), hostile);
    const next = await make({ tier: round & 1 ? 'compiled' : 'both' }, '-incoming', `file:${join(folder, 'hostile')}`);
    let failure: unknown;
    next.ended.catch((error: unknown) => {
      failure = error;
    });
    next.start();
    await pause(20);
    await next.dispose();
    assert.equal(failure, undefined, `${changed}: ${(failure as Error | undefined)?.stack}`);
  }
});

test('newer versions of a device or a processor, and fields that are none, are refused', {
  timeout: 60_000,
}, async () => {
  const state = join(folder, 'versions');
  const vm = await make();
  await vm.monitorAsync(`migrate file:${state}`);
  await vm.dispose();
  const good = readFileSync(state);
  type Machine = {
    state: {
      devices: Record<string, { version: number; fields: Record<string, StateValue> }>;
      vcpus: { version: number }[];
    };
  };
  const changed = async (change: (machine: Machine) => void): Promise<string> => {
    writeFileSync(
      join(folder, 'changed'),
      withDescription(good, ({ machine }) => change(machine as unknown as Machine)),
    );
    return refusal(join(folder, 'changed'), {});
  };
  const serial = (machine: Machine): Machine['state']['devices'][string] =>
    Object.entries(machine.state.devices).find(([path]) => path.includes('isa-serial'))![1];
  assert.match(
    await changed((m) => void serial(m).version++),
    /device isa-serial at .*: saved state has version 2, newer than 1, the newest known here/,
  );
  assert.match(await changed((m) => void delete serial(m).fields['lcr']), /isa-serial.*lacks field 'lcr'/);
  assert.match(
    await changed((m) => {
      serial(m).fields['lcr'] = 'text';
    }),
    /isa-serial.*'lcr' does not fit/,
  );
  assert.match(await changed((m) => void m.state.vcpus[0]!.version++), /processor has version 2, newer than 1/);
  assert.match(await changed((m) => void m.state.vcpus.pop()), /the saved machine has 0 processors, this one 1/);
});
