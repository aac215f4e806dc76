/** A block device. VIRTIO 1.2, 5.2. */
import { ascii, getU32, getU64, putU16, putU32, putU64 } from '../../../base/bytes.js';
import { traceEvents } from '../../../base/trace.js';
import type { BlockBackend, DriveUser } from '../../../block/drive.js';
import type { BlockLimits } from '../../../block/drive-properties.js';
import { type BlockError, type Completion, whenDone } from '../../../block/node.js';
import { pieceBytes, slice } from '../../../memory/pieces.js';
import { PieceTransfers } from '../../storage/piece-transfers.js';
import type { Chain } from '../core/chain.js';
import type { VirtQueue } from '../core/virt-queue.js';
import { VirtioDevice, type VirtioOptions } from '../core/virtio-device.js';

export const VIRTIO_BLK_TRACE = traceEvents({
  virtio_blk_handle_read: 'sector %u bytes %u',
  virtio_blk_handle_write: 'sector %u bytes %u',
  virtio_blk_req_complete: 'status %d',
});

export const BlkFeature = {
  segMax: 2,
  geometry: 4,
  readOnly: 5,
  blockSize: 6,
  flush: 9,
  topology: 10,
  configWce: 11,
  multiQueue: 12,
  discard: 13,
  writeZeroes: 14,
} as const;

const Type = { in: 0, out: 1, flush: 4, getId: 8, discard: 11, writeZeroes: 13 } as const;
const Result = { ok: 0, ioError: 1, unsupported: 2 } as const;
const UNMAP = 1;
const SECTOR = 512;
const HEADER_BYTES = 16;
const RANGE_BYTES = 16;
const ID_BYTES = 20;
const CONFIG_BYTES = 60;
const WRITEBACK_AT = 32;
/** Requests that are worked on at a time, so that what they need stays bounded. */
const MOST_IN_FLIGHT = 64;
/** As many sectors as QEMU lets one request discard or zero. */
export const MOST_RANGE_SECTORS = 4_194_303;

export interface VirtioBlkOptions extends VirtioOptions {
  readonly backend: BlockBackend;
  readonly serial: string;
  readonly queues: number;
  readonly queueSize: number;
  readonly configWce: boolean;
  readonly discard: boolean;
  readonly writeZeroes: boolean;
  readonly logicalBlockSize: number;
  readonly physicalBlockSize: number;
  readonly limits?: BlockLimits;
  /** Sectors that one request discards or zeroes at most. */
  readonly mostDiscard?: number;
  readonly mostWriteZeroes?: number;
}

export class VirtioBlk extends VirtioDevice implements DriveUser {
  readonly id = 2;
  readonly name = 'virtio-blk';
  readonly removable = false;
  readonly config = new Uint8Array(CONFIG_BYTES);
  readonly #backend: BlockBackend;
  readonly #header = new Uint8Array(HEADER_BYTES);
  readonly #transfers: PieceTransfers;
  readonly #initialWriteCache: boolean;
  #inFlight = 0;
  /** Operations of the drive that run, those that a reset forgot included. */
  #operations = 0;
  /** Buffers are being popped: their interrupt comes when that is over. */
  #handling = false;
  /** Changes with a reset: what drives answer afterwards to requests from before is dropped. */
  #generation = 0;

  constructor(private readonly options: VirtioBlkOptions) {
    super(options);
    const { backend, queues, queueSize } = options;
    this.#backend = backend;
    this.#transfers = new PieceTransfers(backend);
    this.#initialWriteCache = backend.writeCache;
    for (let i = 0; i < queues; i++) this.addQueue(queueSize);
    const { offered } = this;
    for (const f of ['segMax', 'geometry', 'blockSize', 'flush', 'topology'] as const) offered.add(BlkFeature[f]);
    if (backend.readOnly) offered.add(BlkFeature.readOnly);
    if (options.configWce) offered.add(BlkFeature.configWce);
    if (queues > 1) offered.add(BlkFeature.multiQueue);
    if (options.discard) offered.add(BlkFeature.discard);
    if (options.writeZeroes) offered.add(BlkFeature.writeZeroes);
    this.#fillConfig();
    backend.attach(this);
  }

  override get busy(): boolean {
    return this.#operations > 0;
  }

  override dispose(): void {
    this.#backend.attach(null);
  }

  /** The driver reads the capacity anew. */
  resized(): void {
    this.#fillConfig();
    this.configChanged();
  }

  protected override handle(queue: VirtQueue): void {
    this.#handling = true;
    this.#handle(queue);
    this.#handling = false;
  }

  #handle(queue: VirtQueue): void {
    queue.setNotify(false);
    do {
      while (this.#inFlight < MOST_IN_FLIGHT) {
        const chain = queue.pop();
        if (!chain) break;
        this.#begin(queue, chain);
        if (this.broken) return;
      }
      queue.setNotify(true);
      // What came while notifications were off, unless it must wait for its turn.
    } while (this.#inFlight < MOST_IN_FLIGHT && queue.pending && !this.broken);
  }

  protected override resumed(queue: VirtQueue, chain: Chain): void {
    this.#begin(queue, chain);
    queue.signal();
  }

  protected override configWritten(offset: number, size: number, value: number): void {
    if (offset !== WRITEBACK_AT || size !== 1 || !this.has(BlkFeature.configWce)) return;
    this.#backend.writeCache = (value & 1) !== 0;
    this.config[WRITEBACK_AT] = value & 1;
  }

  /** A driver that knows no flushes gets every write made safe. */
  protected override started(): void {
    if (!this.has(BlkFeature.flush) && !this.has(BlkFeature.configWce)) this.#backend.writeCache = false;
  }

  protected override stopped(): void {
    this.#generation++;
    this.#inFlight = 0;
    this.#backend.writeCache = this.#initialWriteCache;
    this.config[WRITEBACK_AT] = Number(this.#initialWriteCache);
  }

  #fillConfig(): void {
    const { config, options } = this;
    const { logicalBlockSize, physicalBlockSize, queues, queueSize } = options;
    const sectors = Math.floor(this.#backend.length / SECTOR);
    putU64(config, 0, sectors);
    putU32(config, 12, Math.max(1, queueSize - 2));
    const { cylinders, heads, sectorsPerTrack } = geometry(sectors);
    putU16(config, 16, cylinders);
    config[18] = heads;
    config[19] = sectorsPerTrack;
    putU32(config, 20, logicalBlockSize);
    config[24] = Math.log2(physicalBlockSize / logicalBlockSize);
    config[WRITEBACK_AT] = Number(this.#backend.writeCache);
    putU16(config, 34, queues);
    const { limits } = options;
    putU16(config, 26, (limits?.minIo ?? 0) / logicalBlockSize);
    putU32(config, 28, (limits?.optIo ?? 0) / logicalBlockSize);
    if (options.discard) {
      putU32(config, 36, this.#mostSectors(Type.discard));
      putU32(config, 40, 1);
      putU32(config, 44, (limits?.discardGranularity ?? logicalBlockSize) / SECTOR);
    }
    if (options.writeZeroes) {
      putU32(config, 48, this.#mostSectors(Type.writeZeroes));
      putU32(config, 52, 1);
      config[56] = 1;
    }
  }

  #begin(queue: VirtQueue, chain: Chain): void {
    const header = this.#header;
    if (chain.read(0, header) < HEADER_BYTES || chain.writableBytes < 1) {
      this.fail('a request without header or status');
      return;
    }
    this.#inFlight++;
    const type = getU32(header, 0);
    const sector = getU64(header, 8);
    switch (type) {
      case Type.in:
        if (VIRTIO_BLK_TRACE.virtio_blk_handle_read.enabled)
          VIRTIO_BLK_TRACE.virtio_blk_handle_read.emit(sector, chain.writableBytes - 1);
        this.#transfer(queue, chain, slice(chain.writable, 0, chain.writableBytes - 1), sector, true);
        break;
      case Type.out:
        if (VIRTIO_BLK_TRACE.virtio_blk_handle_write.enabled)
          VIRTIO_BLK_TRACE.virtio_blk_handle_write.emit(sector, chain.readableBytes - HEADER_BYTES);
        this.#transfer(
          queue,
          chain,
          slice(chain.readable, HEADER_BYTES, chain.readableBytes - HEADER_BYTES),
          sector,
          false,
        );
        break;
      case Type.flush:
        this.#run(queue, chain, () => this.#backend.flush());
        break;
      case Type.getId: {
        const id = new Uint8Array(ID_BYTES);
        id.set(ascii(this.options.serial).subarray(0, ID_BYTES));
        const room = Math.min(ID_BYTES, chain.writableBytes - 1);
        chain.write(0, id.subarray(0, room));
        this.#complete(queue, chain, Result.ok);
        break;
      }
      case Type.discard:
      case Type.writeZeroes:
        this.#range(queue, chain, type);
        break;
      default:
        this.#complete(queue, chain, Result.unsupported);
    }
  }

  /** Moves the request's data, a chunk after the other. */
  #transfer(queue: VirtQueue, chain: Chain, pieces: readonly Uint8Array[], sector: number, fromDrive: boolean): void {
    const bytes = pieceBytes(pieces);
    const offset = sector * SECTOR;
    if (bytes % SECTOR !== 0 || !this.#within(offset, bytes) || (!fromDrive && this.#backend.readOnly)) {
      this.#complete(queue, chain, Result.ioError);
      return;
    }
    const generation = this.#generation;
    this.#operations++;
    this.#transfers.move(
      pieces,
      offset,
      fromDrive,
      () => generation === this.#generation,
      (error) => {
        this.#operations--;
        if (generation === this.#generation) this.#finish(queue, chain, error);
      },
    );
  }

  #range(queue: VirtQueue, chain: Chain, type: number): void {
    const range = new Uint8Array(RANGE_BYTES);
    const offered = type === Type.discard ? this.options.discard : this.options.writeZeroes;
    if (!offered || chain.readableBytes !== HEADER_BYTES + RANGE_BYTES) {
      this.#complete(queue, chain, Result.unsupported);
      return;
    }
    chain.read(HEADER_BYTES, range);
    const offset = getU64(range, 0) * SECTOR;
    const sectors = getU32(range, 8);
    const flags = getU32(range, 12);
    const bytes = sectors * SECTOR;
    if (flags & ~UNMAP || (type === Type.discard && flags !== 0)) {
      this.#complete(queue, chain, Result.unsupported);
    } else if (sectors > this.#mostSectors(type) || !this.#within(offset, bytes) || this.#backend.readOnly) {
      this.#complete(queue, chain, Result.ioError);
    } else if (type === Type.discard) this.#run(queue, chain, () => this.#backend.discard(offset, bytes));
    else this.#run(queue, chain, () => this.#backend.writeZeroes(offset, bytes, (flags & UNMAP) !== 0));
  }

  #mostSectors(type: number): number {
    const { mostDiscard, mostWriteZeroes } = this.options;
    return (type === Type.discard ? mostDiscard : mostWriteZeroes) ?? MOST_RANGE_SECTORS;
  }

  #within(offset: number, bytes: number): boolean {
    return offset % this.options.logicalBlockSize === 0 && offset + bytes <= this.#backend.length;
  }

  #run(queue: VirtQueue, chain: Chain, operation: () => Completion): void {
    const generation = this.#generation;
    this.#operations++;
    whenDone(operation, (error) => {
      this.#operations--;
      if (generation === this.#generation) this.#finish(queue, chain, error);
    });
  }

  #finish(queue: VirtQueue, chain: Chain, error: BlockError | null): void {
    this.#complete(queue, chain, error ? Result.ioError : Result.ok);
  }

  /** The status is the last byte that the device may write. */
  #complete(queue: VirtQueue, chain: Chain, status: number): void {
    if (VIRTIO_BLK_TRACE.virtio_blk_req_complete.enabled) VIRTIO_BLK_TRACE.virtio_blk_req_complete.emit(status);
    chain.write(chain.writableBytes - 1, Uint8Array.of(status));
    const waited = this.#inFlight-- >= MOST_IN_FLIGHT;
    queue.push(chain, chain.writableBytes);
    if (this.#handling) return;
    queue.signal();
    // Others had to wait for this one.
    if (waited) for (const { index } of this.queues) this.notify(index);
  }
}

/** Cylinders, heads and sectors of a disk that has none. */
function geometry(sectors: number): { cylinders: number; heads: number; sectorsPerTrack: number } {
  const heads = 16;
  const sectorsPerTrack = 63;
  const cylinders = Math.min(Math.max(Math.floor(sectors / (heads * sectorsPerTrack)), 2), 16383);
  return { cylinders, heads, sectorsPerTrack };
}
