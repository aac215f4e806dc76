/** Text mode as a kernel finds it that was started without firmware. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compose } from '../../src/app/lib/compose.js';
import { BOARDS, DEFAULT_OPTIONS } from '../../src/boards/index.js';
import { NullBackend } from '../../src/char/null.js';
import { setTextMode } from '../../src/firmware/boot/text-mode.js';
import { GLYPH_HEIGHT, vgaFont } from '../../src/firmware/boot/vga-font.js';
import { parseCpu } from '../../src/guest/x86/cpu-models.js';
import { X86_64 } from '../../src/guest/x86/index.js';

const PAGE = 0x8000;
const GLYPH_STRIDE = 32;

for (const name of ['pc', 'isapc'] as const) {
  test(`${name}: a page of spaces, and the font`, () => {
    const { machine } = compose({
      guest: X86_64,
      board: BOARDS.find((board) => board.name === name)!,
      cpu: parseCpu('qemu64'),
      topology: { sockets: 1, cores: 1, threads: 1 },
      accelerator: 'tcg',
      report: (text) => assert.fail(text),
      chardev: () => new NullBackend(),
      machine: { ...DEFAULT_OPTIONS, ramBytes: 32 << 20, vga: 'std' },
    });
    const { io, system } = machine;
    const out = (port: number, index: number, value: number): void => {
      io.portWrite(port, 1, index);
      io.portWrite(port + 1, 1, value);
    };
    system.write(0xb8000, new Uint8Array(PAGE).fill(0x5a));
    const registers = (): number[] =>
      [...Array(25).keys()].map((i) => {
        io.portWrite(0x3d4, 1, i);
        return io.portRead(0x3d5, 1);
      });
    setTextMode({ read: (p, s) => io.portRead(p, s), write: (p, s, v) => io.portWrite(p, s, v) }, system);
    assert.deepEqual(registers().slice(0, 3), [0x5f, 0x4f, 0x50]);

    const page = new Uint8Array(PAGE);
    system.read(0xb8000, page);
    assert.ok(page.every((byte, i) => byte === (i & 1 ? 0x07 : 0x20)));

    // Plane 2, byte by byte at a0000h.
    out(0x3c4, 4, 0x06);
    out(0x3ce, 4, 0x02);
    out(0x3ce, 5, 0x00);
    out(0x3ce, 6, 0x04);
    const glyphs = new Uint8Array(256 * GLYPH_STRIDE);
    system.read(0xa0000, glyphs);
    for (let c = 0; c < 256; c++) {
      const glyph = glyphs.subarray(c * GLYPH_STRIDE, (c + 1) * GLYPH_STRIDE);
      assert.deepEqual(glyph.subarray(0, GLYPH_HEIGHT), vgaFont().subarray(c * GLYPH_HEIGHT, (c + 1) * GLYPH_HEIGHT));
      assert.ok(glyph.subarray(GLYPH_HEIGHT).every((row) => row === 0));
    }
    machine.dispose();
  });
}
