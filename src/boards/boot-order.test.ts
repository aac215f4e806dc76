/** `bootindex=`: paths as QEMU 7.2 gives them to firmware. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Drive } from '../block/drive.js';
import { MemoryNode } from '../block/memory.js';
import type { DeviceRequest } from './board.js';
import { bootOrder } from './boot-order.js';
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

test('an index is used once', () => {
  const devices = ['5', '6'].map((addr) => device('virtio-blk-pci', { drive: 'd', addr, bootindex: '1' }));
  assert.throws(() => new TestMachine(pc, { devices }, { drive }), {
    message: 'The bootindex 1 has already been used',
  });
});
