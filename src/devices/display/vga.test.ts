import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rgb } from '../../display/surface.js';
import { ManualClock } from '../../machine/testing/manual-clock.js';
import { ProbeBus, throughRegion } from '../../machine/testing/probe-bus.js';
import { edid } from './edid.js';
import { VgaPci } from './vga-pci.js';

/** Register contents of BIOS modes, as the VGA BIOS of any PC sets them: misc, sequencer, CRTC, attribute, graphics. */
const MODES = {
  text: {
    misc: 0x67,
    seq: [3, 0x00, 3, 0, 2],
    crtc: '5f 4f 50 82 55 81 bf 1f 00 4f 0d 0e 00 00 00 00 9c 8e 8f 28 1f 96 b9 a3 ff',
    attr: '00 01 02 03 04 05 14 07 38 39 3a 3b 3c 3d 3e 3f 0c 00 0f 08 00',
    gfx: '00 00 00 00 00 10 0e 0f ff',
  },
  planar640: {
    misc: 0xe3,
    seq: [3, 0x01, 15, 0, 6],
    crtc: '5f 4f 50 82 54 80 0b 3e 00 40 00 00 00 00 00 00 ea 8c df 28 00 e7 04 e3 ff',
    attr: '00 01 02 03 04 05 14 07 38 39 3a 3b 3c 3d 3e 3f 01 00 0f 00 00',
    gfx: '00 00 00 00 00 00 05 0f ff',
  },
  chain4: {
    misc: 0x63,
    seq: [3, 0x01, 15, 0, 14],
    crtc: '5f 4f 50 82 54 80 bf 1f 00 41 00 00 00 00 00 00 9c 8e 8f 28 40 96 b9 a3 ff',
    attr: '00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 41 00 0f 00 00',
    gfx: '00 00 00 00 00 40 05 0f ff',
  },
  cga4: {
    misc: 0x63,
    seq: [3, 0x09, 3, 0, 2],
    crtc: '2d 27 28 90 2b 80 bf 1f 00 c1 00 00 00 00 00 00 9c 8e 8f 14 00 96 b9 a2 ff',
    attr: '00 13 15 17 02 04 06 07 10 11 12 13 14 15 16 17 01 00 03 00 00',
    gfx: '00 00 00 00 00 30 0f 0f ff',
  },
} as const;

function bench() {
  const bus = new ProbeBus();
  const clock = new ManualClock();
  const card = new VgaPci(bus.slot, clock, { vramBytes: 1 << 20, rom: null, preferred: { width: 1280, height: 800 } });
  card.reset();
  const { vga } = card;
  const vram = vga.vram.ram!.bytes;
  const out = (port: number, value: number) => vga.ports.write(port - 0x3b0, 1, value);
  const get = (port: number) => vga.ports.read(port - 0x3b0, 1);
  const indexed = (port: number, index: number, value: number) => {
    out(port, index);
    out(port + 1, value);
  };
  const window = throughRegion(vga.window.subRegions.find(({ region }) => region.kind === 'io')!.region).handler;
  return {
    bus,
    clock,
    card,
    vga,
    vram,
    out,
    get,
    indexed,
    poke: (address: number, value: number, size: 1 | 2 | 4 = 1) => window.write(address - 0xa0000, size, value),
    peek: (address: number) => window.read(address - 0xa0000, 1),
    dispi(index: number, value: number) {
      vga.dispiPorts.write(0, 2, index);
      vga.dispiPorts.write(1, 2, value);
    },
    mode(name: keyof typeof MODES) {
      const m = MODES[name];
      const bytes = (text: string) => text.split(' ').map((b) => Number.parseInt(b, 16));
      out(0x3c2, m.misc);
      m.seq.forEach((v, i) => {
        indexed(0x3c4, i, v);
      });
      indexed(0x3d4, 0x11, 0);
      bytes(m.crtc).forEach((v, i) => {
        indexed(0x3d4, i, v);
      });
      bytes(m.gfx).forEach((v, i) => {
        indexed(0x3ce, i, v);
      });
      get(0x3da);
      bytes(m.attr).forEach((v, i) => {
        out(0x3c0, i);
        out(0x3c0, v);
      });
      out(0x3c0, 0x20);
      // Colour i is i, i, i (64 levels, then again).
      out(0x3c8, 0);
      for (let i = 0; i < 256; i++) for (let c = 0; c < 3; c++) out(0x3c9, i & 63);
    },
    pixel(x: number, y: number): number {
      const { surface } = vga.refresh();
      return surface.pixels[y * surface.width + x]!;
    },
  };
}

const gray = (v: number) => {
  const level = ((v & 63) << 2) | ((v & 1) * 3);
  return rgb(level, level, level);
};

test('text: characters from the font in plane 2, nine dots wide, with attributes', () => {
  const b = bench();
  b.mode('text');
  // The font is loaded through plane 2, as any BIOS does.
  b.indexed(0x3c4, 2, 4);
  b.indexed(0x3c4, 4, 6);
  b.indexed(0x3ce, 5, 0);
  b.indexed(0x3ce, 6, 4);
  b.poke(0xa0000 + 0x41 * 32 + 3, 0x81);
  b.poke(0xa0000 + 0xc4 * 32 + 3, 0xff);
  b.indexed(0x3c4, 2, 3);
  b.indexed(0x3c4, 4, 2);
  b.indexed(0x3ce, 5, 0x10);
  b.indexed(0x3ce, 6, 0x0e);
  b.poke(0xb8000 + 2 * 81, 0x1e41, 2);
  b.poke(0xb8000 + 2 * 82, 0x1ec4, 2);
  b.indexed(0x3d4, 0x0f, 81);
  const { surface, start, end } = b.vga.refresh();
  assert.deepEqual([surface.width, surface.height, start, end], [720, 400, 0, 400]);
  const row = 16 + 3;
  const background = gray(0x01);
  const foreground = gray(0x3e);
  assert.equal(b.pixel(9, row), foreground);
  assert.equal(b.pixel(10, row), background);
  assert.equal(b.pixel(16, row), foreground);
  assert.equal(b.pixel(17, row), background, 'the ninth dot is background');
  assert.equal(b.pixel(26, row), foreground, 'but of a line character repeats the eighth');
  assert.equal(b.pixel(0, row), gray(0));
  assert.equal(b.pixel(9 + 3, 16 + 14), foreground, 'the cursor');
  b.clock.advance(200e6);
  assert.equal(b.pixel(9 + 3, 16 + 14), background, 'the cursor blinks');
  const screen = b.vga.text()!;
  assert.deepEqual([screen.columns, screen.rows, screen.blink], [80, 25, true]);
  assert.equal(screen.cells[81], 0x1e41);
  assert.deepEqual(screen.cursor, { column: 1, row: 1 });
});

test('nothing changed: nothing is redrawn', () => {
  const b = bench();
  b.mode('planar640');
  assert.deepEqual(b.vga.refresh().end, 480);
  const { start, end } = b.vga.refresh();
  assert.deepEqual([start, end], [0, 0]);
  b.poke(0xa0000 + 80 * 100, 0xff);
  const changed = b.vga.refresh();
  assert.ok(changed.start <= 100 && changed.end > 100 && changed.end - changed.start < 40);
});

test('planar: write modes 0 to 3, logic, read modes', () => {
  const b = bench();
  b.mode('planar640');
  assert.equal(b.vga.refresh().surface.width, 640);
  const a = 0xa0000 + 80;
  b.indexed(0x3c4, 2, 0x05);
  b.poke(a, 0x80);
  assert.equal(b.pixel(0, 1), gray(5));
  assert.equal(b.pixel(1, 1), gray(0));
  // Set/reset in planes 1 and 3, all planes written, bit mask 0x40 over the latch.
  b.indexed(0x3c4, 2, 0x0f);
  b.indexed(0x3ce, 0, 0x0a);
  b.indexed(0x3ce, 1, 0x0f);
  b.indexed(0x3ce, 8, 0x40);
  b.peek(a);
  b.poke(a, 0);
  assert.deepEqual([b.pixel(0, 1), b.pixel(1, 1)], [gray(5), gray(0x3a)]);
  // Write mode 2, XOR.
  b.indexed(0x3ce, 5, 2);
  b.indexed(0x3ce, 3, 0x18);
  b.indexed(0x3ce, 8, 0xff);
  b.peek(a);
  b.poke(a, 0x0f);
  assert.deepEqual([b.pixel(0, 1), b.pixel(1, 1), b.pixel(2, 1)], [gray(0x3a), gray(5), gray(0x3f)]);
  // Read mode 1: where is colour 5?
  b.indexed(0x3ce, 5, 8);
  b.indexed(0x3ce, 2, 5);
  b.indexed(0x3ce, 7, 0x0f);
  assert.equal(b.peek(a), 0x40);
  // Read mode 0 of plane 3.
  b.indexed(0x3ce, 5, 0);
  b.indexed(0x3ce, 4, 3);
  assert.equal(b.peek(a), 0xbf);
  // Write mode 1 copies the latch.
  b.indexed(0x3ce, 5, 1);
  b.poke(a + 1, 0x12);
  assert.deepEqual([b.pixel(8, 1), b.pixel(9, 1)], [gray(0x3a), gray(5)]);
  // Write mode 3: the byte is one more bit mask for set/reset.
  b.indexed(0x3ce, 5, 3);
  b.indexed(0x3ce, 3, 0);
  b.indexed(0x3ce, 0, 4);
  b.peek(a + 2);
  b.poke(a + 2, 0x80);
  assert.deepEqual([b.pixel(16, 1), b.pixel(17, 1)], [gray(0x04), gray(0)]);
});

test('chain-4: bytes are pixels, doubled both ways, and mapped straight into the window', () => {
  const b = bench();
  b.mode('chain4');
  const direct = b.vga.window.subRegions.find(({ region }) => region.kind === 'alias')!.region;
  assert.ok(direct.enabled);
  b.vram[0] = 7;
  b.vram[320 + 319] = 9;
  const { surface } = b.vga.refresh();
  assert.deepEqual([surface.width, surface.height], [640, 400]);
  for (const [x, y] of [
    [0, 0],
    [1, 1],
  ] as const)
    assert.equal(b.pixel(x, y), gray(7));
  assert.equal(b.pixel(2, 0), gray(0));
  assert.equal(b.pixel(639, 3), gray(9));
  // Mode X: planes of the same memory one by one.
  b.indexed(0x3c4, 4, 6);
  assert.ok(!direct.enabled);
  b.indexed(0x3c4, 2, 4);
  b.poke(0xa0000 + 3, 0x21);
  assert.equal(b.vram[14], 0x21);
});

test('CGA graphics: two bits a pixel, odd rows 8 KiB further on', () => {
  const b = bench();
  b.mode('cga4');
  b.poke(0xb8000, 0b11_10_01_00);
  b.poke(0xba000, 0b01_00_00_00);
  assert.equal(b.vga.refresh().surface.width, 640);
  assert.deepEqual(
    [0, 2, 4, 6].map((x) => b.pixel(x, 0)),
    [gray(0x17), gray(0x15), gray(0x13), gray(0)],
  );
  assert.equal(b.pixel(1, 1), gray(0x17), 'doubled both ways');
  assert.equal(b.pixel(0, 2), gray(0x13));
});

test('a split screen starts over at address 0; the start address pans', () => {
  const b = bench();
  b.mode('planar640');
  b.indexed(0x3c4, 2, 15);
  b.poke(0xa0000, 0x80);
  b.indexed(0x3d4, 0x0c, 0x10);
  assert.equal(b.pixel(0, 0), gray(0));
  b.indexed(0x3d4, 0x18, 99);
  b.indexed(0x3d4, 0x07, 0x2e);
  b.indexed(0x3d4, 0x09, 0x00);
  assert.equal(b.pixel(0, 99), gray(0));
  assert.equal(b.pixel(0, 100), gray(0x3f));
});

test('VBE: identification, capabilities, a linear frame buffer in four depths', () => {
  const b = bench();
  b.dispi(0, 0xb0c4);
  b.vga.dispiPorts.write(0, 2, 0);
  assert.equal(b.vga.dispiPorts.read(1, 2), 0xb0c4);
  b.dispi(4, 2);
  b.vga.dispiPorts.write(0, 2, 3);
  assert.equal(b.vga.dispiPorts.read(1, 2), 32);
  b.out(0x3c0, 0x20);
  const shown = (bpp: number, bytes: number[]): number => {
    b.dispi(4, 0);
    b.dispi(1, 320);
    b.dispi(2, 200);
    b.dispi(3, bpp);
    b.dispi(4, 0x41);
    b.vram.set(bytes, (320 * 10 * ((bpp + 7) >> 3)) >>> 0);
    return b.pixel(0, 10);
  };
  assert.equal(shown(32, [1, 2, 3, 0]), rgb(3, 2, 1));
  assert.equal(shown(24, [1, 2, 3]), rgb(3, 2, 1));
  assert.equal(shown(16, [0x1f, 0xf8]), rgb(255, 0, 255));
  assert.equal(shown(15, [0xe0, 0x03]), rgb(0, 255, 0));
  b.dispi(9, 10);
  assert.equal(b.pixel(0, 0), rgb(0, 255, 0), 'the picture moves with Y_OFFSET');
});

test('a guest may ask for more picture than there is memory', () => {
  const b = bench();
  b.out(0x3c0, 0x20);
  for (const bpp of [4, 8, 32]) {
    b.dispi(4, 0);
    b.dispi(1, 16000);
    b.dispi(2, 12000);
    b.dispi(3, bpp);
    b.dispi(4, 0x41);
    const { surface } = b.vga.refresh();
    assert.ok(surface.width * surface.height * bpp <= 8 * (1 << 20) * 2, `${bpp} bits`);
  }
});

test('BAR 2 reaches ports and VBE registers, and tells an EDID that sums up to 0', () => {
  const b = bench();
  b.bus.config!.configWrite(0x18, 4, 0xfebf0000);
  b.bus.config!.configWrite(4, 2, 3);
  const mmio = throughRegion(
    b.bus.memorySpace.subRegions.find(({ region }) => region.name === 'vga.mmio')!.region,
  ).handler;
  mmio.write(0x500 + 2, 2, 640);
  assert.equal(mmio.read(0x502, 2), 640);
  mmio.write(0x40e, 2, 0x0305);
  b.out(0x3ce, 5);
  assert.equal(b.get(0x3cf), 3);
  assert.equal(mmio.read(0x600, 4), 8);
  assert.equal(mmio.read(0x604, 4), 0x1e1e1e1e);
  const block = Uint8Array.from({ length: 128 }, (_, i) => mmio.read(i, 1));
  assert.deepEqual(block, edid(1280, 800));
  assert.equal(block.reduce((sum, byte) => sum + byte, 0) & 0xff, 0);
  const timing = block.subarray(54);
  assert.equal(timing[2]! | ((timing[4]! >> 4) << 8), 1280);
});

test('retrace comes and goes with time', () => {
  const b = bench();
  b.mode('text');
  const seen = new Set<number>();
  for (let i = 0; i < 2000; i++) {
    seen.add(b.get(0x3da));
    b.clock.advance(10e3);
  }
  assert.deepEqual([...seen].sort(), [0, 1, 9]);
});
