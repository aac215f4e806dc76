/**
 * An ATA hard disk: PIO and DMA transfers with CHS, 28-bit and 48-bit addresses.
 * Source: T13/1321D (ATA/ATAPI-5) and T13/1410D (ATA/ATAPI-6), chapter 8. Task file: task-file.ts.
 */
import { guestError } from '../../base/log.js';
import { traceEvents } from '../../base/trace.js';
import type { BlockBackend, DriveUser } from '../../block/drive.js';
import { BlockError, type Completion, sequence, whenDone } from '../../block/node.js';
import type { Device } from '../../machine/device.js';
import { type DeviceState, stateOf } from '../../machine/state.js';
import { PieceTransfers } from '../storage/piece-transfers.js';
import { IdeDevice, type QueuedCommand } from './ide-device.js';
import {
  checksummed,
  type DriveIdentity,
  describeTransfers,
  IdentifyBlock,
  smartData,
  smartThresholds,
  transferMode,
} from './identify.js';
import { COMMAND, DEVICE, ERROR, STATUS } from './task-file.js';

export const trace = traceEvents({
  ata_transfer: '%s command 0x%02x lba %u sectors %u',
  ata_error: 'command 0x%02x lba %u: %s',
});

const SECTOR = 512;
const MAX_MULTIPLE = 16;
const LBA28_SECTORS = 0x0fff_ffff;
const SMART = {
  READ_DATA: 0xd0,
  READ_THRESHOLDS: 0xd1,
  AUTOSAVE: 0xd2,
  SAVE: 0xd3,
  OFFLINE: 0xd4,
  READ_LOG: 0xd5,
  ENABLE: 0xd8,
  DISABLE: 0xd9,
  STATUS: 0xda,
};
/** Directory, error log and self-test log: all of version 1 with nothing in them. */
const EMPTY_LOGS: readonly number[] = [0, 1, 6];
const FEATURE = {
  WRITE_CACHE_ON: 0x02,
  TRANSFER_MODE: 0x03,
  APM_ON: 0x05,
  ACOUSTIC_ON: 0x42,
  LOOK_AHEAD_OFF: 0x55,
  REVERT_OFF: 0x66,
  WRITE_CACHE_OFF: 0x82,
  APM_OFF: 0x85,
  LOOK_AHEAD_ON: 0xaa,
  ACOUSTIC_OFF: 0xc2,
  REVERT_ON: 0xcc,
};
const TRIM = 1;
/** Bits of IDENTIFY DEVICE: queued commands (word 76), READ LOG EXT (84 and 87). */
const NATIVE_QUEUING = 0x0100;
const GENERAL_LOGS = 0x0020;
const WORLD_WIDE_NAME = 0x0100;
/** Two words, the high one first. */
const swapped = (value: bigint): number => Number((value >> 16n) & 0xffffn) + Number(value & 0xffffn) * 0x10000;
const ACTIVE = 0xff;
/** Ultra DMA 5, the fastest: nobody need set it up. */
const DEFAULT_MODE = 0x45;

export interface Geometry {
  readonly cylinders: number;
  readonly heads: number;
  readonly sectors: number;
}

/** Pages of READ LOG EXT: the directory, and what went wrong with a queued command (Serial ATA 3.0, 13.7). */
const LOG = { directory: 0, queuedError: 0x10 } as const;

/** What CHS addresses reach: 16383 cylinders at most (ATA-5 6.2.1). */
export function defaultGeometry(bytes: number): Geometry {
  const heads = 16;
  const sectors = 63;
  const cylinders = Math.floor(bytes / SECTOR / heads / sectors);
  return { cylinders: Math.max(1, Math.min(cylinders, 16383)), heads, sectors };
}

/** What a command that reads or writes sectors does. */
interface Transfer {
  readonly toHost: boolean;
  readonly by: 'pio' | 'multiple' | 'dma';
  /** 48-bit address and 16-bit count. */
  readonly ext?: boolean;
  /** Force unit access: the sectors are on the medium when the command ends. */
  readonly fua?: boolean;
}

const TRANSFERS: ReadonlyMap<number, Transfer> = new Map<number, Transfer>([
  [COMMAND.READ_SECTORS, { toHost: true, by: 'pio' }],
  [COMMAND.READ_SECTORS_NO_RETRY, { toHost: true, by: 'pio' }],
  [COMMAND.READ_SECTORS_EXT, { toHost: true, by: 'pio', ext: true }],
  [COMMAND.READ_MULTIPLE, { toHost: true, by: 'multiple' }],
  [COMMAND.READ_MULTIPLE_EXT, { toHost: true, by: 'multiple', ext: true }],
  [COMMAND.READ_DMA, { toHost: true, by: 'dma' }],
  [COMMAND.READ_DMA_NO_RETRY, { toHost: true, by: 'dma' }],
  [COMMAND.READ_DMA_EXT, { toHost: true, by: 'dma', ext: true }],
  [COMMAND.WRITE_SECTORS, { toHost: false, by: 'pio' }],
  [COMMAND.WRITE_SECTORS_NO_RETRY, { toHost: false, by: 'pio' }],
  [COMMAND.WRITE_VERIFY, { toHost: false, by: 'pio' }],
  [COMMAND.WRITE_SECTORS_EXT, { toHost: false, by: 'pio', ext: true }],
  [COMMAND.WRITE_MULTIPLE, { toHost: false, by: 'multiple' }],
  [COMMAND.WRITE_MULTIPLE_EXT, { toHost: false, by: 'multiple', ext: true }],
  [COMMAND.WRITE_MULTIPLE_FUA_EXT, { toHost: false, by: 'multiple', ext: true, fua: true }],
  [COMMAND.WRITE_DMA, { toHost: false, by: 'dma' }],
  [COMMAND.WRITE_DMA_NO_RETRY, { toHost: false, by: 'dma' }],
  [COMMAND.WRITE_DMA_EXT, { toHost: false, by: 'dma', ext: true }],
  [COMMAND.WRITE_DMA_FUA_EXT, { toHost: false, by: 'dma', ext: true, fua: true }],
]);

/** Where a transfer's bytes come from or go to. */
type Source = 'disk' | 'reply' | 'trim';

const powerOn = () => ({
  /** SET MULTIPLE MODE; 0 is off. On from the start, as drives are today. */
  multiple: MAX_MULTIPLE,
  mode: DEFAULT_MODE,
  smart: true,
  smartAutoSave: true,
  /** The translation that INITIALIZE DEVICE PARAMETERS chose; 0 until then. */
  heads: 0,
  sectors: 0,
  source: 'disk' as Source,
  /** Next sector of the transfer, and the sectors of one PIO block. */
  lba: 0,
  blockSectors: 1,
  /** The command's address has 48 bits. */
  extended: false,
  /** Writes go to the medium before the command ends. */
  forceUnitAccess: false,
  reply: new Uint8Array(SECTOR),
  /** The log page about the queued command that failed last. */
  queuedError: new Uint8Array(SECTOR),
});

export interface AtaOptions extends DriveIdentity {
  readonly geometry?: Geometry;
  /** World wide name; 0: none. */
  readonly wwn?: bigint;
  /** Revolutions a minute, 1 for a medium that does not turn, 0: unknown. */
  readonly rotationRate?: number;
}

export class AtaDisk extends IdeDevice implements Device, DriveUser {
  readonly type = 'ide-hd';
  readonly packet = false;
  readonly removable = false;
  readonly #drive: BlockBackend;
  readonly #options: AtaOptions;
  readonly #geometry: Geometry;
  readonly #transfers: PieceTransfers;
  readonly #s = powerOn();
  readonly #stateful = stateOf({ task: this.taskState, disk: stateOf(this.#s, 2) }, 1);

  constructor(drive: BlockBackend, options: AtaOptions) {
    super();
    this.#drive = drive;
    this.#transfers = new PieceTransfers(drive);
    this.#options = options;
    this.#geometry = options.geometry ?? defaultGeometry(drive.length);
    drive.attach(this);
    this.reset();
  }

  save(): DeviceState {
    return this.#stateful.save();
  }

  load(state: DeviceState): void {
    this.#stateful.load(state);
    this.host.interruptChanged();
  }

  dispose(): void {
    this.#drive.attach(null);
  }

  protected resetDevice(): void {
    Object.assign(this.#s, powerOn());
  }

  get #total(): number {
    return Math.floor(this.#drive.length / SECTOR);
  }

  protected execute(command: number): void {
    const t = this.task;
    const transfer = TRANSFERS.get(command);
    if (transfer) {
      this.#transfer(transfer);
      return;
    }
    switch (command) {
      case COMMAND.READ_VERIFY:
      case COMMAND.READ_VERIFY_NO_RETRY:
        this.#verify(false);
        return;
      case COMMAND.READ_VERIFY_EXT:
        this.#verify(true);
        return;
      case COMMAND.READ_NATIVE_MAX:
        this.#nativeMax(false);
        return;
      case COMMAND.READ_NATIVE_MAX_EXT:
        this.#nativeMax(true);
        return;
      case COMMAND.IDENTIFY_DEVICE:
        this.#reply(this.#identify());
        return;
      case COMMAND.IDENTIFY_PACKET_DEVICE:
        // The signature tells the host that this is no packet device.
        this.signature();
        this.abort();
        return;
      case COMMAND.DATA_SET_MANAGEMENT:
        this.#dataSetManagement();
        return;
      case COMMAND.SET_FEATURES:
        this.#setFeatures();
        return;
      case COMMAND.SET_MULTIPLE_MODE: {
        const n = t.count;
        if (n > MAX_MULTIPLE || (n & (n - 1)) !== 0) {
          this.abort();
          return;
        }
        this.#s.multiple = n;
        this.succeed();
        return;
      }
      case COMMAND.SMART:
        this.#smart();
        return;
      case COMMAND.READ_LOG_EXT:
        this.#readLog();
        return;
      case COMMAND.FLUSH_CACHE:
      case COMMAND.FLUSH_CACHE_EXT:
        this.wait(
          () => this.#drive.flush(),
          (error) => (error ? this.failed(error) : this.succeed()),
        );
        return;
      case COMMAND.EXECUTE_DEVICE_DIAGNOSTIC:
        this.signature();
        t.status = STATUS.DRDY | STATUS.DSC;
        this.raiseInterrupt();
        return;
      case COMMAND.INITIALIZE_DEVICE_PARAMETERS:
        this.#s.sectors = t.count;
        this.#s.heads = (t.device & DEVICE.HEAD) + 1;
        this.succeed();
        return;
      case COMMAND.CHECK_POWER_MODE:
      case COMMAND.CHECK_POWER_MODE_OLD:
        t.count = ACTIVE;
        this.succeed();
        return;
      case COMMAND.STANDBY:
      case COMMAND.STANDBY_OLD:
      case COMMAND.STANDBY_IMMEDIATE:
      case COMMAND.STANDBY_IMMEDIATE_OLD:
      case COMMAND.IDLE:
      case COMMAND.IDLE_OLD:
      case COMMAND.IDLE_IMMEDIATE:
      case COMMAND.IDLE_IMMEDIATE_OLD:
      case COMMAND.SLEEP:
      case COMMAND.SLEEP_OLD:
      case COMMAND.SECURITY_FREEZE_LOCK:
        this.succeed();
        return;
      default:
        // RECALIBRATE and SEEK have 16 codes each.
        if ((command & 0xf0) === COMMAND.RECALIBRATE || (command & 0xf0) === COMMAND.SEEK) {
          this.succeed();
          return;
        }
        if (command !== COMMAND.NOP && command !== COMMAND.DEVICE_RESET)
          guestError('ide-hd: unknown command 0x%02x', command);
        this.abort();
        return;
    }
  }

  override queue(command: QueuedCommand, wanted: () => boolean, done: (error: number) => void): void {
    const { lba, sectors, toHost, pieces } = command;
    const end = (error: BlockError | null): void => {
      if (!error) {
        done(0);
        return;
      }
      if (trace.ata_error.enabled) trace.ata_error.emit(this.task.command, lba, error.message);
      const bits = errorBits(error, toHost);
      if (wanted()) this.#s.queuedError.set(queuedErrorPage(command, bits));
      done(bits);
    };
    if (lba + sectors > this.#total) {
      end(new BlockError('EINVAL', 'sectors beyond the end'));
      return;
    }
    if (trace.ata_transfer.enabled)
      trace.ata_transfer.emit(toHost ? 'queued read' : 'queued write', this.task.command, lba, sectors);
    this.#transfers.move(pieces, lba * SECTOR, toHost, wanted, (error) => {
      if (error || toHost || !command.forceUnitAccess) end(error);
      else whenDone(() => this.#drive.flush(), end);
    });
  }

  protected pioBlock(): number {
    return this.#s.blockSectors * SECTOR;
  }

  protected fetch(into: Uint8Array): Completion {
    const s = this.#s;
    if (s.source === 'disk') return this.#drive.read(s.lba * SECTOR, into);
    into.set(s.reply);
    return undefined;
  }

  protected store(from: Uint8Array): Completion {
    const s = this.#s;
    if (s.source === 'trim') return this.#trim(from);
    if (s.source === 'reply') return undefined;
    const written = this.#drive.write(s.lba * SECTOR, from);
    return s.forceUnitAccess ? sequence(written, () => this.#drive.flush()) : written;
  }

  protected advance(bytes: number): void {
    if (this.#s.source === 'disk') this.#s.lba += bytes / SECTOR;
  }

  protected completed(): void {
    const t = this.task;
    if (this.#s.source === 'disk') {
      this.#showAddress(this.#s.lba - 1);
      t.count = 0;
    }
    t.phase = 'idle';
    t.status = STATUS.DRDY | STATUS.DSC;
    // PIO to the host announced its last block already: there is no interrupt after it (9.5).
    if (!(t.toHost && t.end > 0 && t.position >= t.end)) this.raiseInterrupt();
    t.position = t.end = 0;
  }

  protected failed(error: BlockError): void {
    const { lba } = this.#s;
    if (trace.ata_error.enabled) trace.ata_error.emit(this.task.command, lba, error.message);
    this.#showAddress(lba);
    const { toHost } = this.task;
    const faulty = !toHost && error.errno !== 'EINVAL' && error.errno !== 'EROFS';
    this.fail(errorBits(error, toHost), STATUS.DRDY | STATUS.DSC | (faulty ? STATUS.DF : 0));
  }

  /** First sector and count of the command in the task file; null when they leave the disk. */
  #range(ext: boolean): { readonly lba: number; readonly sectors: number } | null {
    const t = this.task;
    const sectors = ext ? (t.previousCount << 8) | t.count || 0x10000 : t.count || 0x100;
    const lba = this.#address(ext);
    return lba >= 0 && lba + sectors <= this.#total ? { lba, sectors } : null;
  }

  /** The sector that the task file names; -1 for a CHS address that does not exist. */
  #address(ext: boolean): number {
    const t = this.task;
    const low = t.lbaLow + (t.lbaMid << 8) + (t.lbaHigh << 16);
    if (ext) return low + t.previousLbaLow * 2 ** 24 + t.previousLbaMid * 2 ** 32 + t.previousLbaHigh * 2 ** 40;
    if (t.device & DEVICE.LBA) return low + (t.device & DEVICE.HEAD) * 2 ** 24;
    const { heads, sectors } = this.#translation;
    const head = t.device & DEVICE.HEAD;
    if (t.lbaLow === 0 || t.lbaLow > sectors || head >= heads) return -1;
    return ((t.lbaMid | (t.lbaHigh << 8)) * heads + head) * sectors + t.lbaLow - 1;
  }

  get #translation(): { readonly heads: number; readonly sectors: number } {
    return this.#s.heads > 0 && this.#s.sectors > 0 ? this.#s : this.#geometry;
  }

  /** Writes an address back to the task file in the form the command used. */
  #showAddress(lba: number): void {
    const t = this.task;
    if (this.#s.extended || t.device & DEVICE.LBA) {
      t.lbaLow = lba % 256;
      t.lbaMid = Math.floor(lba / 2 ** 8) % 256;
      t.lbaHigh = Math.floor(lba / 2 ** 16) % 256;
      const top = Math.floor(lba / 2 ** 24);
      if (this.#s.extended) {
        t.previousLbaLow = top % 256;
        t.previousLbaMid = Math.floor(top / 2 ** 8) % 256;
        t.previousLbaHigh = Math.floor(top / 2 ** 16) % 256;
      } else t.device = (t.device & ~DEVICE.HEAD) | (top & DEVICE.HEAD);
      return;
    }
    const { heads, sectors } = this.#translation;
    const track = Math.floor(lba / sectors);
    const cylinder = Math.floor(track / heads);
    t.lbaLow = (lba % sectors) + 1;
    t.lbaMid = cylinder & 0xff;
    t.lbaHigh = (cylinder >> 8) & 0xff;
    t.device = (t.device & ~DEVICE.HEAD) | (track % heads);
  }

  #transfer({ toHost, by, ext = false, fua = false }: Transfer): void {
    const s = this.#s;
    const blockSectors = by === 'multiple' ? s.multiple : 1;
    if (blockSectors === 0) {
      this.abort();
      return;
    }
    s.extended = ext;
    const range = this.#range(ext);
    if (!range) {
      this.fail(ERROR.IDNF);
      return;
    }
    if (trace.ata_transfer.enabled)
      trace.ata_transfer.emit(toHost ? 'read' : 'write', this.task.command, range.lba, range.sectors);
    s.source = 'disk';
    s.lba = range.lba;
    s.blockSectors = blockSectors;
    s.forceUnitAccess = fua;
    if (by === 'dma') this.startDma(toHost, range.sectors * SECTOR);
    else this.startPio(toHost, range.sectors * SECTOR);
  }

  /** Sends one sector that does not come from the disk. */
  #reply(page: Uint8Array): void {
    this.#s.source = 'reply';
    this.#s.blockSectors = 1;
    this.#s.reply.set(page);
    this.startPio(true, SECTOR);
  }

  #verify(ext: boolean): void {
    this.#s.extended = ext;
    const range = this.#range(ext);
    if (!range) {
      this.fail(ERROR.IDNF);
      return;
    }
    this.#showAddress(range.lba + range.sectors - 1);
    this.succeed();
  }

  #nativeMax(ext: boolean): void {
    this.#s.extended = ext;
    this.task.device |= DEVICE.LBA;
    this.#showAddress(Math.min(this.#total - 1, ext ? Number.MAX_SAFE_INTEGER : LBA28_SECTORS - 1));
    this.succeed();
  }

  #setFeatures(): void {
    const t = this.task;
    switch (t.features) {
      case FEATURE.WRITE_CACHE_ON:
        this.#drive.writeCache = true;
        this.succeed();
        return;
      case FEATURE.WRITE_CACHE_OFF:
        this.#drive.writeCache = false;
        this.wait(
          () => this.#drive.flush(),
          (error) => (error ? this.failed(error) : this.succeed()),
        );
        return;
      case FEATURE.TRANSFER_MODE:
        if (!transferMode(t.count)) {
          this.abort();
          return;
        }
        this.#s.mode = t.count;
        this.succeed();
        return;
      case FEATURE.APM_ON:
      case FEATURE.APM_OFF:
      case FEATURE.ACOUSTIC_ON:
      case FEATURE.ACOUSTIC_OFF:
      case FEATURE.LOOK_AHEAD_ON:
      case FEATURE.LOOK_AHEAD_OFF:
      case FEATURE.REVERT_ON:
      case FEATURE.REVERT_OFF:
        this.succeed();
        return;
      default:
        this.abort();
        return;
    }
  }

  #smart(): void {
    const t = this.task;
    const s = this.#s;
    if (t.lbaMid !== 0x4f || t.lbaHigh !== 0xc2) {
      this.abort();
      return;
    }
    if (!s.smart && t.features !== SMART.ENABLE) {
      this.abort();
      return;
    }
    switch (t.features) {
      case SMART.ENABLE:
      case SMART.DISABLE:
        s.smart = t.features === SMART.ENABLE;
        this.succeed();
        return;
      case SMART.AUTOSAVE:
        s.smartAutoSave = t.count !== 0;
        this.succeed();
        return;
      case SMART.SAVE:
      case SMART.OFFLINE:
        this.succeed();
        return;
      case SMART.STATUS:
        // The signature unchanged says that no threshold was exceeded.
        this.succeed();
        return;
      case SMART.READ_DATA:
        this.#reply(smartData(s.smartAutoSave));
        return;
      case SMART.READ_THRESHOLDS:
        this.#reply(smartThresholds());
        return;
      case SMART.READ_LOG:
        if (EMPTY_LOGS.includes(t.lbaLow)) this.#reply(emptyLog());
        else this.abort();
        return;
      default:
        this.abort();
        return;
    }
  }

  #readLog(): void {
    const t = this.task;
    const page = t.lbaLow;
    if (this.host.queueDepth === undefined || t.count !== 1 || t.previousCount !== 0) this.abort();
    else if (page === LOG.queuedError) this.#reply(this.#s.queuedError);
    else if (page === LOG.directory) {
      const directory = new Uint8Array(SECTOR);
      directory[0] = 1;
      directory[2 * LOG.queuedError] = 1;
      this.#reply(directory);
    } else this.abort();
  }

  /** TRIM: sectors of 64 ranges, each 48 bits of address and 16 of length (ACS-2 7.10). */
  #dataSetManagement(): void {
    const t = this.task;
    if (t.features !== TRIM) {
      this.abort();
      return;
    }
    this.#s.source = 'trim';
    this.startDma(false, ((t.previousCount << 8) | t.count || 0x10000) * SECTOR);
  }

  #trim(ranges: Uint8Array): Completion {
    const view = new DataView(ranges.buffer, ranges.byteOffset, ranges.length);
    let done: Completion;
    for (let i = 0; i + 8 <= ranges.length; i += 8) {
      const sectors = view.getUint16(i + 6, true);
      const lba = view.getUint32(i, true) + view.getUint16(i + 4, true) * 2 ** 32;
      if (sectors > 0) done = sequence(done, () => this.#drive.discard(lba * SECTOR, sectors * SECTOR));
    }
    return done;
  }

  #identify(): Uint8Array {
    const { cylinders, heads, sectors } = this.#geometry;
    const current = this.#translation;
    const total = this.#total;
    const currentCylinders = Math.min(65535, Math.floor(total / (current.heads * current.sectors)));
    const { multiple, mode, smart } = this.#s;
    const depth = this.host.queueDepth ?? 0;
    const { wwn = 0n, rotationRate = 0 } = this.#options;
    const extensions = 0x4000 | (depth > 0 ? GENERAL_LOGS : 0) | (wwn ? WORLD_WIDE_NAME : 0);
    const block = new IdentifyBlock()
      .word(0, 0x0040)
      .word(1, cylinders)
      .word(3, heads)
      .word(4, SECTOR * sectors)
      .word(5, SECTOR)
      .word(6, sectors)
      .identity(this.#options)
      .word(20, 3)
      .word(21, 512)
      .word(22, 4)
      .word(47, 0x8000 | MAX_MULTIPLE)
      .word(48, 1)
      .word(54, currentCylinders)
      .word(55, current.heads)
      .word(56, current.sectors)
      .dword(57, currentCylinders * current.heads * current.sectors)
      .word(59, multiple ? 0x100 | multiple : 0)
      .dword(60, Math.min(total, LBA28_SECTORS));
    return (
      describeTransfers(block, mode)
        .word(69, 0x4000)
        .word(75, depth > 0 ? depth - 1 : 0)
        .word(76, depth > 0 ? NATIVE_QUEUING : 0)
        // ATA-4 to ATA-7.
        .word(80, 0x00f0)
        .word(81, 0x0016)
        // NOP, write cache, SMART; FLUSH CACHE (EXT), 48-bit.
        .word(82, 0x4021)
        .word(83, 0x7400)
        .word(84, extensions)
        .word(85, 0x4000 | (this.#drive.writeCache ? 0x20 : 0) | (smart ? 1 : 0))
        .word(86, 0x3400)
        .word(87, extensions)
        .word(93, 0x6001)
        .dword(100, total)
        .dword(102, Math.floor(total / 2 ** 32))
        // A physical sector is one logical sector.
        .word(106, 0x6000)
        .dword(108, swapped(wwn >> 32n))
        .dword(110, swapped(wwn))
        .word(217, rotationRate)
        .word(169, TRIM).bytes
    );
  }
}

function errorBits(error: BlockError, toHost: boolean): number {
  if (error.errno === 'EINVAL') return ERROR.IDNF;
  return toHost && error.errno !== 'EROFS' ? ERROR.UNC : ERROR.ABRT;
}

/** Tag, status, error, address and count of the command, in the form of a register FIS. */
function queuedErrorPage({ tag, lba, sectors }: QueuedCommand, error: number): Uint8Array {
  const page = new Uint8Array(SECTOR);
  const high = Math.floor(lba / 2 ** 24);
  page.set([tag, 0, STATUS.DRDY | STATUS.ERR, error, lba, lba >>> 8, lba >>> 16, DEVICE.LBA]);
  page.set([high, high >>> 8, high >>> 16, 0, sectors, sectors >>> 8], 8);
  return checksummed(page);
}

function emptyLog(): Uint8Array {
  const page = new Uint8Array(512);
  page[0] = 1;
  page[511] = 0xff;
  return page;
}
