/** Resource descriptors (ACPI 6.4, 6.4): what `_CRS` and `_PRS` return. */
import { ByteWriter, checksum } from '../bytes.js';
import { buffer, type Expr } from './aml.js';

export type Resource = (w: ByteWriter) => void;

/** IO(Decode16, base, base, 1, length). */
export const io =
  (base: number, length: number): Resource =>
  (w) =>
    w.u8(0x47, 1).u16(base).u16(base).u8(1, length);

/** IRQNoFlags: an edge-triggered, active-high ISA interrupt. */
export const irq =
  (line: number): Resource =>
  (w) =>
    w.u8(0x22).u16(1 << line);

/** DMA(Compatibility, NotBusMaster, Transfer8). */
export const dma =
  (channel: number): Resource =>
  (w) =>
    w.u8(0x2a, 1 << channel, 0);

/** Memory32Fixed. */
export const memory32Fixed =
  (writable: boolean, base: number, length: number): Resource =>
  (w) =>
    w
      .u8(0x86)
      .u16(9)
      .u8(writable ? 1 : 0)
      .u32(base)
      .u32(length);

/** Interrupt(ResourceConsumer, Level, ActiveHigh, Shared). */
export const levelInterrupt =
  (...lines: number[]): Resource =>
  (w) => {
    w.u8(0x89)
      .u16(2 + 4 * lines.length)
      .u8(0b1001, lines.length);
    for (const l of lines) w.u32(l);
  };

/** MinFixed, MaxFixed, PosDecode, as a producer. */
const FIXED_WINDOW = 0x0c;

/** WordBusNumber: the buses behind a host bridge. */
export const busNumbers =
  (first: number, last: number): Resource =>
  (w) =>
    w
      .u8(0x88)
      .u16(13)
      .u8(2, FIXED_WINDOW, 0)
      .u16(0)
      .u16(first)
      .u16(last)
      .u16(0)
      .u16(last - first + 1);

/** WordIO, EntireRange: ports that a bridge passes on. */
export const ioWindow =
  (first: number, last: number): Resource =>
  (w) =>
    w
      .u8(0x88)
      .u16(13)
      .u8(1, FIXED_WINDOW, 3)
      .u16(0)
      .u16(first)
      .u16(last)
      .u16(0)
      .u16(last - first + 1);

/** DWordMemory, Cacheable (VGA memory) or NonCacheable, ReadWrite. */
export const memoryWindow =
  (first: number, last: number, cacheable = false): Resource =>
  (w) =>
    w
      .u8(0x87)
      .u16(23)
      .u8(0, FIXED_WINDOW, cacheable ? 3 : 1)
      .u32(0)
      .u32(first)
      .u32(last)
      .u32(0)
      .u32(last - first + 1);

/** QWordMemory, Cacheable, ReadWrite: a window above 4 GiB. */
export const memoryWindow64 =
  (first: number, last: number): Resource =>
  (w) =>
    w
      .u8(0x8a)
      .u16(43)
      .u8(0, FIXED_WINDOW, 3)
      .u64(0)
      .u64(first)
      .u64(last)
      .u64(0)
      .u64(last - first + 1);

/** ResourceTemplate() { ... } with its end tag. */
export function resourceTemplate(...resources: readonly Resource[]): Expr {
  const w = new ByteWriter();
  for (const r of resources) r(w);
  w.u8(0x79, 0);
  const bytes = w.finish();
  bytes[bytes.length - 1] = checksum(bytes);
  return buffer(bytes);
}
