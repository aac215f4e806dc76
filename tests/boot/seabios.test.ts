/** SeaBIOS boots from floppy, hard disk and CD, shows text and takes keys: controllers, VGA and keyboard together. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { MemoryNode } from '../../src/block/memory.js';
import type { MachineOptions } from '../../src/boards/board.js';
import { biosFile } from '../../tools/guest/guests.js';
import { missing } from '../../tools/guest/missing.js';
import { System } from '../support/system.js';

/**
 * A boot sector: reads the sector after it (of a CD: sector 21), prints the text there, then echoes keys. It prints on the
 * screen and on COM1.
 *
 *   start:  xor ax, ax / mov ds, ax / mov es, ax / mov ss, ax / mov sp, 0x7000
 *           cmp dl, 0xe0 / jae cd
 *           mov ax, 0x0201 / mov bx, 0x8000 / mov cx, 2 / mov dh, 0 / jmp go
 *   cd:     mov si, packet / mov ah, 0x42
 *   go:     int 0x13 / mov si, 0x8000 / jnc say / mov si, failed
 *   say:    call print
 *   key:    mov ah, 0 / int 0x16 / call put / jmp key
 *   print:  lodsb / test al, al / jz back / call put / jmp print
 *   put:    mov ah, 0x0e / mov bx, 7 / int 0x10 / mov dx, 0x3f8 / out dx, al
 *   back:   ret
 *   failed: db 'disk error', 0
 *   packet: db 16, 0 / dw 1, 0x8000, 0 / dq 21
 */
const BOOT_SECTOR = `
  ea 05 7c 00 00 31 c0 8e d8 8e c0 8e d0 bc 00 70 80 fa e0 73 0d b8 01 02 bb 00 80 b9 02 00 b6 00
  eb 05 be 60 7c b4 42 cd 13 be 00 80 73 03 be 53 7c e8 09 00 b4 00 cd 16 e8 0c 00 eb f7 ac 84 c0
  74 10 e8 02 00 eb f6 b4 0e bb 07 00 cd 10 ba f8 03 ee c3 64 69 73 6b 20 65 72 72 6f 72 00 90 90
  10 00 01 00 00 80 00 00 15`;

function put(image: Uint8Array, at: number, text: string): void {
  image.set(new TextEncoder().encode(text), at);
}

function bootSector(): Uint8Array {
  const sector = new Uint8Array(512);
  sector.set(
    BOOT_SECTOR.trim()
      .split(/\s+/)
      .map((byte) => Number.parseInt(byte, 16)),
  );
  sector.set([0x55, 0xaa], 510);
  return sector;
}

function disk(bytes: number, says: string): MemoryNode {
  const image = new Uint8Array(bytes);
  image.set(bootSector());
  put(image, 512, says);
  return MemoryNode.of(image);
}

/** A disc with an El Torito catalog and a boot image without emulation ("El Torito" 1.0, 2.0 and 3.0). */
function disc(says: string): MemoryNode {
  const SECTOR = 2048;
  const image = new Uint8Array(64 * SECTOR);
  const [primary, bootRecord, terminator, catalog, boot, data] = [16, 17, 18, 19, 20, 21].map((n) => n * SECTOR) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  put(image, primary, '\x01CD001\x01');
  put(image, bootRecord, '\x00CD001\x01EL TORITO SPECIFICATION');
  image[bootRecord + 0x47] = catalog / SECTOR;
  put(image, terminator + 1, 'CD001\x01');
  image[terminator] = 0xff;
  // Validation entry: its words sum up to 0.
  image.set([0x01, 0x00], catalog);
  image.set([0xaa, 0x55, 0x55, 0xaa], catalog + 0x1c);
  // Default entry: bootable, no emulation, four sectors of 512 bytes at sector 20.
  image.set([0x88, 0, 0, 0, 0, 0, 4, 0, boot / SECTOR], catalog + 0x20);
  image.set(bootSector(), boot);
  put(image, data, says);
  return MemoryNode.of(image, true);
}

const skip = await missing('seabios');

const cases: readonly (readonly [string, () => MemoryNode, Partial<MachineOptions>])[] = [
  ['floppy', () => disk(1474560, 'from the floppy'), { floppies: ['medium'], bootOrder: 'a' }],
  [
    'hard disk',
    () => disk(8 << 20, 'from the hard disk'),
    { ideDrives: [{ index: 0, drive: 'medium', media: 'disk' }] },
  ],
  ['CD', () => disc('from the CD'), { ideDrives: [{ index: 2, drive: 'medium', media: 'cdrom' }], bootOrder: 'd' }],
];

for (const [name, medium, machine] of cases) {
  test(`SeaBIOS boots a ${name}; screen and keyboard work`, { skip, timeout: 120_000 }, async () => {
    const system = new System({
      machine: { ...machine, firmware: readFileSync(await biosFile('bios.bin')) },
      media: { medium: medium() },
      images: { 'vgabios-stdvga.bin': readFileSync(await biosFile('vgabios-stdvga.bin')) },
    });
    try {
      await system.expect(`from the ${name}`, 60);
      await system.expectScreen(`from the ${name}`, 5);
      assert.match(system.screen(), /SeaBIOS \(version/);
      system.type(' Typed: <Hello>');
      await system.expect(' Typed: <Hello>', 20);
      await system.expectScreen(`from the ${name} Typed: <Hello>`, 5);
    } finally {
      system.dispose();
    }
  });
}
