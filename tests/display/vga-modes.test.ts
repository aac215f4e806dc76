/** What the VGA shows in the BIOS's modes, dot by dot against QEMU's. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { MemoryNode } from '../../src/block/memory.js';
import { toPpm } from '../../src/display/screendump.js';
import { biosFile } from '../../tools/guest/guests.js';
import { missing } from '../../tools/guest/missing.js';
import { System } from '../support/system.js';

/**
 * A boot sector. It says '.' on COM1 and waits for a key; then, for each row of the table at its end (AX and BX of INT 10h, segment, and whether
 * the plane mask changes with each byte), it sets the mode, prints two lines, draws, and does so again.
 *
 *   start:  xor ax, ax / mov ds, ax / mov ss, ax / mov sp, 0x7000 / cld / mov si, modes
 *   next:   mov al, '.' / mov dx, 0x3f8 / out dx, al / mov ah, 0 / int 0x16
 *           lodsw / test ax, ax / jz start / xchg ax, bx / lodsw / xchg ax, bx / push ax / int 0x10 / pop ax
 *           push si / mov ah, 1 / mov cx, 0x2000 / int 0x10 / mov si, text
 *   say:    lodsb / test al, al / jz draw / mov ah, 0x0e / mov bx, 0x000b / int 0x10 / jmp say
 *   draw:   pop si / lodsw / test ax, ax / jz next / mov es, ax / mov di, 0x1000 / mov bx, 1
 *   dot:    mov dx, 0x3c4 / mov ax, bx / shl ax, 8 / mov al, 2 / cmp byte [si], 0 / je plain / out dx, ax
 *   plain:  mov ax, bx / mul bx / xor al, ah / mov [es:di], al / inc bx / inc di / cmp bx, 0x3000 / jb dot / lodsb / jmp next
 *   text:   db 'The quick brown fox 0123456789 ', 0xda, 0xc4, 0xbf, 0xdb, 13, 10, 'second line', 0
 */
const CODE = `
  ea 05 7c 00 00 31 c0 8e d8 8e d0 bc 00 70 fc be a4 7c b0 2e ba f8 03 ee b4 00 cd 16 ad 85 c0 74
  e4 93 ad 93 50 cd 10 58 56 b4 01 b9 00 20 cd 10 be 73 7c ac 84 c0 74 09 b4 0e bb 0b 00 cd 10 eb
  f2 5e ad 85 c0 74 cb 8e c0 bf 00 10 bb 01 00 ba c4 03 89 d8 c1 e0 08 b0 02 80 3c 00 74 01 ef 89
  d8 f7 e3 30 e0 26 88 05 43 47 81 fb 00 30 72 df ac eb 9f 54 68 65 20 71 75 69 63 6b 20 62 72 6f
  77 6e 20 66 6f 78 20 30 31 32 33 34 35 36 37 38 39 20 da c4 bf db 0d 0a 73 65 63 6f 6e 64 20 6c
  69 6e 65 00`;

const VBE_SET_MODE = 0x4f02;
/** Name, AX, BX, segment, changing planes. The VGA BIOS does not get out of monochrome modes, so they are not here. */
const MODES = [
  ['03h text', 0x03, 0, 0, 0],
  ['04h CGA, 4 colours', 0x04, 0, 0xb800, 0],
  ['06h CGA, 2 colours', 0x06, 0, 0xb800, 0],
  ['0Dh 320x200x16', 0x0d, 0, 0xa000, 1],
  ['10h 640x350x16', 0x10, 0, 0xa000, 1],
  ['12h 640x480x16', 0x12, 0, 0xa000, 1],
  ['13h 320x200x256', 0x13, 0, 0xa000, 0],
  ['VBE 640x480x8', VBE_SET_MODE, 0x101, 0xa000, 0],
  ['VBE 640x480x15', VBE_SET_MODE, 0x110, 0xa000, 0],
  ['VBE 640x480x16', VBE_SET_MODE, 0x111, 0xa000, 0],
  ['VBE 640x480x24', VBE_SET_MODE, 0x112, 0xa000, 0],
  ['VBE 800x600x32', VBE_SET_MODE, 0x143, 0xa000, 0],
] as const;

function floppy(): Uint8Array {
  const image = new Uint8Array(1474560);
  const code = CODE.trim().split(/\s+/);
  const word = (value: number) => [value & 0xff, value >> 8];
  const table = MODES.flatMap(([, ax, bx, segment, planes]) => [
    ...word(ax),
    ...word(bx),
    ...word(segment),
    ...(segment ? [planes] : []),
  ]);
  image.set([...code.map((byte) => Number.parseInt(byte, 16)), ...table]);
  image.set([0x55, 0xaa], 510);
  return image;
}

/** QEMU leaves the low three bits of 15-bit colours zero, we repeat the high ones. */
const TOLERANCE = 7;
const POLL_MS = 50;
const ready = (shown: number): string => '.'.repeat(shown + 1);

async function until(what: string, done: () => boolean): Promise<void> {
  for (let i = 0; !done(); i++) {
    assert.ok(i < 600, `waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** A picture of every mode from QEMU. */
async function fromQemu(): Promise<Uint8Array[]> {
  const folder = mkdtempSync(join(tmpdir(), 'tinamou-test-'));
  const disk = join(folder, 'floppy');
  const serial = join(folder, 'serial');
  writeFileSync(disk, floppy());
  const devices = ['-drive', `file=${disk},if=floppy,format=raw`, '-boot', 'a', '-net', 'none', '-vga', 'std'];
  const qemu = spawn('qemu-system-x86_64', [
    ...devices,
    '-display',
    'none',
    '-serial',
    `file:${serial}`,
    '-monitor',
    'stdio',
  ]);
  try {
    const said = () => (existsSync(serial) ? readFileSync(serial, 'latin1') : '');
    const pictures: Uint8Array[] = [];
    await until('the boot sector in QEMU', () => said().includes(ready(0)));
    for (const [i, [name]] of MODES.entries()) {
      const picture = join(folder, `${i}.ppm`);
      qemu.stdin.write('sendkey x\n');
      await until(`QEMU in mode ${name}`, () => said().includes(ready(i + 1)));
      qemu.stdin.write(`screendump ${picture}\n`);
      await until('a screendump', () => existsSync(picture));
      const whole = () => readFileSync(picture);
      let before = -1;
      await until('the whole screendump', () => {
        const done = whole().length > 0 && whole().length === before;
        before = whole().length;
        return done;
      });
      pictures.push(whole());
    }
    return pictures;
  } finally {
    qemu.kill();
    rmSync(folder, { recursive: true });
  }
}

const skip =
  (await missing('seabios')) ||
  (spawnSync('qemu-system-x86_64', ['-version']).status !== 0 && 'qemu-system-x86_64 is not installed');

test('every BIOS mode looks as in QEMU', { skip, timeout: 180_000 }, async (t) => {
  const expected = await fromQemu();
  const system = new System({
    machine: { floppies: ['medium'], bootOrder: 'a', firmware: readFileSync(await biosFile('bios.bin')) },
    media: { medium: MemoryNode.of(floppy()) },
    images: { 'vgabios-stdvga.bin': readFileSync(await biosFile('vgabios-stdvga.bin')) },
  });
  try {
    await system.expect(ready(0), 60);
    for (const [i, [name]] of MODES.entries()) {
      system.type('x');
      await system.expect(ready(i + 1), 30);
      await t.test(name, () => {
        const { surface } = system.composed.display!.refresh();
        const picture = toPpm(surface);
        const differ = picture.findIndex((byte, at) => Math.abs(byte - expected[i]![at]!) > TOLERANCE);
        assert.ok(
          differ < 0 && picture.length === expected[i]!.length,
          `${surface.width} x ${surface.height}, at ${differ}`,
        );
      });
    }
  } finally {
    system.dispose();
  }
});
