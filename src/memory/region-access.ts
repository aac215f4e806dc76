// hot path
/** Accesses to one I/O region, brought to the sizes and alignment that its handler implements. Values are unsigned. */
import type { AccessSize } from './io.js';
import type { MemoryRegion } from './region.js';

const mask = (value: number, size: AccessSize): number =>
  size === 4 ? value >>> 0 : size === 2 ? value & 0xffff : value & 0xff;

/** Bytes beyond the region's end read as 0xff. */
export function readRegion(region: MemoryRegion, offset: number, size: AccessSize): number {
  const handler = region.handler;
  if (!handler) return mask(0xffff_ffff, size);
  if (offset + size > region.size) return readBytes(region, offset, size);
  if (size < region.minSize) return readWide(region, offset, size);
  if (offset % size !== 0 && !region.unaligned) return readBytes(region, offset, size);
  if (size <= region.maxSize) return mask(handler.read(offset, size), size);
  let value = 0;
  for (let i = 0; i < size; i += region.maxSize) {
    value |= mask(handler.read(offset + i, region.maxSize), region.maxSize) << (8 * i);
  }
  return value >>> 0;
}

/** Bytes beyond the region's end are lost. */
export function writeRegion(region: MemoryRegion, offset: number, size: AccessSize, value: number): void {
  const handler = region.handler;
  if (!handler) return;
  if (offset + size > region.size) writeBytes(region, offset, size, value);
  else if (size < region.minSize) writeWide(region, offset, size, value);
  else if (offset % size !== 0 && !region.unaligned) writeBytes(region, offset, size, value);
  else if (size <= region.maxSize) handler.write(offset, size, mask(value, size));
  else {
    for (let i = 0; i < size; i += region.maxSize) {
      handler.write(offset + i, region.maxSize, mask(value >>> (8 * i), region.maxSize));
    }
  }
}

function readBytes(region: MemoryRegion, offset: number, size: AccessSize): number {
  let value = 0;
  for (let i = 0; i < size; i++) {
    const byte = offset + i < region.size ? readRegion(region, offset + i, 1) : 0xff;
    value |= byte << (8 * i);
  }
  return value >>> 0;
}

function writeBytes(region: MemoryRegion, offset: number, size: AccessSize, value: number): void {
  for (let i = 0; i < size; i++) {
    if (offset + i < region.size) writeRegion(region, offset + i, 1, (value >>> (8 * i)) & 0xff);
  }
}

/** A narrow read of a register that is only read whole. */
function readWide(region: MemoryRegion, offset: number, size: AccessSize): number {
  const lane = offset % region.minSize;
  if (lane + size > region.minSize) return readBytes(region, offset, size);
  return mask(region.handler!.read(offset - lane, region.minSize) >>> (8 * lane), size);
}

/** A narrow write to a register that is only written whole: the bytes not written are zero. */
function writeWide(region: MemoryRegion, offset: number, size: AccessSize, value: number): void {
  const lane = offset % region.minSize;
  if (lane + size > region.minSize) writeBytes(region, offset, size, value);
  else region.handler!.write(offset - lane, region.minSize, (mask(value, size) << (8 * lane)) >>> 0);
}
