/** `bootindex=`: paths as QEMU 7.2 gives them to firmware. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Drive } from '../block/drive.js';
import { MemoryNode } from '../block/memory.js';
import { FwCfgKey } from '../firmware/fw-cfg-contents.js';
import type { DeviceRequest } from './board.js';
import { bootOrder } from './boot-order.js';
import { isapc } from './isapc.js';
import { microvm } from './microvm.js';
import { pc } from './pc.js';
import { q35 } from './q35.js';
import { TestMachine } from './testing/test-machine.js';

const drive = (): Drive => new Drive(new MemoryNode(1 << 20), { id: 'd' });
const device = (type: string, properties: Record<string, string>): DeviceRequest => ({ type, id: '', properties });

test('pc: disks in the order of their indexes', () => {
  const m = new TestMachine(
    pc,
    {
      devices: [
        device('virtio-blk-pci', { drive: 'd', addr: '6', bootindex: '3' }),
        { type: 'virtio-scsi-pci', id: 's', properties: { addr: '7.1' } },
        device('scsi-hd', { drive: 'd', bus: 's.0', 'scsi-id': '12', bootindex: '0' }),
        device('ide-cd', { bus: 'ide.1', unit: '1', bootindex: '2' }),
        device('nvme', { drive: 'd', serial: 'x', addr: '8', bootindex: '1' }),
        device('isa-fdc', { driveA: 'd', bootindexA: '4' }),
        device('ide-hd', { drive: 'd', bus: 'ide.0', unit: '0' }),
      ],
    },
    { drive },
  );
  assert.deepEqual(bootOrder(m.machine.root), [
    '/pci@i0cf8/scsi@7,1/channel@0/disk@c,0',
    '/pci@i0cf8/nvme@8/namespace@1,0',
    '/pci@i0cf8/ide@1,1/drive@1/disk@1',
    '/pci@i0cf8/scsi@6/disk@0,0',
    '/pci@i0cf8/isa@1/fdc@03f0/floppy@0',
  ]);
});

test('q35: a port of the AHCI controller, and a disk behind a root port', () => {
  const m = new TestMachine(
    q35,
    {
      devices: [
        { type: 'pcie-root-port', id: 'rp', properties: { addr: '4' } },
        device('virtio-blk-pci', { drive: 'd', bus: 'rp', bootindex: '1' }),
        device('ide-hd', { drive: 'd', bus: 'ide.2', bootindex: '0' }),
      ],
    },
    { drive },
  );
  assert.deepEqual(bootOrder(m.machine.root), [
    '/pci@i0cf8/pci8086,2922@1f,2/drive@2/disk@0',
    '/pci@i0cf8/pci-bridge@4/scsi@0/disk@0,0',
  ]);
});

test('isapc: channels by their ports', () => {
  const m = new TestMachine(
    isapc,
    {
      devices: [
        device('ide-hd', { drive: 'd', bootindex: '1' }),
        device('ide-cd', { bus: 'ide.1', unit: '1', bootindex: '0' }),
        device('isa-fdc', { driveA: 'd', bootindexA: '3' }),
      ],
    },
    { drive },
  );
  assert.deepEqual(bootOrder(m.machine.root), [
    '/isa/ide@0170/drive@0/disk@1',
    '/isa/ide@01f0/drive@0/disk@0',
    '/isa/fdc@03f0/floppy@0',
  ]);
});

test('microvm: transports by their addresses', () => {
  const m = new TestMachine(
    microvm,
    {
      devices: [
        device('virtio-blk-device', { drive: 'd', bootindex: '1' }),
        { type: 'virtio-scsi-device', id: 's', properties: {} },
        device('scsi-hd', { drive: 'd', bus: 's.0', bootindex: '0' }),
      ],
    },
    { drive },
  );
  assert.deepEqual(bootOrder(m.machine.root), [
    '/virtio-mmio@00000000feb00200/channel@0/disk@0,0',
    '/virtio-mmio@00000000feb00000/disk@0,0',
  ]);
});

/** What firmware reads from fw_cfg. */
function told(m: TestMachine): string {
  const file = (key: number, bytes: number): Buffer => {
    m.machine.io.portWrite(0x510, 2, key);
    return Buffer.from(Array.from({ length: bytes }, () => m.inb(0x511)));
  };
  const count = file(FwCfgKey.fileDirectory, 4).readUInt32BE();
  const directory = file(FwCfgKey.fileDirectory, 4 + 64 * count).subarray(4);
  for (let at = 0; at < directory.length; at += 64) {
    if (!directory.toString('latin1', at + 8, at + 64).startsWith('bootorder\0')) continue;
    return file(directory.readUInt16BE(at + 4), directory.readUInt32BE(at)).toString('latin1');
  }
  return 'no file';
}

test('a disk that is plugged in counts from the next reset on', () => {
  const m = new TestMachine(
    pc,
    { devices: [device('virtio-blk-pci', { drive: 'd', addr: '5', bootindex: '1' })] },
    { drive },
  );
  const first = '/pci@i0cf8/scsi@5/disk@0,0';
  assert.equal(told(m), `${first}\0`);
  const { hotplug } = m.built;
  hotplug!.add({ type: 'virtio-blk-pci', id: 'x', properties: { drive: 'd', addr: '6', bootindex: '0' } });
  assert.equal(told(m), `${first}\0`);
  m.machine.reset();
  assert.equal(told(m), `/pci@i0cf8/scsi@6/disk@0,0\n${first}\0`);
  assert.throws(
    () => hotplug!.add({ type: 'virtio-blk-pci', id: 'y', properties: { drive: 'd', addr: '7', bootindex: '0' } }),
    { message: 'The bootindex 0 has already been used' },
  );
  assert.equal(told(new TestMachine(pc)), '');
});

test('an index is used once', () => {
  const devices = ['5', '6'].map((addr) => device('virtio-blk-pci', { drive: 'd', addr, bootindex: '1' }));
  assert.throws(() => new TestMachine(pc, { devices }, { drive }), {
    message: 'The bootindex 1 has already been used',
  });
});
