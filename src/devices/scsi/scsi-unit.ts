/**
 * A logical unit of a SCSI target, whatever bus brings its commands.
 * T10 SAM-4 (status, sense), SPC-4 (commands that all units have). Numbers are big endian.
 */
import { guestError } from '../../base/log.js';
import { traceEvents } from '../../base/trace.js';
import type { BlockBackend, DriveUser } from '../../block/drive.js';
import { type BlockError, type Completion, whenDone } from '../../block/node.js';
import type { Device } from '../../machine/device.js';
import { type PropertyValues, prop } from '../../machine/property.js';
import type { DeviceState } from '../../machine/state.js';
import { scatter } from '../../memory/pieces.js';
import { be32, getBe16, getBe24, getBe32, SENSE, type Sense, senseData } from '../ide/mmc.js';
import { PieceTransfers } from '../storage/piece-transfers.js';

export const SCSI_TRACE = traceEvents({
  scsi_req_parsed: 'target %u lun %u command 0x%02x',
  scsi_req_check_condition: 'command 0x%02x sense 0x%x asc 0x%02x',
});

export const ScsiStatus = { good: 0, checkCondition: 2, busy: 8 } as const;
export const Operation = {
  testUnitReady: 0x00,
  requestSense: 0x03,
  inquiry: 0x12,
  modeSelect6: 0x15,
  modeSense6: 0x1a,
  startStop: 0x1b,
  preventAllow: 0x1e,
  modeSelect10: 0x55,
  modeSense10: 0x5a,
  reportLuns: 0xa0,
} as const;

/** A command as a controller hands it over; `done` is called once. */
export interface ScsiRequest {
  readonly cdb: Uint8Array;
  /** Data of the host, and room for data to the host. */
  readonly out: readonly Uint8Array[];
  readonly into: readonly Uint8Array[];
  /** A reset came: nothing may be moved any more. */
  readonly cancelled: boolean;
  /** `moved`: bytes of data that went through. `sense` comes with CHECK CONDITION. */
  done(status: number, moved: number, sense: Uint8Array | null): void;
}

/** A place on a SCSI bus. */
export interface ScsiSlot {
  readonly target: number;
  readonly lun: number;
  attach(unit: ScsiUnit): void;
  detach(): void;
}

const text = (value: string, length: number): number[] =>
  Array.from(value.padEnd(length).slice(0, length), (c) => c.charCodeAt(0) & 0xff);

export interface ScsiIdentity {
  readonly vendor: string;
  readonly product: string;
  readonly version: string;
  readonly serial: string;
  /** Of its own instead of the serial number. */
  readonly deviceId?: string;
  /** World wide names of the unit and of the port it is at; 0 or nothing: none. */
  readonly wwn?: bigint;
  readonly portWwn?: bigint;
  readonly portIndex?: number;
  /** A medium that can be taken out, as INQUIRY tells; `removable` of a unit is whether we let it. */
  readonly removableMedium?: boolean;
}

/** Properties of units that tell what their names are. */
export const SCSI_NAME_PROPERTIES = {
  serial: prop.str('serial number'),
  device_id: prop.str('name of the unit in its vital data; by default its serial number, else the drive’s name'),
  wwn: prop.bits64('world wide name of the unit'),
  port_wwn: prop.bits64('world wide name of the port'),
  port_index: prop.uint16(0, 'number of the port'),
} as const;

export const scsiNames = (
  v: PropertyValues<typeof SCSI_NAME_PROPERTIES>,
): Pick<ScsiIdentity, 'serial' | 'deviceId' | 'wwn' | 'portWwn' | 'portIndex'> => ({
  serial: v.serial,
  deviceId: v.device_id,
  wwn: v.wwn,
  portWwn: v.port_wwn,
  portIndex: v.port_index,
});

/** A designator of page 83h: protocol and code set, kind, and its bytes. */
const designator = (codes: number, kind: number, bytes: readonly number[]): number[] => [
  codes,
  kind,
  0,
  bytes.length,
  ...bytes,
];
const MOST_NAME = 247;
const ASCII_CODES = 0x02;
const BINARY_CODES = 0x01;
/** Serial attached SCSI, which says what kind of port it is. */
const SAS_BINARY_CODES = 0x61;
const DesignatorKind = { vendor: 0x00, unitName: 0x03, portName: 0x93, portNumber: 0x94 } as const;
const wide = (name: bigint): number[] => [...be32(Number(name >> 32n)), ...be32(Number(name & 0xffff_ffffn))];

/** First block and number of blocks that a READ, WRITE or VERIFY of any length names. */
export function blockRange(cdb: Uint8Array): { readonly lba: number; readonly count: number } {
  const group = cdb[0]! >> 5;
  if (group === 0) return { lba: getBe24(cdb, 1) & 0x1f_ffff, count: cdb[4]! || 256 };
  if (group === 5) return { lba: getBe32(cdb, 2), count: getBe32(cdb, 6) };
  if (group === 4) return { lba: getBe32(cdb, 2) * 2 ** 32 + getBe32(cdb, 6), count: getBe32(cdb, 10) };
  return { lba: getBe32(cdb, 2), count: getBe16(cdb, 7) };
}

export abstract class ScsiUnit implements Device, DriveUser {
  abstract readonly type: string;
  abstract readonly removable: boolean;
  /** Peripheral device type: 0 disk, 5 CD. */
  protected abstract readonly peripheral: number;
  /** Told with the next command, instead of carrying it out. */
  attention: Sense | null = null;
  protected readonly transfers: PieceTransfers;

  constructor(
    protected readonly drive: BlockBackend,
    protected readonly slot: ScsiSlot,
    protected readonly identity: ScsiIdentity,
  ) {
    this.transfers = new PieceTransfers(drive);
    drive.attach(this);
    slot.attach(this);
  }

  abstract reset(): void;
  abstract save(): DeviceState;
  abstract load(state: DeviceState): void;
  /** A command that this class does not know. */
  protected abstract run(request: ScsiRequest, operation: number): void;
  /** Vital product data; null for a page that is not there. */
  protected abstract vitalPage(page: number): readonly number[] | null;
  /** Pages that `vitalPage` has besides 00, 80 and 83. */
  protected abstract readonly vitalPages: readonly number[];

  unplug(): void {
    this.slot.detach();
  }

  dispose(): void {
    this.drive.attach(null);
  }

  execute(request: ScsiRequest): void {
    const { cdb } = request;
    const operation = cdb[0]!;
    if (SCSI_TRACE.scsi_req_parsed.enabled) {
      SCSI_TRACE.scsi_req_parsed.emit(this.slot.target, this.slot.lun, operation);
    }
    const untroubled =
      operation === Operation.inquiry || operation === Operation.reportLuns || operation === Operation.requestSense;
    if (this.attention && !untroubled) {
      const sense = this.attention;
      this.attention = null;
      this.check(request, sense);
      return;
    }
    switch (operation) {
      case Operation.inquiry:
        this.#inquiry(request);
        break;
      case Operation.requestSense: {
        const sense = this.attention ?? SENSE.NONE;
        this.attention = null;
        this.reply(request, senseData(sense), cdb[4]!);
        break;
      }
      default:
        this.run(request, operation);
    }
  }

  protected good(request: ScsiRequest, moved = 0): void {
    request.done(ScsiStatus.good, moved, null);
  }

  protected check(request: ScsiRequest, sense: Sense): void {
    if (SCSI_TRACE.scsi_req_check_condition.enabled) {
      SCSI_TRACE.scsi_req_check_condition.emit(request.cdb[0]!, sense[0], sense[1]);
    }
    request.done(ScsiStatus.checkCondition, 0, Uint8Array.from(senseData(sense)));
  }

  /** Sends a reply, no longer than the host has room for; null: a field was wrong. */
  protected reply(request: ScsiRequest, bytes: readonly number[] | null, allocated: number): void {
    if (bytes) this.good(request, scatter(request.into, 0, Uint8Array.from(bytes.slice(0, allocated))));
    else this.check(request, SENSE.INVALID_FIELD);
  }

  protected unknown(request: ScsiRequest): void {
    guestError('%s: unknown SCSI command 0x%02x', this.type, request.cdb[0]!);
    this.check(request, SENSE.INVALID_OPERATION);
  }

  /** Runs an operation of the drive that moves no data. */
  protected wait(request: ScsiRequest, operation: () => Completion): void {
    whenDone(operation, (error) => {
      if (error) this.failed(request, error);
      else this.good(request);
    });
  }

  protected failed(request: ScsiRequest, error: BlockError): void {
    if (error.errno === 'ENOMEDIUM') this.check(request, SENSE.NO_MEDIUM_TRAY_CLOSED);
    else if (error.errno === 'EINVAL') this.check(request, SENSE.OUT_OF_RANGE);
    else if (error.errno === 'ENOSPC') this.check(request, [7, 0x27, 7]);
    else if (error.errno === 'EROFS') this.check(request, [7, 0x27, 0]);
    else this.check(request, SENSE.READ_ERROR);
  }

  #inquiry(request: ScsiRequest): void {
    const { cdb } = request;
    const allocated = getBe16(cdb, 3);
    const page = cdb[2]!;
    if (!(cdb[1]! & 1)) {
      this.reply(request, page === 0 ? this.#standardInquiry() : null, allocated);
      return;
    }
    const body = this.#vitalPage(page);
    const bytes = body && [this.peripheral, page, body.length >> 8, body.length & 0xff, ...body];
    this.reply(request, bytes, allocated);
  }

  #standardInquiry(): number[] {
    const { vendor, product, version } = this.identity;
    // SPC-3, responses in its format, command queuing.
    const head = [this.peripheral, this.removable || this.identity.removableMedium ? 0x80 : 0, 5, 0x12, 31, 0, 0, 0x12];
    return [...head, ...text(vendor, 8), ...text(product, 16), ...text(version, 4)];
  }

  #vitalPage(page: number): readonly number[] | null {
    const { serial } = this.identity;
    const serialPages = serial ? [0x80] : [];
    if (page === 0) return [0x00, ...serialPages, 0x83, ...this.vitalPages];
    if (page === 0x80) return serial ? text(serial, serial.length) : null;
    if (page === 0x83) {
      const { deviceId, wwn = 0n, portWwn = 0n, portIndex = 0 } = this.identity;
      const name = deviceId || serial || this.drive.id;
      return [
        ...designator(ASCII_CODES, DesignatorKind.vendor, text(name, Math.min(name.length, MOST_NAME))),
        ...(wwn ? designator(BINARY_CODES, DesignatorKind.unitName, wide(wwn)) : []),
        ...(portWwn ? designator(SAS_BINARY_CODES, DesignatorKind.portName, wide(portWwn)) : []),
        ...(portIndex ? designator(SAS_BINARY_CODES, DesignatorKind.portNumber, be32(portIndex)) : []),
      ];
    }
    return this.vitalPage(page);
  }
}

/** LUNs as REPORT LUNS lists them: single-level addresses of 8 bytes. */
export const lunList = (luns: readonly number[]): number[] => [
  ...be32(8 * luns.length),
  0,
  0,
  0,
  0,
  ...luns.flatMap((lun) => [lun > 255 ? 0x40 | (lun >> 8) : 0, lun & 0xff, 0, 0, 0, 0, 0, 0]),
];
