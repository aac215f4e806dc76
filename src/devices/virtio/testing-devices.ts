/** Every type of virtio device, each with backends of its own, for tests that go over all. */
import { Drive } from '../../block/drive.js';
import { MemoryNode } from '../../block/memory.js';
import { NullBackend } from '../../char/null.js';
import { ScsiCd } from '../scsi/scsi-cd.js';
import { ScsiHd } from '../scsi/scsi-hd.js';
import type { ScsiSlot } from '../scsi/scsi-unit.js';
import { VirtioBalloon } from './balloon/virtio-balloon.js';
import { VirtioBlk } from './blk/virtio-blk.js';
import { CharPort } from './console/ports.js';
import { VirtioSerial } from './console/virtio-serial.js';
import type { VirtioDevice } from './core/virtio-device.js';
import { MemoryFolder } from './ninep/testing-folder.js';
import { Virtio9p } from './ninep/virtio-9p.js';
import { VirtioRng } from './rng/virtio-rng.js';
import { VirtioScsi } from './scsi/virtio-scsi.js';

export const DEVICES: Readonly<Record<string, () => VirtioDevice>> = {
  'virtio-rng': () => new VirtioRng(() => 4, { packedRing: true }),
  'virtio-balloon': () => new VirtioBalloon({ packedRing: true, ramBytes: 4 << 20, deflateOnOom: true }),
  'virtio-serial': () => {
    const device = new VirtioSerial({ packedRing: true, maxPorts: 3, emergencyWrite: true });
    new CharPort({ controller: device, port: undefined }, 'virtconsole', 'c', true, new NullBackend());
    new CharPort({ controller: device, port: undefined }, 'virtserialport', 'p', false, new NullBackend());
    return device;
  },
  'virtio-scsi': () => {
    const device = new VirtioScsi({ packedRing: true, queues: 2, queueSize: 64, maxSectors: 0xffff, cmdPerLun: 128 });
    const { offered } = device.bus;
    const place = { 'scsi-id': -1, lun: -1 };
    const drive = new Drive(new MemoryNode(1 << 20), { id: 'd' });
    const identity = { vendor: 'V', product: 'P', version: '1', serial: 's' };
    const blocks = { logicalBlockSize: 512, physicalBlockSize: 512, rotationRate: 1 };
    new ScsiHd(drive, offered.slot('scsi-hd', place) as ScsiSlot, { ...identity, ...blocks });
    const disc = new Drive(new MemoryNode(1 << 20, 'cd', true), { id: 'c' });
    new ScsiCd(disc, offered.slot('scsi-cd', place) as ScsiSlot, identity);
    return device;
  },
  'virtio-9p': () =>
    new Virtio9p({ packedRing: true, folder: new MemoryFolder(), tag: 'tag', now: () => 1_700_000_000e9 }),
  'virtio-blk': () =>
    new VirtioBlk({
      backend: new Drive(new MemoryNode(1 << 20), { id: 'd' }),
      packedRing: true,
      serial: 's',
      queues: 2,
      queueSize: 64,
      configWce: true,
      discard: true,
      writeZeroes: true,
      logicalBlockSize: 512,
      physicalBlockSize: 512,
    }),
};
