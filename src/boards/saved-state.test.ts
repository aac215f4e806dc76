/** Whole boards with every type of device: saved, disturbed and loaded they are what they were; a hostile state does no harm. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UserError } from '../base/errors.js';
import { Drive } from '../block/drive.js';
import { MemoryNode } from '../block/memory.js';
import { DEVICE_TYPES } from '../devices/index.js';
import { MemoryFolder } from '../devices/virtio/ninep/testing-folder.js';
import type { DeviceState, StateValue } from '../machine/state.js';
import { randomNumbers } from '../machine/testing/conformance.js';
import type { BoardType, DeviceRequest, MachineOptions } from './board.js';
import { isapc } from './isapc.js';
import { microvm } from './microvm.js';
import { pc } from './pc.js';
import { q35 } from './q35.js';
import { TestMachine } from './testing/test-machine.js';

type Random = () => number;

const device = (type: string, properties: Record<string, string> = {}): DeviceRequest => ({ type, id: '', properties });
const ISA = [device('isa-debugcon'), device('isa-debug-exit'), device('pvpanic'), device('pc-testdev')];
const PCI = [
  device('virtio-rng-pci'),
  device('virtio-balloon-pci'),
  device('virtio-blk-pci', { drive: 'disk-v' }),
  { ...device('virtio-serial-pci'), id: 'vs' },
  device('virtconsole', { chardev: 'c' }),
  device('virtserialport', { chardev: 'p' }),
  device('virtio-scsi-pci'),
  device('scsi-hd', { drive: 'disk-s' }),
  device('scsi-cd', { drive: 'cd-s' }),
  device('virtio-9p-pci', { fsdev: 'folder', mount_tag: 'tag' }),
  device('nvme', { drive: 'disk-n', serial: 'n' }),
];

const BOARDS: readonly (readonly [BoardType, Partial<MachineOptions>])[] = [
  [
    pc,
    {
      vga: 'std',
      serials: ['', ''],
      parallels: [''],
      floppies: ['disk-f', undefined],
      ideDrives: [
        { index: 0, drive: 'disk-i', media: 'disk' },
        { index: 2, drive: 'cd-i', media: 'cdrom' },
      ],
      devices: [...ISA, ...PCI, { ...device('ich9-ahci'), id: 'ahci' }],
    },
  ],
  [
    q35,
    {
      vga: 'std',
      serials: [''],
      ideDrives: [
        { index: 0, drive: 'disk-i', media: 'disk' },
        { index: 2, drive: 'cd-i', media: 'cdrom' },
      ],
      devices: [...ISA, ...PCI, { ...device('pcie-root-port'), id: 'rp' }, device('virtio-rng-pci', { bus: 'rp' })],
    },
  ],
  [
    microvm,
    {
      serials: [''],
      devices: [
        device('virtio-rng-device'),
        device('virtio-balloon-device'),
        device('virtio-blk-device', { drive: 'disk-v' }),
        device('virtio-serial-device'),
        device('virtconsole', { chardev: 'c' }),
        device('virtio-scsi-device'),
        device('scsi-hd', { drive: 'disk-s' }),
        device('virtio-9p-device', { fsdev: 'folder', mount_tag: 'tag' }),
      ],
    },
  ],
  [isapc, { vga: 'std', serials: [''], parallels: [''], devices: ISA }],
];

function build(board: BoardType, options: Partial<MachineOptions>): TestMachine {
  const drives = new Map<string, Drive>();
  const drive = (id: string): Drive => {
    const cd = id.startsWith('cd');
    const node = new MemoryNode(id === 'disk-f' ? 1_474_560 : 1 << 20, id, cd);
    const found = drives.get(id) ?? new Drive(id === '' ? null : node, { id });
    if (id !== '') drives.set(id, found);
    return found;
  };
  const m = new TestMachine(board, options, { drive, folder: () => new MemoryFolder() });
  const ports = m.machine.ports;
  assert.ok(ports);
  return m;
}

/** A guest that does anything at all, with a kind word to the devices now and then. */
function disturb(m: TestMachine, random: Random, steps: number): void {
  const { machine } = m;
  const ports = machine.ports.ranges.flatMap((r) =>
    Array.from({ length: r.last - r.start + 1 }, (_, i) => r.start + i),
  );
  const { ioRegions } = machine.memory;
  const pci = machine.ports.ranges.some((r) => r.start <= 0xcf8 && 0xcf8 <= r.last);
  for (let step = 0; step < steps; step++) {
    const size = ([1, 2, 4] as const)[random() % 3]!;
    const kind = random() % 8;
    if (kind < 3) {
      const port = ports[random() % ports.length]!;
      if (random() & 1) machine.io.portWrite(port, size, random());
      else machine.io.portRead(port, size);
    } else if (kind < 7 || !pci) {
      const region = 1 + (random() % (ioRegions.length - 1));
      const offset = random() % ioRegions[region]!.size;
      if (random() & 1) machine.io.mmioWrite(region, offset, size, random() % 4 === 0 ? random() : random() & 7);
      else machine.io.mmioRead(region, offset, size);
    } else m.configWrite(random() % 32, random() % 8, random() % 256, 1, random() & 0xff);
    if (step % 64 === 0) {
      m.advance(random() % 3_000_000);
      machine.lifecycle.service();
      machine.lifecycle.start();
    }
  }
}

function stop(m: TestMachine): void {
  m.machine.lifecycle.pause();
  m.machine.lifecycle.service();
  assert.equal(m.machine.lifecycle.running, false);
}

interface Saved {
  readonly virtual: number;
  readonly devices: Readonly<Record<string, DeviceState>>;
  readonly ram: readonly Uint8Array[];
}

function save({ machine, clocks }: TestMachine): Saved {
  return {
    virtual: clocks.virtual.now(),
    devices: machine.saveDevices(),
    ram: machine.memory.ramBlocks.map(({ bytes }) => bytes.slice()),
  };
}

function load({ machine, clocks }: TestMachine, saved: Saved): void {
  clocks.setVirtual(saved.virtual);
  machine.memory.ramBlocks.forEach(({ bytes }, i) => {
    bytes.set(saved.ram[i]!);
  });
  machine.loadDevices(saved.devices);
}

/** The calendar goes on with the host's. */
function comparable(devices: Readonly<Record<string, DeviceState>>): unknown {
  return Object.fromEntries(Object.entries(devices).filter(([path]) => !path.includes('mc146818')));
}

test('every type of device is on one of the boards', () => {
  const types = new Set(
    BOARDS.flatMap(([board, options]) =>
      build(board, options)
        .machine.devices()
        .map(({ node }) => node.type),
    ),
  );
  assert.deepEqual(
    DEVICE_TYPES.map(({ name }) => name).filter((name) => !types.has(name)),
    [],
  );
});

for (const [board, options] of BOARDS) {
  test(`${board.name}: a new machine's RAM is zero, so that loading need not make it so`, () => {
    const { memory } = build(board, options).machine;
    const used = memory.ramBlocks.filter(({ bytes, filled }) => !filled && bytes.some((byte) => byte !== 0));
    assert.deepEqual(
      used.map(({ name }) => name),
      [],
    );
  });

  test(`${board.name}: saved, disturbed and loaded it is what it was; so is a new one`, () => {
    for (const seed of [1, 2, 3]) {
      const random = randomNumbers(seed);
      const m = build(board, options);
      disturb(m, random, 3000);
      stop(m);
      const saved = save(m);
      const kept = structuredClone(saved);
      m.machine.lifecycle.start();
      disturb(m, random, 2000);
      stop(m);
      m.machine.reset();
      assert.deepEqual(saved.devices, kept.devices, 'what is saved shares nothing with the machine');
      load(m, saved);
      assert.deepEqual(comparable(m.machine.saveDevices()), comparable(kept.devices));
      const other = build(board, options);
      stop(other);
      load(other, saved);
      assert.deepEqual(comparable(other.machine.saveDevices()), comparable(kept.devices));
      // Both go on the same way.
      for (const each of [m, other]) {
        each.machine.lifecycle.start();
        each.advance(1_000_000);
        stop(each);
      }
      assert.deepEqual(comparable(m.machine.saveDevices()), comparable(other.machine.saveDevices()));
    }
  });

  test(`${board.name}: states with anything changed in them are refused, or do no harm`, () => {
    const random = randomNumbers(77);
    const m = build(board, options);
    disturb(m, random, 3000);
    stop(m);
    const saved = save(m);
    let refused = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const devices = structuredClone(saved.devices) as Record<string, DeviceState>;
      const changes = [
        mutate(devices as unknown as StateValue, random),
        mutate(devices as unknown as StateValue, random),
      ];
      stop(m);
      m.machine.reset();
      try {
        load(m, { ...saved, devices });
      } catch (error) {
        assert.ok(error instanceof UserError, `${changes}: ${(error as Error).stack}`);
        refused++;
        m.machine.reset();
      }
      m.machine.lifecycle.start();
      try {
        disturb(m, random, 200);
      } catch (error) {
        assert.fail(`${changes}: ${(error as Error).stack}`);
      }
    }
    assert.ok(refused > 0);
  });
}

const ROUNDS = 100;
const NUMBERS = [0, 1, -1, 2 ** 31, 2 ** 32 - 1, 2 ** 53, -(2 ** 53), 0.5, 1e300, Number.POSITIVE_INFINITY, Number.NaN];

/** Changes one value somewhere inside; tells which. */
function mutate(root: StateValue, random: Random): string {
  let at = root as Record<string, StateValue>;
  let path = '';
  for (;;) {
    const keys = Object.keys(at);
    if (keys.length === 0) return `${path}: empty`;
    const key = keys[random() % keys.length]!;
    path += `/${key}`;
    const value = at[key]!;
    const inner = typeof value === 'object' && (!ArrayBuffer.isView(value) || random() % 4 > 0);
    if (inner && Object.keys(value).length > 0 && random() % 40 > 0) {
      at = value as Record<string, StateValue>;
      continue;
    }
    const typed = ArrayBuffer.isView(at);
    const kinds: StateValue[] = [NUMBERS[random() % NUMBERS.length]!, 'text', true, [], {}, new Uint8Array(3), 1n];
    const changed =
      typeof value === 'number' && (typed || random() % 8 > 0)
        ? random() & 1
          ? random()
          : NUMBERS[random() % NUMBERS.length]!
        : typeof value === 'boolean' && random() & 1
          ? !value
          : Array.isArray(value) && random() & 1
            ? [...(value as StateValue[]), ...(value as StateValue[]), 5]
            : kinds[random() % kinds.length]!;
    at[key] = changed;
    return `${path} = ${String(changed)}`;
  }
}
