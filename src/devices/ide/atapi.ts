/**
 * A CD-ROM or DVD-ROM drive as an ATA packet device.
 * Source: T13/1321D (ATA/ATAPI-5), 8.21 PACKET and 9.8; packet commands: MMC-3 (mmc.ts).
 *
 *   PACKET uses the task file so:  FEATURES bit 0: data by DMA    LBA MID/HIGH: byte count limit, then bytes of this block
 *   SECTOR COUNT is the interrupt reason: bit 0 command (1) or data, bit 1 to the host
 */
import { guestError } from '../../base/log.js';
import { traceEvents } from '../../base/trace.js';
import type { BlockBackend, DriveUser } from '../../block/drive.js';
import { type BlockError, type Completion, sequence } from '../../block/node.js';
import type { Device } from '../../machine/device.js';
import { type DeviceState, stateOf } from '../../machine/state.js';
import { IdeDevice } from './ide-device.js';
import { type DriveIdentity, describeTransfers, IdentifyBlock, transferMode } from './identify.js';
import {
  be32,
  configuration,
  discInformation,
  frameRawSector,
  fromMsf,
  getBe16,
  getBe24,
  getBe32,
  inquiry,
  mediaEvent,
  modeSense,
  noEvents,
  OPERATION,
  RAW_SECTOR,
  rawData,
  SECTOR,
  SENSE,
  type Sense,
  senseData,
  tableOfContents,
} from './mmc.js';
import { COMMAND, ERROR, STATUS } from './task-file.js';

export const trace = traceEvents({
  ide_atapi_cmd: 'opcode 0x%02x',
  ide_atapi_cmd_error: 'opcode 0x%02x sense 0x%x asc 0x%02x',
  cd_read: 'lba %u sectors %u of %u bytes',
});

const PACKET_BYTES = 12;
const REASON = { COMMAND: 1, TO_HOST: 2 };
const SET_TRANSFER_MODE = 0x03;
const DEFAULT_MODE = 0x45;
const EVENT = { NONE: 0, EJECT_REQUESTED: 1, NEW_MEDIUM: 2, REMOVED: 3 };
const MEDIA_CLASS = 1 << 4;
const MAX_LIMIT = 0xfffe;

/** What the transfer under way carries. */
type Source = 'packet' | 'reply' | 'sectors' | 'parameters' | 'identify';

const powerOn = () => ({
  mode: DEFAULT_MODE,
  source: 'reply' as Source,
  dma: false,
  /** At most so many bytes in a PIO block. */
  limit: MAX_LIMIT,
  packet: new Uint8Array(PACKET_BYTES),
  reply: new Uint8Array(0) as Uint8Array,
  /** Bytes of the transfer that went through. */
  done: 0,
  /** First sector of a read, and the bytes that the host sees of each. */
  lba: 0,
  sectorBytes: SECTOR,
  sense: [...SENSE.NONE] as number[],
});

/** What a reset does not change. */
const tray = () => ({
  open: false,
  locked: false,
  event: EVENT.NONE,
  /** The host has not been told of a new medium yet. */
  attention: false,
});

/** Commands that answer even when there is something the host must know first. */
const UNTROUBLED: ReadonlySet<number> = new Set([
  OPERATION.INQUIRY,
  OPERATION.REQUEST_SENSE,
  OPERATION.GET_CONFIGURATION,
  OPERATION.GET_EVENT_STATUS,
]);

export interface AtapiOptions extends DriveIdentity {
  /** INQUIRY's vendor, at most 8 characters. */
  readonly vendor: string;
}

export class AtapiCdrom extends IdeDevice implements Device, DriveUser {
  readonly type = 'ide-cd';
  readonly packet = true;
  readonly removable = true;
  readonly #drive: BlockBackend;
  readonly #options: AtapiOptions;
  readonly #s = powerOn();
  readonly #tray = tray();
  readonly #stateful = stateOf({ task: this.taskState, drive: stateOf(this.#s, 1), tray: stateOf(this.#tray, 1) }, 1);
  /** Sectors on their way to becoming raw ones. */
  readonly #raw = new Uint8Array(RAW_SECTOR);

  constructor(drive: BlockBackend, options: AtapiOptions) {
    super();
    this.#drive = drive;
    this.#options = options;
    drive.attach(this);
    this.reset();
  }

  get locked(): boolean {
    return this.#tray.locked;
  }

  get trayOpen(): boolean {
    return this.#tray.open;
  }

  mediumChanged(): void {
    const { inserted } = this.#drive;
    this.#tray.open = !inserted;
    this.#tray.event = inserted ? EVENT.NEW_MEDIUM : EVENT.REMOVED;
    this.#tray.attention = inserted;
  }

  ejectRequested(): void {
    this.#tray.event = EVENT.EJECT_REQUESTED;
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
    this.#tray.locked = false;
  }

  protected execute(command: number): void {
    const t = this.task;
    switch (command) {
      case COMMAND.PACKET: {
        const s = this.#s;
        s.dma = (t.features & 1) !== 0;
        const limit = t.lbaMid | (t.lbaHigh << 8);
        // Odd limits are rounded down: only the last block of a transfer may be odd.
        s.limit = limit & ~1 || MAX_LIMIT;
        s.source = 'packet';
        this.startPio(false, PACKET_BYTES);
        break;
      }
      case COMMAND.IDENTIFY_PACKET_DEVICE:
        this.#s.source = 'identify';
        this.#s.reply = this.#identify();
        this.#s.done = 0;
        this.startPio(true, this.#s.reply.length);
        break;
      case COMMAND.IDENTIFY_DEVICE:
      case COMMAND.READ_SECTORS:
        // The signature tells the host that this is a packet device.
        this.signature();
        this.fail(ERROR.ABRT);
        break;
      case COMMAND.DEVICE_RESET:
        this.reset();
        break;
      case COMMAND.EXECUTE_DEVICE_DIAGNOSTIC:
        this.signature();
        this.raiseInterrupt();
        break;
      case COMMAND.SET_FEATURES:
        if (t.features === SET_TRANSFER_MODE && !transferMode(t.count)) this.fail(ERROR.ABRT);
        else {
          if (t.features === SET_TRANSFER_MODE) this.#s.mode = t.count;
          this.succeed();
        }
        break;
      case COMMAND.CHECK_POWER_MODE:
        t.count = 0xff;
        this.succeed();
        break;
      case COMMAND.STANDBY:
      case COMMAND.STANDBY_IMMEDIATE:
      case COMMAND.IDLE:
      case COMMAND.IDLE_IMMEDIATE:
      case COMMAND.SLEEP:
      case COMMAND.FLUSH_CACHE:
        this.succeed();
        break;
      default:
        guestError('ide-cd: unknown command 0x%02x', command);
        this.fail(ERROR.ABRT);
    }
  }

  protected pioBlock(): number {
    return this.#s.source === 'packet' || this.#s.source === 'identify' ? this.task.remaining : this.#s.limit;
  }

  protected override announce(bytes: number): void {
    const t = this.task;
    if (this.#s.source === 'identify') return;
    t.count = this.#s.source === 'packet' ? REASON.COMMAND : t.toHost ? REASON.TO_HOST : 0;
    if (this.#s.source === 'packet') return;
    t.lbaMid = bytes & 0xff;
    t.lbaHigh = bytes >> 8;
  }

  protected fetch(into: Uint8Array): Completion {
    const s = this.#s;
    if (s.source !== 'sectors') {
      into.set(s.reply.subarray(s.done, s.done + into.length));
      return undefined;
    }
    if (s.sectorBytes === SECTOR) return this.#drive.read(s.lba * SECTOR + s.done, into);
    return this.#fetchRaw(into, 0);
  }

  protected store(from: Uint8Array): Completion {
    if (this.#s.source === 'packet') this.#s.packet.set(from);
    return undefined;
  }

  protected advance(bytes: number): void {
    this.#s.done += bytes;
  }

  protected completed(): void {
    switch (this.#s.source) {
      case 'packet':
        this.#run();
        break;
      case 'identify':
        this.task.phase = 'idle';
        this.task.status = STATUS.DRDY | STATUS.DSC;
        break;
      default:
        this.#good();
    }
  }

  protected failed(error: BlockError): void {
    this.#check(error.errno === 'EINVAL' ? SENSE.OUT_OF_RANGE : SENSE.READ_ERROR);
  }

  /** Raw sectors are put together one by one. */
  #fetchRaw(into: Uint8Array, from: number): Completion {
    const s = this.#s;
    for (let at = from; at < into.length; ) {
      const position = s.done + at;
      const lba = s.lba + Math.floor(position / RAW_SECTOR);
      const within = position % RAW_SECTOR;
      const bytes = Math.min(RAW_SECTOR - within, into.length - at);
      const here = at;
      at += bytes;
      const next = at;
      const done = sequence(this.#drive.read(lba * SECTOR, rawData(this.#raw)), () => {
        frameRawSector(this.#raw, lba);
        into.set(this.#raw.subarray(within, within + bytes), here);
        return undefined;
      });
      if (done) return done.then(() => this.#fetchRaw(into, next));
    }
    return undefined;
  }

  get #ready(): boolean {
    return this.#drive.inserted && !this.#tray.open;
  }

  get #sectors(): number {
    return Math.floor(this.#drive.length / SECTOR);
  }

  /** Ends a packet command well. */
  #good(): void {
    this.#s.sense = [...SENSE.NONE];
    this.task.count = REASON.COMMAND | REASON.TO_HOST;
    this.succeed();
  }

  /** Ends a packet command with CHECK CONDITION. */
  #check(sense: Sense): void {
    const [key, code] = sense;
    if (trace.ide_atapi_cmd_error.enabled) trace.ide_atapi_cmd_error.emit(this.#s.packet[0]!, key, code);
    this.#s.sense = [...sense];
    this.task.count = REASON.COMMAND | REASON.TO_HOST;
    this.fail((key << 4) | ERROR.ABRT);
  }

  /** Sends a reply, no longer than the host has room for. */
  #reply(bytes: readonly number[] | null, allocated: number): void {
    if (!bytes) {
      this.#check(SENSE.INVALID_FIELD);
      return;
    }
    this.#s.reply = Uint8Array.from(bytes.slice(0, allocated));
    this.#transfer('reply', true, this.#s.reply.length);
  }

  #transfer(source: Source, toHost: boolean, bytes: number): void {
    const s = this.#s;
    s.source = source;
    s.done = 0;
    if (bytes === 0) this.#good();
    else if (s.dma) this.startDma(toHost, bytes);
    else this.startPio(toHost, bytes);
  }

  /** Carries out the packet that has arrived. */
  #run(): void {
    const p = this.#s.packet;
    const operation = p[0]!;
    if (trace.ide_atapi_cmd.enabled) trace.ide_atapi_cmd.emit(operation);
    if (this.#tray.attention && !UNTROUBLED.has(operation)) {
      this.#tray.attention = false;
      this.#check(SENSE.MEDIUM_CHANGED);
      return;
    }
    switch (operation) {
      case OPERATION.INQUIRY: {
        const { vendor, model, firmware } = this.#options;
        // No vital product data.
        this.#reply(p[1]! & 1 ? null : inquiry(vendor, model, firmware), p[4]!);
        break;
      }
      case OPERATION.REQUEST_SENSE: {
        const sense = senseData(this.#s.sense as unknown as Sense);
        this.#s.sense = [...SENSE.NONE];
        this.#reply(sense, p[4]!);
        break;
      }
      case OPERATION.START_STOP_UNIT:
        this.#startStop(p[4]!);
        break;
      case OPERATION.PREVENT_ALLOW:
        this.#tray.locked = (p[4]! & 1) !== 0;
        this.#good();
        break;
      case OPERATION.GET_CONFIGURATION:
        this.#reply(configuration(this.#ready ? this.#sectors : -1, p[1]! & 3, getBe16(p, 2)), getBe16(p, 7));
        break;
      case OPERATION.GET_EVENT_STATUS:
        this.#eventStatus(p);
        break;
      case OPERATION.MODE_SENSE_10:
        if (p[2]! >> 6 === 3) this.#check(SENSE.SAVING_NOT_SUPPORTED);
        else this.#reply(modeSense(p[2]! & 0x3f, this.#ready, this.#tray.locked), getBe16(p, 7));
        break;
      case OPERATION.MODE_SELECT_10:
        this.#transfer('parameters', false, getBe16(p, 7));
        break;
      case OPERATION.MECHANISM_STATUS:
        this.#reply([0, this.#tray.open ? 0x10 : 0, 0, 0, 0, 1, 0, 0], getBe16(p, 8));
        break;
      case OPERATION.SET_CD_SPEED:
        this.#good();
        break;
      default:
        if (this.#ready) this.#runOnMedium(operation, p);
        else this.#check(this.#tray.open ? SENSE.NO_MEDIUM_TRAY_OPEN : SENSE.NO_MEDIUM_TRAY_CLOSED);
    }
  }

  /** Commands that need a medium. */
  #runOnMedium(operation: number, p: Uint8Array): void {
    const sectors = this.#sectors;
    switch (operation) {
      case OPERATION.TEST_UNIT_READY:
        this.#good();
        break;
      case OPERATION.READ_CAPACITY:
        this.#reply([...be32(Math.max(0, sectors - 1)), ...be32(SECTOR)], 8);
        break;
      case OPERATION.READ_10:
        this.#read(getBe32(p, 2), getBe16(p, 7), SECTOR);
        break;
      case OPERATION.READ_12:
        this.#read(getBe32(p, 2), getBe32(p, 6), SECTOR);
        break;
      case OPERATION.SEEK_10:
        if (getBe32(p, 2) >= sectors) this.#check(SENSE.OUT_OF_RANGE);
        else this.#good();
        break;
      case OPERATION.READ_TOC: {
        // SFF-8020i had the format in the last byte.
        const format = p[2]! & 0x0f || p[9]! >> 6;
        this.#reply(tableOfContents(sectors, format, (p[1]! & 2) !== 0, p[6]!), getBe16(p, 7));
        break;
      }
      case OPERATION.READ_DISC_INFORMATION:
        this.#reply(p[1]! & 7 ? null : discInformation(), getBe16(p, 7));
        break;
      case OPERATION.READ_CD:
        this.#readCd(getBe32(p, 2), getBe24(p, 6), p[9]!);
        break;
      case OPERATION.READ_CD_MSF: {
        const start = fromMsf(p, 3);
        this.#readCd(start, fromMsf(p, 6) - start, p[9]!);
        break;
      }
      default:
        guestError('ide-cd: unknown packet command 0x%02x', operation);
        this.#check(SENSE.INVALID_OPERATION);
    }
  }

  #read(lba: number, count: number, sectorBytes: number): void {
    if (trace.cd_read.enabled) trace.cd_read.emit(lba, count, sectorBytes);
    if (lba < 0 || count < 0 || lba + count > this.#sectors) {
      this.#check(SENSE.OUT_OF_RANGE);
      return;
    }
    this.#s.lba = lba;
    this.#s.sectorBytes = sectorBytes;
    this.#transfer('sectors', true, count * sectorBytes);
  }

  /** `fields`: bits 7 sync, 6 and 5 headers, 4 user data, 3 error correction. */
  #readCd(lba: number, count: number, fields: number): void {
    if ((fields & 0xf8) === 0 || count === 0) this.#good();
    else if ((fields & 0xf8) === 0x10) this.#read(lba, count, SECTOR);
    else if ((fields & 0xf8) === 0xf8) this.#read(lba, count, RAW_SECTOR);
    else this.#check(SENSE.INVALID_FIELD);
  }

  #startStop(how: number): void {
    const loadOrEject = (how & 2) !== 0;
    const start = (how & 1) !== 0;
    if (loadOrEject && !start && this.#tray.locked && !this.#tray.open) {
      this.#check(SENSE.REMOVAL_PREVENTED);
      return;
    }
    if (loadOrEject) {
      const opened = !start;
      // Closing the tray over a disc that stayed in it is a new medium to the host.
      if (this.#tray.open && !opened && this.#drive.inserted) {
        this.#tray.event = EVENT.NEW_MEDIUM;
        this.#tray.attention = true;
      }
      this.#tray.open = opened;
    }
    this.#good();
  }

  #eventStatus(p: Uint8Array): void {
    // Only polled operation is there.
    if (!(p[1]! & 1)) {
      this.#check(SENSE.INVALID_FIELD);
      return;
    }
    const allocated = getBe16(p, 7);
    if (!(p[4]! & MEDIA_CLASS)) {
      this.#reply(noEvents(), allocated);
      return;
    }
    const { event, open } = this.#tray;
    this.#tray.event = EVENT.NONE;
    this.#reply(mediaEvent(event, this.#ready, open), allocated);
  }

  #identify(): Uint8Array {
    const block = new IdentifyBlock()
      // Packet device, CD-ROM, removable, DRQ within 50 us, packets of 12 bytes.
      .word(0, 0x85c0)
      .identity(this.#options)
      .word(20, 3)
      .word(21, 512)
      .word(22, 4)
      .word(48, 1)
      .word(71, 30)
      .word(72, 30)
      .word(80, 0x001e)
      .word(82, 0x4010)
      .word(83, 0x4000)
      .word(84, 0x4000)
      .word(85, 0x4010)
      .word(87, 0x4000)
      .word(93, 0x6001);
    return describeTransfers(block, this.#s.mode).bytes;
  }
}
