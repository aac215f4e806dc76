/** A CD-ROM or DVD-ROM drive on a SCSI bus. T10 MMC-3; replies are those of `ide/mmc.ts`. */

import type { DriveContext } from '../../block/drive.js';
import { Drive } from '../../block/drive.js';
import { configured, DRIVE_PROPERTIES } from '../../block/drive-properties.js';
import type { BusDeviceType } from '../../machine/device-type.js';
import { BOOT_INDEX, prop } from '../../machine/property.js';
import { type DeviceState, stateOf } from '../../machine/state.js';
import { pieceBytes, slice } from '../../memory/pieces.js';
import {
  be32,
  configuration,
  discInformation,
  getBe16,
  mediaEvent,
  modeSense,
  noEvents,
  OPERATION,
  SECTOR,
  SENSE,
  tableOfContents,
} from '../ide/mmc.js';
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

const Event = { none: 0, ejectRequested: 1, newMedium: 2, removed: 3 } as const;
const MEDIA_CLASS = 0x10;

export class ScsiCd extends ScsiUnit {
  readonly type = 'scsi-cd';
  readonly removable = true;
  readonly peripheral = 5;
  readonly vitalPages = [];
  locked = false;
  trayOpen = false;
  event: number = Event.none;
  newMedium = false;
  readonly #state = stateOf<ScsiCd>(this, 1, ['locked', 'trayOpen', 'event', 'newMedium'], () => this.#setAttention());

  constructor(drive: ConstructorParameters<typeof ScsiUnit>[0], slot: ScsiSlot, identity: ScsiIdentity) {
    super(drive, slot, identity);
  }

  reset(): void {
    this.locked = false;
  }

  save(): DeviceState {
    this.newMedium = this.attention !== null;
    return this.#state.save();
  }

  load(state: DeviceState): void {
    this.#state.load(state);
  }

  mediumChanged(): void {
    const { inserted } = this.drive;
    this.trayOpen = !inserted;
    this.event = inserted ? Event.newMedium : Event.removed;
    this.newMedium = inserted;
    this.#setAttention();
  }

  ejectRequested(): void {
    this.event = Event.ejectRequested;
  }

  protected vitalPage(): null {
    return null;
  }

  protected run(request: ScsiRequest, operation: number): void {
    const { cdb } = request;
    switch (operation) {
      case Operation.startStop:
        this.#startStop(request);
        break;
      case Operation.preventAllow:
        this.locked = (cdb[4]! & 1) !== 0;
        this.good(request);
        break;
      case OPERATION.GET_CONFIGURATION:
        this.reply(request, configuration(this.#sectors, cdb[1]! & 3, getBe16(cdb, 2)), getBe16(cdb, 7));
        break;
      case OPERATION.GET_EVENT_STATUS:
        this.#eventStatus(request);
        break;
      case Operation.modeSense10:
        this.reply(request, modeSense(cdb[2]! & 0x3f, this.#ready, this.locked), getBe16(cdb, 7));
        break;
      case Operation.modeSense6: {
        const long = modeSense(cdb[2]! & 0x3f, this.#ready, this.locked);
        this.reply(request, long && [long.length - 5, long[2]!, long[3]!, 0, ...long.slice(8)], cdb[4]!);
        break;
      }
      case Operation.modeSelect6:
      case Operation.modeSelect10:
      case OPERATION.SET_CD_SPEED:
        this.good(request, pieceBytes(request.out));
        break;
      case OPERATION.MECHANISM_STATUS:
        this.reply(request, [0, this.trayOpen ? 0x10 : 0, 0, 0, 0, 1, 0, 0], getBe16(cdb, 8));
        break;
      default:
        if (this.#ready) this.#runOnMedium(request, operation);
        else this.check(request, this.trayOpen ? SENSE.NO_MEDIUM_TRAY_OPEN : SENSE.NO_MEDIUM_TRAY_CLOSED);
    }
  }

  get #ready(): boolean {
    return this.drive.inserted && !this.trayOpen;
  }

  /** -1 without a medium. */
  get #sectors(): number {
    return this.#ready ? Math.floor(this.drive.length / SECTOR) : -1;
  }

  #setAttention(): void {
    this.attention = this.newMedium ? SENSE.MEDIUM_CHANGED : null;
  }

  #runOnMedium(request: ScsiRequest, operation: number): void {
    const { cdb } = request;
    const sectors = this.#sectors;
    switch (operation) {
      case Operation.testUnitReady:
        this.good(request);
        break;
      case OPERATION.READ_CAPACITY:
        this.reply(request, [...be32(Math.max(0, sectors - 1)), ...be32(SECTOR)], 8);
        break;
      case OPERATION.READ_10:
      case OPERATION.READ_12:
        this.#read(request);
        break;
      case OPERATION.SEEK_10:
        this.good(request);
        break;
      case OPERATION.READ_TOC: {
        const format = cdb[2]! & 0x0f || cdb[9]! >> 6;
        this.reply(request, tableOfContents(sectors, format, (cdb[1]! & 2) !== 0, cdb[6]!), getBe16(cdb, 7));
        break;
      }
      case OPERATION.READ_DISC_INFORMATION:
        this.reply(request, cdb[1]! & 7 ? null : discInformation(), getBe16(cdb, 7));
        break;
      default:
        this.unknown(request);
    }
  }

  #read(request: ScsiRequest): void {
    const { lba, count } = blockRange(request.cdb);
    if (lba + count > this.#sectors) {
      this.check(request, SENSE.OUT_OF_RANGE);
      return;
    }
    const pieces = slice(request.into, 0, count * SECTOR);
    this.transfers.move(
      pieces,
      lba * SECTOR,
      true,
      () => !request.cancelled,
      (error) => {
        if (error) this.failed(request, error);
        else this.good(request, pieceBytes(pieces));
      },
    );
  }

  #startStop(request: ScsiRequest): void {
    const how = request.cdb[4]!;
    const start = (how & 1) !== 0;
    if (!(how & 2)) {
      this.good(request);
    } else if (!start && this.locked && !this.trayOpen) {
      this.check(request, SENSE.REMOVAL_PREVENTED);
    } else {
      // Closing the tray over a disc that stayed in it is a new medium to the host.
      if (this.trayOpen && start && this.drive.inserted) {
        this.event = Event.newMedium;
        this.newMedium = true;
        this.#setAttention();
      }
      this.trayOpen = !start;
      this.good(request);
    }
  }

  #eventStatus(request: ScsiRequest): void {
    const { cdb } = request;
    // Only polled operation is there.
    if (!(cdb[1]! & 1)) {
      this.check(request, SENSE.INVALID_FIELD);
      return;
    }
    const allocated = getBe16(cdb, 7);
    if (!(cdb[4]! & MEDIA_CLASS)) {
      this.reply(request, noEvents(), allocated);
      return;
    }
    const { event } = this;
    this.event = Event.none;
    this.reply(request, mediaEvent(event, this.#ready, this.trayOpen), allocated);
  }
}

const properties = {
  ...DRIVE_PROPERTIES,
  bootindex: BOOT_INDEX,
  drive: prop.drive('drive that holds the medium; by default an empty one'),
  vendor: prop.str('vendor that INQUIRY tells, 8 characters', 'QEMU'),
  product: prop.str('product that INQUIRY tells, 16 characters', 'QEMU CD-ROM'),
  ver: prop.str('version that INQUIRY tells, 4 characters', '2.5+'),
  ...SCSI_NAME_PROPERTIES,
};

export const scsiCd: BusDeviceType<'SCSI', ScsiSlot, typeof properties, DriveContext> = {
  name: 'scsi-cd',
  description: 'virtual SCSI CD-ROM',
  category: 'Storage devices',
  bus: 'SCSI',
  properties,
  trace: SCSI_TRACE,
  create(slot, v, context) {
    const drive = v.drive === '' ? new Drive(null, { id: `scsi-cd${slot.target}` }) : context.drive(v.drive);
    configured(drive, v);
    return new ScsiCd(drive, slot, { vendor: v.vendor, product: v.product, version: v.ver, ...scsiNames(v) });
  },
};
