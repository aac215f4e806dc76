import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UserError } from '../../base/errors.js';
import { parseKeyval, splitCommas } from './keyval.js';
import { addDefaults, parseArguments } from './parse.js';
import { OPTIONS } from './table.js';
import type { Wishes } from './wishes.js';

function wish(...args: string[]): Wishes {
  const parsed = parseArguments('tinamou', 'x86_64', args, 'version 1\n');
  assert.ok('wishes' in parsed, `expected wishes, not a text: ${args.join(' ')}`);
  return parsed.wishes;
}

function text(...args: string[]): string {
  const parsed = parseArguments('tinamou', 'x86_64', args, 'version 1\n');
  assert.ok('text' in parsed);
  return parsed.text;
}

test('values: implied key, doubled commas, flags', () => {
  assert.deepEqual(splitCommas('a,,b,c'), ['a,b', 'c']);
  const o = parseKeyval('first,file=a,,b,on-switch,nooff', 'type');
  assert.deepEqual(o.pairs, [
    ['type', 'first'],
    ['file', 'a,b'],
    ['on-switch', 'on'],
    ['off', 'off'],
  ]);
  assert.equal(parseKeyval('x,help', 'type').help, true);
});

test('every option has one name only once, and help for it', () => {
  const names = OPTIONS.flatMap((o) => o.names);
  assert.equal(new Set(names).size, names.length);
  for (const option of OPTIONS) assert.notEqual(option.help, '', option.names[0]);
});

for (const [args, message] of [
  [['-foo'], '-foo: invalid option'],
  [['-hda'], '-hda: requires an argument'],
  [['-gdb', 'tcp::1234'], '-gdb: QEMU has this option, Tinamou does not have it yet: leave it out'],
  [['-machine', 'foo'], "-machine foo: unsupported machine type 'foo': use -machine help to list supported machines"],
  [['-machine', 'pc,foo=1'], "-machine pc,foo=1: Property 'pc-machine.foo' not found"],
  [['-cpu', 'foo'], "-cpu foo: unable to find CPU model 'foo'"],
  [['-enable-kvm', '-accel', 'tcg'], /^-accel tcg: The -accel and "-machine accel=" options are incompatible/],
  [['-accel', 'kvm', '-machine', 'accel=tcg'], /^-machine accel=tcg: The -accel and "-machine accel=" options/],
  [
    ['-accel', 'kvm,notify-vmexit=never'],
    "-accel kvm,notify-vmexit=never: Parameter 'notify-vmexit' does not accept value 'never' (one of: run, internal-error, disable)",
  ],
  [['-accel', 'kvm,dirty-ring-size=3'], '-accel kvm,dirty-ring-size=3: dirty-ring-size must be a power of two'],
  [
    ['-accel', 'kvm,notify-window=0x100000000'],
    "-accel kvm,notify-window=0x100000000: Parameter 'notify-window' expects a number below 2^32",
  ],
  [['-smp', '0'], '-smp 0: Invalid CPU topology: CPU topology parameters must be greater than zero'],
  [['-boot', 'order=z'], "-boot order=z: Invalid boot device 'z': use a, c, d or n"],
  [['-boot', 'aca'], "-boot aca: Boot device 'a' was given twice"],
  [['-device', 'foo'], "-device foo: 'foo' is not a valid device model name: see -device help"],
  [['-drive', 'file=x,foo=1'], "-drive file=x,foo=1: Invalid parameter 'foo'"],
  [['-drive', 'file=x,aio=native'], /requires cache.direct=on/],
  [['-drive', 'file=x,aio=bla'], /'aio' does not accept value 'bla'/],
  [['-drive', 'file=x,id=1x'], /Parameter 'id' expects an identifier/],
  [['-drive', 'file=x,bps=5,bps_rd=5'], /cannot be used at the same time/],
  [['-drive', 'file=x,file.driver=nbd,file.host=h'], /cannot be used together/],
  [['-device', 'virtio-rng-pci,id=.'], /Parameter 'id' expects an identifier/],
  [['-device', 'floppy,drive=a,unit=2'], /bus supports only 2 units/],
  [['-device', 'floppy,drive=a,unit=0', '-device', 'floppy,drive=b,unit=0'], /Floppy unit 0 is in use/],
  [['-object', 'throttle-group,id=g,x-foo=5'], /'throttle-group.x-foo' not found/],
  [['-object', '{"qom-type":'], /JSON parse error/],
  [['-fsdev', 'local,id=f,path=/tmp'], /security_model property not set/],
  [['-hda', 'x', '-hda', 'y'], '-hda y: drive with interface ide, index 0 exists: choose another index'],
  [['-chardev', 'stdio'], '-chardev stdio: chardev: no id specified: add id=NAME'],
  [['-vga', 'foo'], '-vga foo: unknown vga type: foo: see -vga help'],
  [['-d', 'foo'], "-d foo: unknown log item 'foo': see -d help"],
  [['-rtc', 'base=foo'], /invalid datetime 'foo': write 'utc'/],
  [['-uuid', 'foo'], /failed to parse UUID string: wrong format/],
  [['-m', 'abc'], /Parameter 'size' expects a size/],
  [['-serial', 'foo'], /'foo' is not a valid char driver/],
  [['-display', 'gtk'], '-display gtk: Tinamou does not have -display gtk yet: use none or curses'],
] as const) {
  test(`refused: ${args.join(' ')}`, () => {
    assert.throws(
      () => wish(...args),
      (error: unknown) => {
        assert.ok(error instanceof UserError);
        assert.doesNotMatch(error.message, /\n/);
        if (typeof message === 'string') assert.equal(error.message, message);
        else assert.match(error.message, message);
        return true;
      },
    );
  });
}

test('help wherever QEMU has it', () => {
  for (const option of [
    '-machine',
    '-cpu',
    '-accel',
    '-device',
    '-drive',
    '-chardev',
    '-display',
    '-vga',
    '-d',
    '-trace',
  ]) {
    assert.match(text(option, 'help'), /\w+.*\n/, option);
  }
  for (const option of ['-smp', '-boot', '-rtc', '-icount', '-mon', '-name'])
    assert.match(text(option, 'help'), /options:\n/);
  assert.match(text('-device', 'isa-serial,help'), /isa-serial options:\n.*iobase=<uint32>/s);
  assert.match(text('-M', 'help'), /^pc {19}Standard PC \(i440FX \+ PIIX, 1996\) \(alias of pc-i440fx-7\.2\)$/m);
  assert.match(text('-help'), /^-m \[size=\]megs/m);
  assert.equal(text('--version'), 'version 1\n');
});

test('sizes, processors, boot order', () => {
  const w = wish('-m', '1G', '-smp', '4,threads=2', '-boot', 'dc', '-rtc', 'base=2006-06-17T16:01:21');
  assert.equal(w.ramBytes, 2 ** 30);
  assert.deepEqual(w.topology, { sockets: 1, cores: 2, threads: 2 });
  assert.equal(w.boot.order, 'dc');
  assert.equal(w.rtc.startMs, Date.UTC(2006, 5, 17, 16, 1, 21));
  assert.equal(wish('-m', '64').ramBytes, 64 << 20);
  assert.throws(() => wish('-smp', '4,sockets=3,cores=1'), /product of the hierarchy must match maxcpus/);
});

test('short forms name backends as QEMU does', () => {
  const w = wish(
    '-serial',
    'mon:stdio',
    '-serial',
    'tcp:localhost:4444,server=on,wait=off',
    '-monitor',
    'null',
    '-hdb',
    'a,b',
  );
  assert.deepEqual(
    w.chardevs.map((c) => [c.id, c.spec.type, c.mux]),
    [
      ['serial0', 'stdio', true],
      ['serial1', 'socket', false],
      ['compat_monitor1', 'null', false],
    ],
  );
  assert.deepEqual(
    w.monitors.map((m) => m.chardev),
    ['serial0', 'compat_monitor1'],
  );
  assert.deepEqual(
    w.drives.map((d) => [d.id, d.file]),
    [['ide0-hd1', 'a,b']],
  );
});

test('-device floppy: drives of the floppy controller', () => {
  const w = wish('-device', 'floppy,drive=a', '-device', 'floppy,drive=b,drive-type=288,bootindex=2');
  addDefaults(w, false);
  assert.deepEqual(
    w.devices.map(({ type, properties }) => ({ type, ...properties })),
    [{ type: 'isa-fdc', driveA: 'a', driveB: 'b', fdtypeB: '288', bootindexB: '2' }],
  );
  assert.ok(!w.drives.some((d) => d.interface === 'floppy'), 'no empty drive besides');
  const { driveB, driveA } = wish('-device', 'floppy,drive=a,unit=1').devices[0]!.properties;
  assert.deepEqual([driveA, driveB], [undefined, 'a']);
});

test('defaults: what every PC has, unless told otherwise', () => {
  const plain = wish();
  addDefaults(plain, false);
  assert.deepEqual(
    plain.drives.map((d) => d.id),
    ['ide1-cd0', 'floppy0'],
  );
  const sata = wish('-drive', 'file=a', '-hdb', 'b', '-machine', 'q35');
  addDefaults(sata, false);
  assert.deepEqual(
    sata.drives.map((d) => d.id),
    ['ide0-hd0', 'ide1-hd0', 'ide2-cd0'],
  );
  assert.equal(plain.vga, 'std');
  assert.equal(plain.display, 'none');
  const terminal = wish();
  addDefaults(terminal, true);
  assert.equal(terminal.display, 'curses');
  const none = wish('-nodefaults');
  addDefaults(none, false);
  assert.deepEqual([none.serials, none.monitors, none.drives, none.vga], [[], [], [], 'none']);
  const nographic = wish('-nographic');
  addDefaults(nographic, true);
  assert.deepEqual(
    nographic.chardevs.map((c) => [c.id, c.spec.type, c.mux]),
    [
      ['parallel0', 'null', false],
      ['serial0', 'stdio', true],
    ],
  );
  assert.throws(() => addDefaults(wish('-display', 'curses', '-serial', 'stdio'), true), /has the terminal already/);
});

test('what -accel kvm takes besides interrupt controllers', () => {
  const { kvmTuning } = wish(
    '-accel',
    'kvm,notify-vmexit=internal-error,notify-window=128,kvm-shadow-mem=8M,dirty-ring-size=4096',
  );
  assert.deepEqual(kvmTuning, { notify: 'internal-error', notifyWindow: 128, shadowMemoryBytes: 8 << 20 });
  assert.equal(wish('-accel', 'kvm,notify-vmexit=disable', '-accel', 'tcg').kvmTuning.notify, 'disable');
});

test('accelerators in order of preference', () => {
  const names = (...args: string[]): string[] => wish(...args).accelerators.map(({ name }) => name);
  assert.deepEqual(names('-accel', 'kvm,kernel_irqchip=off', '-accel', 'tcg'), ['kvm', 'tcg']);
  assert.deepEqual(names('-machine', 'accel=kvm:tcg'), ['kvm', 'tcg']);
  // -enable-kvm is -machine accel=kvm, of which the last counts.
  assert.deepEqual(names('-machine', 'accel=tcg', '-enable-kvm'), ['kvm']);
  assert.deepEqual(names('-enable-kvm', '-M', 'q35,accel=tcg'), ['tcg']);
  assert.equal(wish('-machine', 'accel=kvm,kvm-shadow-mem=8M').kvmTuning.shadowMemoryBytes, 8 << 20);
});
