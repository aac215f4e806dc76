/** Every type of virtio device, each with backends of its own, for tests that go over all. */
import { Drive } from '../../block/drive.js';
import { MemoryNode } from '../../block/memory.js';
import { VirtioBlk } from './blk/virtio-blk.js';
import type { VirtioDevice } from './core/virtio-device.js';

export const DEVICES: Readonly<Record<string, () => VirtioDevice>> = {
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
