/**
 * The VGA, with the Bochs VBE extension: ports, memory window, picture. Its registers: vga-registers.ts; what its memory
 * does: vga-memory.ts; how it draws: vga-draw.ts. On its buses: vga-pci.ts, vga-isa.ts.
 */
import { traceEvents } from '../../base/trace.js';
import type { GraphicConsole, Refresh, TextScreen } from '../../display/console.js';
import { rgb, Surface } from '../../display/surface.js';
import type { Clock } from '../../machine/clock.js';
import { type DeviceState, stateOf } from '../../machine/state.js';
import type { WindowReads } from '../../machine/window-reads.js';
import type { IoHandler } from '../../memory/io.js';
import type { Memory } from '../../memory/memory.js';
import type { MemoryRegion } from '../../memory/region.js';
import { rowBytes, type TextCursor, VgaPainter } from './vga-draw.js';
import { bankOffset, isLinear, memoryWindow, plainLayout, VgaMemory, WINDOW_BYTES } from './vga-memory.js';
import { panningStops, type VgaMode, vbeStride, verticalTiming, vgaMode } from './vga-mode.js';
import {
  ATTR,
  ATTR_MASKS,
  ATTR_MODE,
  CRTC,
  CRTC_COUNT,
  DISPI,
  DISPI_COUNT,
  DISPI_ENABLE,
  DISPI_ID_FIRST,
  DISPI_ID_LAST,
  DISPI_MAX,
  GFX_MASKS,
  MISC,
  PROTECT,
  SEQ,
  SEQ_MASKS,
  STATUS1,
  vgaPowerOn,
} from './vga-registers.js';

export const trace = traceEvents({
  vga_std_read_io: 'addr 0x%x, val 0x%x',
  vga_std_write_io: 'addr 0x%x, val 0x%x',
  vga_vbe_read: 'index 0x%x, val 0x%x',
  vga_vbe_write: 'index 0x%x, val 0x%x',
});

const PAGE = 4096;
/** A scan line lasts so long, and the beam spends a fifth of it outside the picture. */
const LINE_NS = 31778;
const LINE_VISIBLE = 0.8;
/** The cursor and blinking characters change every 8 and 16 frames. */
const CURSOR_BLINK_NS = 133e6;
const TEXT_BLINK_NS = 266e6;

export class Vga implements GraphicConsole {
  /** First port of `ports`, and how many there are: 3b0h to 3dfh. */
  static readonly FIRST_PORT = 0x3b0;
  static readonly PORTS = 0x30;
  static readonly FIRST_DISPI_PORT = 0x1ce;
  static readonly DISPI_PORTS = 3;
  static readonly WINDOW = 0xa0000;

  /** Video memory: a RAM region to map as a linear frame buffer. */
  readonly vram: MemoryRegion;
  /** What is at a0000h: 128 KiB. */
  readonly window: MemoryRegion;
  readonly #memory: Memory;
  readonly #clock: Clock;
  readonly #s = vgaPowerOn();
  readonly #bytes: Uint8Array;
  readonly #painter: VgaPainter;
  /** Shows video memory in the window while that is linear. */
  readonly #direct: MemoryRegion;
  readonly #planes: MemoryRegion;
  #reads: WindowReads | undefined;
  readonly #stateful = stateOf(this.#s, 1, undefined, () => this.#loaded());

  #surface = new Surface(720, 400);
  /** Pages of video memory that device code wrote since the last refresh. */
  readonly #dirty: Uint8Array;
  #redraw = true;
  #colorsStale = true;
  /** What the last picture was drawn with. */
  #drawn = '';

  /** `vramBytes`: a power of two. */
  constructor(memory: Memory, clock: Clock, vramBytes: number) {
    this.#memory = memory;
    this.#clock = clock;
    this.vram = memory.ram('vga.vram', vramBytes);
    this.#bytes = this.vram.ram!.bytes;
    this.#dirty = new Uint8Array(vramBytes / PAGE);
    this.#painter = new VgaPainter(this.#s, this.#bytes);
    const written = (first: number, last: number): void => {
      this.#dirty[Math.floor(first / PAGE)] = 1;
      this.#dirty[Math.floor(last / PAGE)] = 1;
    };
    const handler = new VgaMemory(this.#s, this.#bytes, written, () => this.#bringLatch());
    this.window = memory.container('vga-lowmem', WINDOW_BYTES);
    this.#planes = memory.io('vga-window', WINDOW_BYTES, handler);
    this.window.add(this.#planes, 0);
    this.#direct = memory.alias('vga.chain4', this.vram, 0, WINDOW_BYTES / 2);
    this.#direct.enabled = false;
    this.window.add(this.#direct, 0, 1);
  }

  /** Ports 3b0h to 3dfh. */
  readonly ports: IoHandler = {
    sizes: { min: 1, max: 1 },
    read: (offset) => {
      const port = Vga.FIRST_PORT + offset;
      const value = this.#answers(port) ? this.#readPort(port) : 0xff;
      if (trace.vga_std_read_io.enabled) trace.vga_std_read_io.emit(port, value);
      return value;
    },
    write: (offset, _size, value) => {
      const port = Vga.FIRST_PORT + offset;
      if (trace.vga_std_write_io.enabled) trace.vga_std_write_io.emit(port, value);
      if (this.#answers(port)) this.#writePort(port, value);
    },
  };

  /** Ports 1ceh (index), 1cfh and, where 16-bit ports must be even, 1d0h (data). */
  readonly dispiPorts: IoHandler = {
    sizes: { min: 1, max: 2, unaligned: true },
    read: (offset) => (offset === 0 ? this.#s.dispiIndex : this.readDispi(this.#s.dispiIndex)),
    write: (offset, _size, value) => {
      if (offset === 0) this.#s.dispiIndex = value;
      else this.writeDispi(this.#s.dispiIndex, value);
    },
  };

  reset(): void {
    Object.assign(this.#s, vgaPowerOn());
    this.#loaded();
  }

  /** Keeps `reads` up to date from now on. */
  publish(reads: WindowReads): void {
    this.#reads = reads;
    this.#tellLayout();
  }

  save(): DeviceState {
    this.#bringLatch();
    return this.#stateful.save();
  }

  load(state: DeviceState): void {
    this.#stateful.load(state);
  }

  readDispi(index: number): number {
    const value = this.#readDispi(index);
    if (trace.vga_vbe_read.enabled) trace.vga_vbe_read.emit(index, value);
    return value;
  }

  writeDispi(index: number, value: number): void {
    if (trace.vga_vbe_write.enabled) trace.vga_vbe_write.emit(index, value);
    const { dispi } = this.#s;
    switch (index) {
      case DISPI.ID:
        if (value >= DISPI_ID_FIRST && value <= DISPI_ID_LAST) dispi[index] = value;
        break;
      case DISPI.XRES:
      case DISPI.VIRT_WIDTH:
        if (value <= DISPI_MAX.width) dispi[index] = value & (index === DISPI.XRES ? ~7 : ~0);
        break;
      case DISPI.YRES:
        if (value <= DISPI_MAX.height) dispi[index] = value;
        break;
      case DISPI.BPP:
        if ([0, 4, 8, 15, 16, 24, 32].includes(value)) dispi[index] = value || 8;
        break;
      case DISPI.BANK:
        dispi[index] = value % (this.#bytes.length / 0x10000);
        break;
      case DISPI.X_OFFSET:
      case DISPI.Y_OFFSET:
        dispi[index] = value;
        break;
      case DISPI.ENABLE:
        this.#enableDispi(value);
        break;
    }
    // As far as the guest gives them, the virtual size is at least the visible one.
    dispi[DISPI.VIRT_WIDTH] = Math.max(dispi[DISPI.VIRT_WIDTH]!, dispi[DISPI.XRES]!);
    this.#mapWindow();
    this.#colorsStale = true;
  }

  refresh(): Refresh {
    if (!this.vram.dirtyLog) {
      this.vram.dirtyLog = true;
      this.#redraw = true;
    }
    const written = this.#memory.fetchAndClearDirty(this.vram);
    const dirty = this.#dirty;
    for (let i = 0; i < dirty.length; i++) dirty[i] = dirty[i]! | written[i]!;
    if (this.#colorsStale) {
      this.#painter.loadColors();
      this.#redraw = true;
      this.#colorsStale = false;
    }
    const mode = vgaMode(this.#s, this.#bytes.length);
    if (mode.width !== this.#surface.width || mode.height !== this.#surface.height) {
      this.#surface = new Surface(mode.width, mode.height);
      this.#redraw = true;
    }
    const cursor = mode.kind === 'text' ? this.#cursor() : null;
    const blinkOff = Math.floor(this.#clock.now() / TEXT_BLINK_NS) % 2 === 1;
    const drawn = JSON.stringify([mode, cursor, cursor && blinkOff, this.#s.seq[SEQ.FONT]]);
    const all = this.#redraw || drawn !== this.#drawn || (mode.kind === 'text' && dirty.includes(1));
    this.#drawn = drawn;
    this.#redraw = false;
    const lines = this.#draw(mode, cursor, blinkOff, all);
    dirty.fill(0);
    return { surface: this.#surface, ...lines };
  }

  text(): TextScreen | null {
    const s = this.#s;
    const mode = vgaMode(s, this.#bytes.length);
    if (mode.kind !== 'text' || mode.blank) return null;
    const columns = Math.floor(mode.width / mode.charWidth);
    const rows = Math.floor(mode.height / (mode.rowLines * mode.doubled));
    const cells = new Uint16Array(columns * rows);
    const mask = this.#bytes.length - 1;
    for (let row = 0, i = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++, i++) {
        const at = (mode.start + row * mode.stride + 4 * column) & mask;
        cells[i] = this.#bytes[at]! | (this.#bytes[at + 1]! << 8);
      }
    }
    const from = this.#cursorWord - (mode.start >> 2);
    const perRow = mode.stride >> 2;
    const column = perRow > 0 ? from % perRow : 0;
    const row = perRow > 0 ? Math.floor(from / perRow) : 0;
    const hidden = (s.crtc[CRTC.CURSOR_START]! & 0x20) !== 0 || from < 0 || column >= columns || row >= rows;
    return {
      columns,
      rows,
      cells,
      cursor: hidden ? null : { column, row },
      blink: (s.attr[ATTR.MODE]! & ATTR_MODE.BLINK) !== 0,
    };
  }

  /** Which of the two sets of CRT controller ports answers: 3bxh for monochrome, 3dxh for colour. */
  #answers(port: number): boolean {
    if (port >= 0x3c0 && port < 0x3d0) return true;
    return this.#s.misc & MISC.COLOR ? port >= 0x3d0 : port < 0x3c0;
  }

  #readPort(port: number): number {
    const s = this.#s;
    switch (port) {
      case 0x3c0:
        return s.attrData ? 0 : s.attrIndex;
      case 0x3c1:
        return s.attr[s.attrIndex & 31]!;
      case 0x3c4:
        return s.seqIndex;
      case 0x3c5:
        return s.seq[s.seqIndex]!;
      case 0x3c6:
        return s.pelMask;
      case 0x3c7:
        return s.dacReading ? 3 : 0;
      case 0x3c8:
        return s.dacWriteIndex;
      case 0x3c9:
        return this.#readDac();
      case 0x3ca:
        return s.feature;
      case 0x3cc:
        return s.misc;
      case 0x3ce:
        return s.gfxIndex;
      case 0x3cf:
        return s.gfx[s.gfxIndex]!;
      case 0x3b4:
      case 0x3d4:
        return s.crtcIndex;
      case 0x3b5:
      case 0x3d5:
        return s.crtcIndex < CRTC_COUNT ? s.crtc[s.crtcIndex]! : 0;
      case 0x3ba:
      case 0x3da:
        s.attrData = false;
        return this.#status1();
      default:
        return 0;
    }
  }

  #writePort(port: number, value: number): void {
    const s = this.#s;
    switch (port) {
      case 0x3c0:
        this.#writeAttribute(value);
        break;
      case 0x3c2:
        s.misc = value & ~0x10;
        break;
      case 0x3c4:
        s.seqIndex = value & 7;
        break;
      case 0x3c5:
        s.seq[s.seqIndex] = value & SEQ_MASKS[s.seqIndex]!;
        this.#mapWindow();
        break;
      case 0x3c6:
        s.pelMask = value;
        this.#colorsStale = true;
        break;
      case 0x3c7:
        s.dacReadIndex = value;
        s.dacComponent = 0;
        s.dacReading = true;
        break;
      case 0x3c8:
        s.dacWriteIndex = value;
        s.dacComponent = 0;
        s.dacReading = false;
        break;
      case 0x3c9:
        this.#writeDac(value);
        break;
      case 0x3ce:
        s.gfxIndex = value & 15;
        break;
      case 0x3cf:
        s.gfx[s.gfxIndex] = value & GFX_MASKS[s.gfxIndex]!;
        this.#mapWindow();
        break;
      case 0x3b4:
      case 0x3d4:
        s.crtcIndex = value;
        break;
      case 0x3b5:
      case 0x3d5:
        this.#writeCrtc(s.crtcIndex, value);
        break;
      case 0x3ba:
      case 0x3da:
        s.feature = value & 0x10;
        break;
    }
  }

  #writeAttribute(value: number): void {
    const s = this.#s;
    if (!s.attrData) s.attrIndex = value & 0x3f;
    else {
      const index = s.attrIndex & 31;
      s.attr[index] = value & ATTR_MASKS[index]!;
      this.#colorsStale = true;
    }
    s.attrData = !s.attrData;
  }

  #writeCrtc(index: number, value: number): void {
    const { crtc } = this.#s;
    if (index >= CRTC_COUNT) return;
    if (index <= CRTC.OVERFLOW && crtc[CRTC.VRETRACE_END]! & PROTECT) {
      const lineCompare = 0x10;
      if (index === CRTC.OVERFLOW) crtc[index] = (crtc[index]! & ~lineCompare) | (value & lineCompare);
      return;
    }
    crtc[index] = value;
  }

  #readDac(): number {
    const s = this.#s;
    const value = s.dac[s.dacReadIndex * 3 + s.dacComponent]!;
    if (++s.dacComponent === 3) {
      s.dacComponent = 0;
      s.dacReadIndex = (s.dacReadIndex + 1) & 0xff;
    }
    return value;
  }

  #writeDac(value: number): void {
    const s = this.#s;
    s.dacPending[s.dacComponent] = value;
    if (++s.dacComponent < 3) return;
    s.dac.set(s.dacPending, s.dacWriteIndex * 3);
    s.dacComponent = 0;
    s.dacWriteIndex = (s.dacWriteIndex + 1) & 0xff;
    this.#colorsStale = true;
  }

  /** Where the beam is, from the time that went by. */
  #status1(): number {
    const { total, display, retrace } = verticalTiming(this.#s);
    const beam = (this.#clock.now() / LINE_NS) % total;
    const line = Math.floor(beam);
    const off = line >= display || beam - line > LINE_VISIBLE;
    // VRETRACE_END has the low four bits of the line at which retrace ends.
    const length = (this.#s.crtc[CRTC.VRETRACE_END]! - retrace) & 15 || 16;
    const retracing = line >= retrace && line < retrace + length;
    return (off ? STATUS1.DISPLAY_OFF : 0) | (retracing ? STATUS1.VRETRACE : 0);
  }

  #readDispi(index: number): number {
    const { dispi } = this.#s;
    if (index >= DISPI_COUNT) return 0;
    if (index === DISPI.MEMORY_64K) return this.#bytes.length / 0x10000;
    if (index === DISPI.VIRT_HEIGHT) {
      const stride = vbeStride(dispi[DISPI.VIRT_WIDTH]!, dispi[DISPI.BPP]!);
      return stride > 0 ? Math.min(0xffff, Math.floor(this.#bytes.length / stride)) : 0;
    }
    if (dispi[DISPI.ENABLE]! & DISPI_ENABLE.GET_CAPS) {
      if (index === DISPI.XRES) return DISPI_MAX.width;
      if (index === DISPI.YRES) return DISPI_MAX.height;
      if (index === DISPI.BPP) return DISPI_MAX.bpp;
    }
    return dispi[index]!;
  }

  #enableDispi(value: number): void {
    const { dispi } = this.#s;
    const wasOn = dispi[DISPI.ENABLE]! & DISPI_ENABLE.ENABLED;
    dispi[DISPI.ENABLE] = value;
    if (wasOn || !(value & DISPI_ENABLE.ENABLED)) {
      if (wasOn && !(value & DISPI_ENABLE.ENABLED)) dispi[DISPI.BANK] = 0;
      return;
    }
    dispi[DISPI.VIRT_WIDTH] = dispi[DISPI.XRES]!;
    dispi[DISPI.X_OFFSET] = 0;
    dispi[DISPI.Y_OFFSET] = 0;
    if (value & DISPI_ENABLE.NO_CLEAR) return;
    const bytes = vbeStride(dispi[DISPI.XRES]!, dispi[DISPI.BPP]!) * dispi[DISPI.YRES]!;
    this.#bytes.fill(0, 0, Math.min(bytes, this.#bytes.length));
    this.#redraw = true;
  }

  /** Maps video memory straight into the window while that is possible. */
  #mapWindow(): void {
    const s = this.#s;
    const [start, bytes] = memoryWindow(s);
    const offset = bankOffset(s);
    const on =
      isLinear(s) && start === 0 && offset + WINDOW_BYTES / 2 <= this.#bytes.length && bytes <= WINDOW_BYTES / 2;
    this.#memory.transaction(() => {
      if (on) this.#direct.targetOffset = offset;
      this.#direct.enabled = on;
    });
    this.#tellLayout();
  }

  #tellLayout(): void {
    this.#reads?.setLayout(this.#planes, plainLayout(this.#s, this.vram.ram!.host, this.#bytes.length));
  }

  #bringLatch(): void {
    const latch = this.#reads?.takeLatch();
    if (latch !== undefined) this.#s.latch = latch;
  }

  #loaded(): void {
    this.#reads?.takeLatch();
    this.#mapWindow();
    this.#colorsStale = true;
    this.#redraw = true;
  }

  /** The word of video memory that the cursor is on. */
  get #cursorWord(): number {
    const { crtc } = this.#s;
    return (crtc[CRTC.CURSOR_HIGH]! << 8) | crtc[CRTC.CURSOR_LOW]!;
  }

  #cursor(): TextCursor {
    const { crtc } = this.#s;
    const start = crtc[CRTC.CURSOR_START]!;
    const shown = !(start & 0x20) && Math.floor(this.#clock.now() / CURSOR_BLINK_NS) % 2 === 0;
    return {
      word: shown ? this.#cursorWord : -1,
      firstLine: start & 31,
      lastLine: crtc[CRTC.CURSOR_END]! & 31,
    };
  }

  /** Draws the lines whose memory changed (or all), and tells from where to where. */
  #draw(mode: VgaMode, cursor: TextCursor | null, blinkOff: boolean, all: boolean): { start: number; end: number } {
    const surface = this.#surface;
    if (mode.blank) {
      if (!all) return { start: 0, end: 0 };
      surface.pixels.fill(rgb(0, 0, 0));
      return { start: 0, end: mode.height };
    }
    const bytes = rowBytes(mode);
    let start = mode.height;
    let end = 0;
    for (let y = 0; y < mode.height; y++) {
      const split = y >= mode.lineCompare;
      const line = Math.floor((split ? y - mode.lineCompare : y) / mode.doubled);
      const row = Math.floor(line / mode.rowLines);
      const scan = line % mode.rowLines;
      const address = interleaved(mode, this.#s.crtc, (split ? 0 : mode.start) + row * mode.stride, scan);
      if (!all && !this.#isDirty(address, bytes)) continue;
      const panning = split && panningStops(this.#s) ? 0 : mode.panning;
      const out = surface.row(y);
      if (cursor) this.#painter.drawTextLine(mode, address, scan, cursor, blinkOff, panning, out);
      else if (y > 0 && mode.doubled === 2 && y % 2 === 1 && !split) out.set(surface.row(y - 1));
      else this.#painter.drawLine(mode, address, panning, out);
      start = Math.min(start, y);
      end = y + 1;
    }
    return end > start ? { start, end } : { start: 0, end: 0 };
  }

  #isDirty(address: number, bytes: number): boolean {
    const dirty = this.#dirty;
    const first = Math.floor(address / PAGE);
    const last = Math.floor((address + bytes - 1) / PAGE);
    for (let page = first; page <= last; page++) if (dirty[page % dirty.length]) return true;
    return false;
  }
}

/** CGA and Hercules put every second (or fourth) scan line 8 KiB further on: the row-scan counter's bits go into the address. */
function interleaved(mode: VgaMode, crtc: Uint8Array, address: number, scan: number): number {
  if (mode.interleave === 0) return address;
  // Address bit 13 is the counter's bit 13 in byte mode and its bit 12 in word mode; a word of ours is 4 bytes.
  const bit = 14 + ((crtc[CRTC.MODE]! >> 6) & 1);
  let at = address;
  for (let i = 0; i < 2; i++) {
    if (!(mode.interleave & (1 << i))) continue;
    const mask = 1 << (bit + i);
    at = (at & ~mask) | ((scan >> i) & 1 ? mask : 0);
  }
  return at;
}
