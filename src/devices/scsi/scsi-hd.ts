/** A SCSI disk. T10 SBC-3. */
import type { DriveContext } from '../../block/drive.js';
import {
  BLOCK_SIZE_PROPERTIES,
  type BlockLimits,
  blockLimits,
  blockSizes,
  DRIVE_PROPERTIES,
  driveWithMedium,
  LIMIT_PROPERTIES,
} from '../../block/drive-properties.js';
import type { BusDeviceType } from '../../machine/device-type.js';
import { BOOT_INDEX, prop } from '../../machine/property.js';
import { type DeviceState, stateOf } from '../../machine/state.js';
import { gather, pieceBytes, slice } from '../../memory/pieces.js';
import { be16, be32, getBe16, getBe32, SENSE } from '../ide/mmc.js';
import {
  blockRange,
  Operation,
  SCSI_NAME_PROPERTIES,
  SCSI_TRACE,
  type ScsiIdentity,
  type ScsiRequest,
  type ScsiSlot,
  ScsiUnit,
  scsiNames,
} from './scsi-unit.js';

const SBC = {
  reassignBlocks: 0x07,
  read6: 0x08,
  write6: 0x0a,
  seek6: 0x0b,
  readCapacity10: 0x25,
  read10: 0x28,
  write10: 0x2a,
  seek10: 0x2b,
  writeVerify10: 0x2e,
  verify10: 0x2f,
  synchronize10: 0x35,
  writeSame10: 0x41,
  unmap: 0x42,
  read16: 0x88,
  write16: 0x8a,
  writeVerify16: 0x8e,
  verify16: 0x8f,
  synchronize16: 0x91,
  writeSame16: 0x93,
  serviceActionIn16: 0x9e,
  read12: 0xa8,
  write12: 0xaa,
} as const;
const READ_CAPACITY_16 = 0x10;
const MOST_TRANSFER = 0xffff;
const MOST_UNMAP_BYTES = 24 + 16 * 255;
const MOST_WRITE_SAME_BYTES = 2 ** 30;
const CACHING_PAGE = 0x08;
const WCE = 4;

export interface ScsiHdOptions extends ScsiIdentity {
  readonly logicalBlockSize: number;
  readonly physicalBlockSize: number;
  /** 0 for a disk that does not turn. */
  readonly rotationRate: number;
  readonly limits?: BlockLimits;
  /** Bytes of a request, and of a range to unmap. */
  readonly mostIo?: number;
  readonly mostUnmap?: number;
}

export class ScsiHd extends ScsiUnit {
  readonly type = 'scsi-hd';
  readonly removable = false;
  readonly peripheral = 0;
  readonly vitalPages = [0xb0, 0xb1, 0xb2];
  readonly #state = stateOf<ScsiHd>(this, 1, []);

  constructor(
    drive: ConstructorParameters<typeof ScsiUnit>[0],
    slot: ScsiSlot,
    private readonly options: ScsiHdOptions,
  ) {
    super(drive, slot, options);
  }

  reset(): void {}

  /** The next command is told, and the driver reads the capacity anew. */
  resized(): void {
    this.attention = SENSE.CAPACITY_CHANGED;
  }

  save(): DeviceState {
    return this.#state.save();
  }

  load(state: DeviceState): void {
    this.#state.load(state);
  }

  get #blocks(): number {
    return Math.floor(this.drive.length / this.options.logicalBlockSize);
  }

  protected run(request: ScsiRequest, operation: number): void {
    const { cdb } = request;
    switch (operation) {
      case Operation.testUnitReady:
      case Operation.startStop:
      case Operation.preventAllow:
      case SBC.seek6:
      case SBC.seek10:
        this.good(request);
        break;
      case Operation.modeSense6:
        this.#modeSense(request, cdb[4]!, false);
        break;
      case Operation.modeSense10:
        this.#modeSense(request, getBe16(cdb, 7), true);
        break;
      case Operation.modeSelect6:
      case Operation.modeSelect10:
        this.#modeSelect(request, operation === Operation.modeSelect6 ? 4 : 8);
        break;
      case SBC.readCapacity10: {
        const last = Math.min(this.#blocks - 1, 0xffff_ffff);
        this.reply(request, [...be32(last), ...be32(this.options.logicalBlockSize)], 8);
        break;
      }
      case SBC.serviceActionIn16:
        if ((cdb[1]! & 0x1f) === READ_CAPACITY_16) this.reply(request, this.#capacity16(), getBe32(cdb, 10));
        else this.unknown(request);
        break;
      case SBC.read6:
      case SBC.read10:
      case SBC.read12:
      case SBC.read16:
        this.#transfer(request, true);
        break;
      case SBC.write6:
      case SBC.write10:
      case SBC.write12:
      case SBC.write16:
      case SBC.writeVerify10:
      case SBC.writeVerify16:
        this.#transfer(request, false);
        break;
      case SBC.verify10:
      case SBC.verify16:
        if (this.#inside(request)) this.good(request);
        break;
      case SBC.synchronize10:
      case SBC.synchronize16:
        this.wait(request, () => this.drive.flush());
        break;
      case SBC.unmap:
        this.#unmap(request);
        break;
      case SBC.writeSame10:
      case SBC.writeSame16:
        this.#writeSame(request);
        break;
      default:
        this.unknown(request);
    }
  }

  protected vitalPage(code: number): readonly number[] | null {
    const { logicalBlockSize, rotationRate } = this.options;
    const blocks = (bytes: number): number => Math.floor(bytes / logicalBlockSize);
    switch (code) {
      case 0xb0: {
        // Block limits: transfers, UNMAP and WRITE SAME; the rest is zero.
        const page = new Array<number>(60).fill(0);
        const put = (at: number, bytes: readonly number[]): void => void page.splice(at, bytes.length, ...bytes);
        put(0, [1]);
        const { limits, mostIo = Number.POSITIVE_INFINITY, mostUnmap = MOST_WRITE_SAME_BYTES } = this.options;
        put(2, be16(blocks(limits?.minIo ?? 0)));
        put(4, be32(Math.min(MOST_TRANSFER, blocks(mostIo))));
        put(8, be32(blocks(limits?.optIo ?? 0)));
        put(16, be32(Math.min(blocks(mostUnmap), 0xffff_ffff)));
        put(20, be32(255));
        put(24, be32(blocks(limits?.discardGranularity ?? logicalBlockSize)));
        put(36, be32(blocks(MOST_WRITE_SAME_BYTES)));
        return page;
      }
      case 0xb1:
        return [...be16(rotationRate), ...new Array<number>(58).fill(0)];
      case 0xb2:
        // UNMAP and WRITE SAME with unmap; thin provisioning.
        return [0, 0xe0, 2, 0];
      default:
        return null;
    }
  }

  #capacity16(): number[] {
    const { logicalBlockSize, physicalBlockSize } = this.options;
    const last = this.#blocks - 1;
    const exponent = Math.log2(physicalBlockSize / logicalBlockSize);
    // Provisioning management is on: blocks can be unmapped.
    const head = [...be32(Math.floor(last / 2 ** 32)), ...be32(last % 2 ** 32), ...be32(logicalBlockSize)];
    return [...head, 0, exponent, 0x80, 0, ...new Array<number>(16).fill(0)];
  }

  /** Checks the blocks that the command names; answers when they are not there. */
  #inside(request: ScsiRequest): { readonly offset: number; readonly bytes: number } | undefined {
    const { lba, count } = blockRange(request.cdb);
    if (lba + count <= this.#blocks) {
      return { offset: lba * this.options.logicalBlockSize, bytes: count * this.options.logicalBlockSize };
    }
    this.check(request, SENSE.OUT_OF_RANGE);
    return undefined;
  }

  #transfer(request: ScsiRequest, fromDrive: boolean): void {
    const range = this.#inside(request);
    if (!range) return;
    if (!fromDrive && this.drive.readOnly) {
      this.check(request, [7, 0x27, 0]);
      return;
    }
    const all = fromDrive ? request.into : request.out;
    const pieces = slice(all, 0, range.bytes);
    const bytes = pieceBytes(pieces);
    const forceUnitAccess = request.cdb[0]! >> 5 !== 0 && (request.cdb[1]! & 8) !== 0;
    this.transfers.move(
      pieces,
      range.offset,
      fromDrive,
      () => !request.cancelled,
      (error) => {
        if (error) this.failed(request, error);
        else if (fromDrive || !forceUnitAccess) this.good(request, bytes);
        else this.#flushAfter(request, bytes);
      },
    );
  }

  #flushAfter(request: ScsiRequest, bytes: number): void {
    this.wait({ ...request, cancelled: false, done: (status, _, sense) => request.done(status, bytes, sense) }, () =>
      this.drive.flush(),
    );
  }

  #unmap(request: ScsiRequest): void {
    const list = new Uint8Array(Math.min(getBe16(request.cdb, 7), MOST_UNMAP_BYTES));
    const given = list.subarray(0, gather(request.out, 0, list));
    const { logicalBlockSize } = this.options;
    const ranges: { readonly offset: number; readonly bytes: number }[] = [];
    for (let at = 8; at + 16 <= given.length; at += 16) {
      const lba = getBe32(given, at) * 2 ** 32 + getBe32(given, at + 4);
      const count = getBe32(given, at + 8);
      if (lba + count > this.#blocks) {
        this.check(request, SENSE.OUT_OF_RANGE);
        return;
      }
      ranges.push({ offset: lba * logicalBlockSize, bytes: count * logicalBlockSize });
    }
    this.wait(request, () => {
      let last: Promise<void> | undefined;
      for (const { offset, bytes } of ranges) {
        const discard = (): Promise<void> | undefined => this.drive.discard(offset, bytes);
        last = last ? last.then(discard) : discard();
      }
      return last;
    });
  }

  /** Zeroes only: what Linux uses it for. */
  #writeSame(request: ScsiRequest): void {
    const range = this.#inside(request);
    if (!range) return;
    const block = new Uint8Array(this.options.logicalBlockSize);
    const noData = request.cdb[0] === SBC.writeSame16 && (request.cdb[1]! & 1) !== 0;
    if (!noData) gather(request.out, 0, block);
    if (block.some((byte) => byte !== 0) || range.bytes === 0 || range.bytes > MOST_WRITE_SAME_BYTES) {
      this.check(request, SENSE.INVALID_FIELD);
      return;
    }
    const unmap = (request.cdb[1]! & 8) !== 0;
    this.wait(request, () => this.drive.writeZeroes(range.offset, range.bytes, unmap));
  }

  #modeSense(request: ScsiRequest, allocated: number, long: boolean): void {
    const page = request.cdb[2]! & 0x3f;
    if (request.cdb[2]! >> 6 === 3) {
      this.check(request, SENSE.SAVING_NOT_SUPPORTED);
      return;
    }
    if (page !== CACHING_PAGE && page !== 0x3f) {
      this.check(request, SENSE.INVALID_FIELD);
      return;
    }
    const changeable = request.cdb[2]! >> 6 === 1;
    const caching = [CACHING_PAGE, 18, changeable || this.drive.writeCache ? WCE : 0, ...new Array<number>(17).fill(0)];
    // DPOFUA, and write protection.
    const specific = (this.drive.readOnly ? 0x80 : 0) | 0x10;
    const body = caching.length;
    const head = long ? [...be16(body + 6), 0, specific, 0, 0, 0, 0] : [body + 3, 0, specific, 0];
    this.reply(request, [...head, ...caching], allocated);
  }

  /** The write cache is all that can be changed. */
  #modeSelect(request: ScsiRequest, header: number): void {
    const bytes = new Uint8Array(header + 20);
    const given = gather(request.out, 0, bytes);
    if (given === 0) this.good(request);
    else if ((bytes[header]! & 0x3f) !== CACHING_PAGE || bytes[header + 1] !== 18)
      this.check(request, SENSE.INVALID_FIELD);
    else {
      this.drive.writeCache = (bytes[header + 2]! & WCE) !== 0;
      this.good(request, given);
    }
  }
}

const properties = {
  ...DRIVE_PROPERTIES,
  bootindex: BOOT_INDEX,
  drive: prop.drive('drive that holds the medium'),
  vendor: prop.str('vendor that INQUIRY tells, 8 characters', 'QEMU'),
  product: prop.str('product that INQUIRY tells, 16 characters', 'QEMU HARDDISK'),
  ver: prop.str('version that INQUIRY tells, 4 characters', '2.5+'),
  ...SCSI_NAME_PROPERTIES,
  ...LIMIT_PROPERTIES,
  removable: prop.bool(false, 'the medium says that it can be taken out'),
  max_io_size: prop.uint64(2 ** 31 - 1, 'bytes of a request at most'),
  max_unmap_size: prop.uint64(2 ** 30, 'bytes that a range to unmap has at most'),
  ...BLOCK_SIZE_PROPERTIES,
  rotation_rate: prop.uint16(0, 'revolutions a minute; 1 for a medium that does not turn, 0 for unknown'),
};

export const scsiHd: BusDeviceType<'SCSI', ScsiSlot, typeof properties, DriveContext> = {
  name: 'scsi-hd',
  description: 'virtual SCSI disk',
  category: 'Storage devices',
  bus: 'SCSI',
  properties,
  trace: SCSI_TRACE,
  create(slot, v, context) {
    const drive = driveWithMedium(context, 'scsi-hd', v);
    return new ScsiHd(drive, slot, {
      vendor: v.vendor,
      product: v.product,
      version: v.ver,
      ...scsiNames(v),
      removableMedium: v.removable,
      limits: blockLimits(v, v.logical_block_size),
      mostIo: v.max_io_size,
      mostUnmap: v.max_unmap_size,
      ...blockSizes('scsi-hd', v),
      rotationRate: v.rotation_rate,
    });
  },
};
