/** SeaBIOS finds its own way to disks on controllers that are not a PC's oldest: virtio, AHCI, NVMe; on every board. */
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { MemoryNode } from '../../src/block/memory.js';
import type { BoardType, MachineOptions } from '../../src/boards/board.js';
import { pc } from '../../src/boards/pc.js';
import { q35 } from '../../src/boards/q35.js';
import { biosFile } from '../../tools/guest/guests.js';
import { missing } from '../../tools/guest/missing.js';
import { System } from '../support/system.js';

/**
 * Prints the text behind it on COM1.
 *
 *   xor ax, ax / mov ds, ax / mov si, text / cld / mov dx, 0x3f8
 *   say: lodsb / test al, al / jz $ / out dx, al / jmp say
 *   text: db 'from the disk', 0
 */
const CODE = '31 c0 8e d8 be 14 7c fc ba f8 03 ac 84 c0 74 fe ee eb f8 90';

function disk(says: string): MemoryNode {
  const image = new Uint8Array(1 << 20);
  const code = CODE.split(' ').map((byte) => Number.parseInt(byte, 16));
  image.set(code);
  image.set(new TextEncoder().encode(says), code.length);
  image.set([0x55, 0xaa], 510);
  return MemoryNode.of(image);
}

const device = (type: string, properties: Readonly<Record<string, string>>) => ({ type, id: '', properties });
const skip = await missing('seabios');

const cases: readonly (readonly [string, BoardType, Partial<MachineOptions>])[] = [
  ['virtio-blk-pci on pc', pc, { devices: [device('virtio-blk-pci', { drive: 'medium' })] }],
  [
    'modern virtio-blk-pci on q35',
    q35,
    { devices: [device('virtio-blk-pci', { drive: 'medium', 'disable-legacy': 'on' })] },
  ],
  ['virtio-scsi-pci on pc', pc, { devices: [device('virtio-scsi-pci', {}), device('scsi-hd', { drive: 'medium' })] }],
  ['NVMe on q35', q35, { devices: [device('nvme', { drive: 'medium', serial: 's' })] }],
  ['AHCI on q35', q35, { ideDrives: [{ index: 0, drive: 'medium', media: 'disk' }] }],
];

for (const [name, board, machine] of cases) {
  test(`SeaBIOS boots from ${name}`, { skip, timeout: 120_000 }, async () => {
    const says = `booted by ${name}`;
    const system = new System({
      board,
      machine: { ...machine, vga: 'none', firmware: readFileSync(await biosFile('bios-256k.bin')) },
      media: { medium: disk(says) },
    });
    try {
      await system.expect(says, 60);
    } finally {
      system.dispose();
    }
  });
}
