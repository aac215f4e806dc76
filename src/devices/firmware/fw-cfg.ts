/**
 * The firmware configuration device on the PC's ports 0x510, 0x511 and 0x514 (QEMU, "Firmware Configuration (fw_cfg)
 * Device"): numbered items that the guest's firmware reads byte by byte, or by DMA.
 */
import { ascii } from '../../base/bytes.js';
import { traceEvents } from '../../base/trace.js';
import { type FwCfgContents, type FwCfgFile, FwCfgKey } from '../../firmware/fw-cfg-contents.js';
import type { Device } from '../../machine/device.js';
import type { IsaBus } from '../../machine/isa-bus.js';
import { type DeviceState, stateOf } from '../../machine/state.js';
import type { AccessSize, Dma, IoHandler } from '../../memory/io.js';

export const FW_CFG_TRACE = traceEvents({
  fw_cfg_select: 'key 0x%04x exists %d',
  fw_cfg_dma: 'control 0x%08x address 0x%x length %u',
});

const BASE = 0x510;
const DMA_BASE = 0x514;
const FEATURES = 1 | 2; // traditional interface, DMA
const FILE_NAME_SIZE = 56;
const FILE_ENTRY_SIZE = 8 + FILE_NAME_SIZE;
const NO_KEY = 0xffff;
/** What the DMA register reads as, in memory order. */
const DMA_SIGNATURE = 'QEMU CFG';
const Control = { error: 1, read: 2, skip: 4, select: 8, write: 16 } as const;
const DESCRIPTOR_SIZE = 16;
/** DMA goes through a buffer of at most this size. */
const CHUNK = 0x10000;
/** Zeros written beyond the end of an item, at most: a hostile length must not keep us busy for ever. */
const MAX_PADDING = 1 << 20;

const swap32 = (v: number): number =>
  (((v & 0xff) << 24) | ((v & 0xff00) << 8) | ((v >>> 8) & 0xff00) | (v >>> 24)) >>> 0;

/** Items by key: the numbered ones, the files, and the directory of the files. */
function layOut({ keys, files }: FwCfgContents): Map<number, FwCfgFile> {
  const items = new Map<number, FwCfgFile>();
  items.set(FwCfgKey.signature, { bytes: ascii('QEMU') });
  items.set(FwCfgKey.id, { bytes: new Uint8Array([FEATURES, 0, 0, 0]) });
  for (const [key, bytes] of keys) items.set(key, { bytes });
  const names = [...files.keys()].sort();
  const directory = new Uint8Array(4 + names.length * FILE_ENTRY_SIZE);
  const view = new DataView(directory.buffer);
  view.setUint32(0, names.length);
  names.forEach((name, i) => {
    const file = files.get(name)!;
    const at = 4 + i * FILE_ENTRY_SIZE;
    view.setUint32(at, file.bytes.length);
    view.setUint16(at + 4, FwCfgKey.firstFile + i);
    directory.set(ascii(name.slice(0, FILE_NAME_SIZE - 1)), at + 8);
    items.set(FwCfgKey.firstFile + i, file);
  });
  items.set(FwCfgKey.fileDirectory, { bytes: directory });
  return items;
}

export class FwCfg implements Device {
  readonly type = 'fw_cfg_io';
  private made: FwCfgContents | undefined;
  private laidOut: ReadonlyMap<number, FwCfgFile> | undefined;
  /** Files with other contents than at first. */
  private readonly changed = new Map<string, FwCfgFile>();
  key = NO_KEY;
  offset = 0;
  dmaHigh = 0;
  readonly #state = stateOf<FwCfg>(this, 1, ['key', 'offset', 'dmaHigh']);

  /** `contents` are made when the guest asks for something first: many guests have no firmware. */
  constructor(
    bus: Pick<IsaBus, 'mapPorts'>,
    private readonly dma: Dma,
    private readonly contents: () => FwCfgContents,
  ) {
    const registers: IoHandler = {
      sizes: { min: 1, max: 2 },
      read: () => this.nextByte(),
      write: (offset, size, value) => {
        if (offset === 0 && size === 2) this.select(value);
      },
    };
    bus.mapPorts('fwcfg', BASE, 2, registers);
    bus.mapPorts('fwcfg.dma', DMA_BASE, 8, {
      sizes: { min: 1, max: 4 },
      read: (offset, size) => this.readSignature(offset, size),
      write: (offset, size, value) => this.writeAddress(offset, size, value),
    });
  }

  /** Other contents of a file. */
  setFile(name: string, bytes: Uint8Array): void {
    this.changed.set(name, { bytes });
    this.laidOut = undefined;
  }

  private get items(): ReadonlyMap<number, FwCfgFile> {
    this.made ??= this.contents();
    const { keys, files } = this.made;
    this.laidOut ??= layOut({ keys, files: new Map([...files, ...this.changed]) });
    return this.laidOut;
  }

  reset(): void {
    this.key = FwCfgKey.signature;
    this.offset = 0;
    this.dmaHigh = 0;
  }

  save(): DeviceState {
    return this.#state.save();
  }

  load(state: DeviceState): void {
    this.#state.load(state);
  }

  private select(key: number): void {
    this.key = this.items.has(key) ? key : NO_KEY;
    this.offset = 0;
    if (FW_CFG_TRACE.fw_cfg_select.enabled) FW_CFG_TRACE.fw_cfg_select.emit(key, this.key !== NO_KEY);
  }

  private nextByte(): number {
    const bytes = this.items.get(this.key)?.bytes;
    if (!bytes || this.offset >= bytes.length) return 0;
    return bytes[this.offset++]!;
  }

  private readSignature(offset: number, size: AccessSize): number {
    let value = 0;
    for (let i = 0; i < size; i++) value |= DMA_SIGNATURE.charCodeAt(offset + i) << (8 * i);
    return value >>> 0;
  }

  /** The address is big endian, high half first; the low half starts the transfer. */
  private writeAddress(offset: number, size: AccessSize, value: number): void {
    if (size !== 4) return;
    if (offset === 0) this.dmaHigh = swap32(value);
    else if (offset === 4) {
      const address = this.dmaHigh * 2 ** 32 + swap32(value);
      this.dmaHigh = 0;
      this.transfer(address);
    }
  }

  /** Control, length and address, big endian. When done, control becomes 0, or 1 for an error. */
  private transfer(descriptor: number): void {
    const raw = new Uint8Array(DESCRIPTOR_SIZE);
    this.dma.read(descriptor, raw);
    const view = new DataView(raw.buffer);
    const control = view.getUint32(0);
    const length = view.getUint32(4);
    const address = view.getUint32(8) * 2 ** 32 + view.getUint32(12);
    if (FW_CFG_TRACE.fw_cfg_dma.enabled) FW_CFG_TRACE.fw_cfg_dma.emit(control, address, length);
    if (control & Control.select) this.select(control >>> 16);
    let result = 0;
    if (control & Control.read) this.copyOut(address, length);
    else if (control & Control.write) result = this.copyIn(address, length) ? 0 : Control.error;
    else if (control & Control.skip) this.offset += length;
    view.setUint32(0, result);
    this.dma.write(descriptor, raw.subarray(0, 4));
  }

  /** Beyond an item's end the guest gets zeros. */
  private copyOut(address: number, length: number): void {
    const bytes = this.items.get(this.key)?.bytes;
    const there = bytes ? Math.max(0, Math.min(length, bytes.length - this.offset)) : 0;
    if (bytes && there > 0) this.dma.write(address, bytes.subarray(this.offset, this.offset + there));
    this.offset += there;
    const zeros = new Uint8Array(Math.min(CHUNK, length - there));
    const end = Math.min(length, there + MAX_PADDING);
    for (let at = there; at < end; at += CHUNK)
      this.dma.write(address + at, zeros.subarray(0, Math.min(CHUNK, end - at)));
  }

  private copyIn(address: number, length: number): boolean {
    const item = this.items.get(this.key);
    if (!item?.writable || this.offset + length > item.bytes.length) return false;
    this.dma.read(address, item.bytes.subarray(this.offset, this.offset + length));
    this.offset += length;
    return true;
  }
}
