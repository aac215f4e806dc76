/**
 * The floppy disk controller of a PC.
 * Source: Intel 82078 (44 pin) and 82077AA data sheets; the commands are also those of the NEC uPD765.
 *
 *   3f0 SRA   3f1 SRB   3f2 DOR   3f3 TDR   3f4 read MSR, write DSR   3f5 FIFO   3f7 read DIR, write CCR
 *
 *   DOR: 7:4 motors, 3 DMA and interrupt enable, 2 not reset, 1:0 drive
 *   MSR: 7 RQM, 6 DIO (to the host), 5 non-DMA execution, 4 command busy, 3:0 drives seeking
 *
 * Nothing takes time: heads arrive at once, and data moves as fast as the DMA controller or the processor asks.
 */
import { guestError } from '../../base/log.js';
import { traceEvents } from '../../base/trace.js';
import { whenDone } from '../../block/node.js';
import type { Device } from '../../machine/device.js';
import type { IrqLine } from '../../machine/irq.js';
import type { DmaChannel, DmaClient } from '../../machine/isa-bus.js';
import { type DeviceState, type Stateful, stateOf } from '../../machine/state.js';
import type { AccessSize, IoHandler } from '../../memory/io.js';
import { type FloppyDrive, SECTOR } from './floppy-drive.js';

export const trace = traceEvents({
  fdc_ioport_read: 'read reg 0x%02x val 0x%02x',
  fdc_ioport_write: 'write reg 0x%02x val 0x%02x',
  fdc_command: 'command 0x%02x parameters %s',
});

const DOR = { ENABLE: 0x08, NOT_RESET: 0x04, DRIVE: 0x03 };
const MSR = { RQM: 0x80, DIO: 0x40, NON_DMA: 0x20, BUSY: 0x10 };
const DSR_RESET = 0x80;
const DIR_CHANGED = 0x80;
const ST0 = { ABNORMAL: 0x40, INVALID: 0x80, READY_CHANGED: 0xc0, SEEK_END: 0x20, EQUIPMENT: 0x10 };
const ST1 = { END: 0x80, NO_DATA: 0x04, WRITE_PROTECTED: 0x02, MISSING_MARK: 0x01 };
const ST2 = { SCAN_EQUAL: 0x08, SCAN_FAILED: 0x04 };
const ST3 = { PROTECTED: 0x40, TRACK0: 0x10, TWO_SIDES: 0x08, ALWAYS: 0x20 };
const DRIVES = 4;
const VERSION = 0x90;
const PART_ID = 0x41;
const SIZE_CODE_512 = 2;
/** C, H, R, N: what FORMAT wants for each sector. */
const ADDRESS_BYTES = 4;

const COMMAND = {
  SPECIFY: 0x03,
  SENSE_DRIVE: 0x04,
  WRITE: 0x05,
  READ: 0x06,
  RECALIBRATE: 0x07,
  SENSE_INTERRUPT: 0x08,
  WRITE_DELETED: 0x09,
  READ_ID: 0x0a,
  READ_DELETED: 0x0c,
  FORMAT: 0x0d,
  DUMP_REGISTERS: 0x0e,
  SEEK: 0x0f,
  VERSION: 0x10,
  SCAN_EQUAL: 0x11,
  PERPENDICULAR: 0x12,
  CONFIGURE: 0x13,
  LOCK: 0x14,
  VERIFY: 0x16,
  PART_ID: 0x18,
  SCAN_LOW: 0x19,
  SCAN_HIGH: 0x1d,
} as const;

/** Bits of a command byte that choose the command (the others modify it), and how many parameters follow. */
const COMMANDS: readonly (readonly [code: number, mask: number, parameters: number])[] = [
  [COMMAND.SPECIFY, 0xff, 2],
  [COMMAND.SENSE_DRIVE, 0xff, 1],
  [COMMAND.WRITE, 0x3f, 8],
  [COMMAND.READ, 0x1f, 8],
  [COMMAND.RECALIBRATE, 0xff, 1],
  [COMMAND.SENSE_INTERRUPT, 0xff, 0],
  [COMMAND.WRITE_DELETED, 0x3f, 8],
  [COMMAND.READ_ID, 0xbf, 1],
  [COMMAND.READ_DELETED, 0x1f, 8],
  [COMMAND.FORMAT, 0xbf, 5],
  [COMMAND.DUMP_REGISTERS, 0xff, 0],
  [COMMAND.SEEK, 0xff, 2],
  [COMMAND.VERSION, 0xff, 0],
  [COMMAND.SCAN_EQUAL, 0x1f, 8],
  [COMMAND.PERPENDICULAR, 0xff, 1],
  [COMMAND.CONFIGURE, 0xff, 3],
  [COMMAND.LOCK, 0x7f, 0],
  [COMMAND.VERIFY, 0x1f, 8],
  [COMMAND.PART_ID, 0xff, 0],
  [COMMAND.SCAN_LOW, 0x1f, 8],
  [COMMAND.SCAN_HIGH, 0x1f, 8],
  // RELATIVE SEEK: bit 6 is the direction.
  [0x8f, 0xbf, 2],
];
const RELATIVE_SEEK = 0x8f;

const MULTI_TRACK = 0x80;
const LOCK_ON = 0x80;

/** `execution`: data moves between the host and `sector`. */
type Phase = 'command' | 'execution' | 'result';
/** What the execution phase does with the host's bytes. */
type Work = 'none' | 'read' | 'write' | 'format' | 'scan';

const powerOn = () => ({
  dor: 0x0c,
  tdr: 0,
  rate: 2,
  /** Ports and DMA move data; SPECIFY chooses. */
  nonDma: false,
  stepRate: 0,
  headTimes: 0,
  config: 0,
  precompensation: 0,
  perpendicular: 0,
  locked: false,
  phase: 'command' as Phase,
  work: 'none' as Work,
  command: 0,
  parameters: [] as number[],
  results: [] as number[],
  interrupt: false,
  /** Drives whose SENSE INTERRUPT STATUS after reset is still to come, and ST0 of a seek that ended (-1: none). */
  resetStatuses: 0,
  seekStatus: -1,
  drive: 0,
  cylinder: 0,
  head: 0,
  sector: 0,
  /** Where the transfer stands in `data`, and how much of that is used (a sector, or four bytes to format one). */
  position: 0,
  length: 0,
  /** The last sector of the track (EOT). */
  lastSector: 0,
  /** Sectors that FORMAT still has, and what it fills them with. */
  left: 0,
  filler: 0,
  scanResult: 0,
  data: new Uint8Array(SECTOR),
});

export interface I82078Wiring {
  readonly irq: IrqLine;
  readonly dma: DmaChannel;
  /** By number; the controller has pins for four. */
  readonly drives: readonly (FloppyDrive | null)[];
}

export class I82078 implements Device, IoHandler, DmaClient {
  static readonly FIRST_PORT = 0x3f0;
  readonly type = 'isa-fdc';
  readonly sizes = { min: 1, max: 1 } as const;
  readonly #irq: IrqLine;
  readonly #dma: DmaChannel;
  readonly #drives: readonly (FloppyDrive | null)[];
  readonly #s = powerOn();
  readonly #stateful: Stateful;
  /** Changes when a command is given up, so that what the drive still answers is ignored. */
  #generation = 0;

  constructor(wiring: I82078Wiring) {
    this.#irq = wiring.irq;
    this.#dma = wiring.dma;
    this.#drives = wiring.drives;
    this.#dma.attach(this);
    const drives = wiring.drives.filter((d) => d !== null);
    this.#stateful = stateOf({ controller: stateOf(this.#s, 1), drives }, 1, undefined, () => this.#drive());
  }

  reset(): void {
    this.#generation++;
    Object.assign(this.#s, powerOn());
    for (const drive of this.#drives) drive?.reset();
    this.#drive();
  }

  save(): DeviceState {
    return this.#stateful.save();
  }

  load(state: DeviceState): void {
    this.#stateful.load(state);
  }

  dispose(): void {
    for (const drive of this.#drives) drive?.dispose();
  }

  read(offset: number, _size: AccessSize): number {
    const value = this.#read(offset & 7);
    if (trace.fdc_ioport_read.enabled) trace.fdc_ioport_read.emit(offset, value);
    return value;
  }

  write(offset: number, _size: AccessSize, value: number): void {
    if (trace.fdc_ioport_write.enabled) trace.fdc_ioport_write.emit(offset, value);
    const s = this.#s;
    switch (offset & 7) {
      case 2:
        this.#writeDor(value);
        break;
      case 3:
        s.tdr = value & 3;
        break;
      case 4:
        s.rate = value & 3;
        s.precompensation = (value >> 2) & 7;
        if (value & DSR_RESET) {
          this.#resetController();
          this.#endReset();
        }
        break;
      case 5:
        if (s.dor & DOR.NOT_RESET) this.#writeFifo(value);
        break;
      case 7:
        s.rate = value & 3;
        break;
    }
  }

  transfer(direction: 'read' | 'write' | 'verify', buffer: Uint8Array, terminalCount: boolean): number {
    const s = this.#s;
    let moved = 0;
    while (moved < buffer.length && s.phase === 'execution' && s.position < s.length) {
      const n = Math.min(buffer.length - moved, s.length - s.position);
      if (s.work === 'read') {
        if (direction !== 'read') buffer.set(s.data.subarray(s.position, s.position + n), moved);
      } else if (direction === 'read') this.#accept(buffer.subarray(moved, moved + n));
      moved += n;
      s.position += n;
      const last = terminalCount && moved === buffer.length;
      if (s.position === s.length || last) this.#sectorMoved(last);
    }
    return moved;
  }

  #read(register: number): number {
    const s = this.#s;
    switch (register) {
      case 0:
        return (s.interrupt ? 0x80 : 0) | 0x40;
      case 1:
        return 0xc0 | (s.dor & 1 ? 0x20 : 0) | ((s.dor >> 4) & 3);
      case 2:
        return s.dor;
      case 3:
        return s.tdr;
      case 4:
        return this.#mainStatus();
      case 5:
        return this.#readFifo();
      case 7: {
        const drive = this.#drives[s.dor & DOR.DRIVE];
        const motor = s.dor & (0x10 << (s.dor & DOR.DRIVE));
        return drive?.diskChanged && motor ? DIR_CHANGED : 0;
      }
      default:
        return 0;
    }
  }

  #writeDor(value: number): void {
    const s = this.#s;
    const before = s.dor;
    s.dor = value;
    if (before & DOR.NOT_RESET && !(value & DOR.NOT_RESET)) this.#resetController();
    if (!(before & DOR.NOT_RESET) && value & DOR.NOT_RESET) this.#endReset();
    this.#drive();
  }

  #resetController(): void {
    const s = this.#s;
    this.#generation++;
    s.interrupt = false;
    s.phase = 'command';
    s.work = 'none';
    s.parameters = [];
    s.results = [];
    s.resetStatuses = 0;
    s.seekStatus = -1;
    if (!s.locked) s.config = 0;
    this.#drive();
  }

  /** After reset the controller polls its drives and finds all of them changed. */
  #endReset(): void {
    this.#s.resetStatuses = DRIVES;
    this.#raise();
  }

  #raise(): void {
    this.#s.interrupt = true;
    this.#drive();
  }

  /** Interrupt and DMA request as the state demands. */
  #drive(): void {
    const s = this.#s;
    const enabled = (s.dor & DOR.ENABLE) !== 0;
    this.#irq.set(s.interrupt && enabled);
    this.#dma.request(s.phase === 'execution' && !s.nonDma && s.position < s.length && enabled);
  }

  #mainStatus(): number {
    const s = this.#s;
    if (!(s.dor & DOR.NOT_RESET)) return 0;
    if (s.phase === 'result') return MSR.RQM | MSR.DIO | MSR.BUSY;
    if (s.phase === 'command') return MSR.RQM | (s.parameters.length > 0 ? MSR.BUSY : 0);
    if (!s.nonDma) return MSR.BUSY;
    const ready = s.position < s.length ? MSR.RQM : 0;
    return MSR.BUSY | MSR.NON_DMA | ready | (s.work === 'read' ? MSR.DIO : 0);
  }

  #readFifo(): number {
    const s = this.#s;
    if (s.phase === 'execution' && s.nonDma && s.work === 'read' && s.position < s.length) {
      const byte = s.data[s.position++]!;
      if (s.position === s.length) this.#sectorMoved(false);
      return byte;
    }
    if (s.phase !== 'result') return 0;
    s.interrupt = false;
    const byte = s.results.shift() ?? 0;
    if (s.results.length === 0) s.phase = 'command';
    this.#drive();
    return byte;
  }

  #writeFifo(value: number): void {
    const s = this.#s;
    if (s.phase === 'execution' && s.nonDma && s.work !== 'read' && s.position < s.length) {
      this.#accept(Uint8Array.of(value));
      s.position++;
      if (s.position === s.length) this.#sectorMoved(false);
      return;
    }
    if (s.phase !== 'command') return;
    s.parameters.push(value);
    const found = COMMANDS.find(([code, mask]) => (s.parameters[0]! & mask) === (code & mask));
    if (s.parameters.length <= (found?.[2] ?? 0)) return;
    const [command, ...parameters] = s.parameters as [number, ...number[]];
    s.parameters = [];
    s.command = command;
    if (trace.fdc_command.enabled) trace.fdc_command.emit(command, parameters.join(' '));
    // Any command but SENSE INTERRUPT takes an interrupt away that nobody has asked about.
    s.interrupt = false;
    if (found) this.#execute(found[0], parameters);
    else this.#invalid();
    this.#drive();
  }

  #execute(command: number, p: readonly number[]): void {
    const s = this.#s;
    const first = p[0] ?? 0;
    switch (command) {
      case COMMAND.SPECIFY:
        s.stepRate = first;
        s.headTimes = p[1]!;
        s.nonDma = (p[1]! & 1) !== 0;
        break;
      case COMMAND.SENSE_DRIVE:
        this.#select(first);
        this.#result(this.#driveStatus());
        break;
      case COMMAND.SENSE_INTERRUPT:
        this.#senseInterrupt();
        break;
      case COMMAND.RECALIBRATE:
        this.#seek(first & DOR.DRIVE, 0);
        break;
      case COMMAND.SEEK:
        this.#seek(first & DOR.DRIVE, p[1]!);
        break;
      case RELATIVE_SEEK: {
        const track = this.#drives[first & DOR.DRIVE]?.track ?? 0;
        this.#seek(first & DOR.DRIVE, s.command & 0x40 ? track + p[1]! : track - p[1]!);
        break;
      }
      case COMMAND.VERSION:
        this.#result(VERSION);
        break;
      case COMMAND.PART_ID:
        this.#result(PART_ID);
        break;
      case COMMAND.CONFIGURE:
        s.config = p[1]!;
        s.precompensation = p[2]!;
        break;
      case COMMAND.PERPENDICULAR:
        s.perpendicular = first & 0x7f;
        break;
      case COMMAND.LOCK:
        s.locked = (s.command & LOCK_ON) !== 0;
        this.#result(s.locked ? 0x10 : 0);
        break;
      case COMMAND.DUMP_REGISTERS:
        this.#result(
          ...Array.from({ length: DRIVES }, (_, i) => this.#drives[i]?.track ?? 0),
          s.stepRate,
          s.headTimes,
          this.#drives[s.dor & DOR.DRIVE]?.format.sectors ?? 0,
          (s.locked ? 0x80 : 0) | s.perpendicular,
          s.config,
          s.precompensation,
        );
        break;
      case COMMAND.READ_ID:
        this.#readId(first);
        break;
      case COMMAND.FORMAT:
        this.#startFormat(p);
        break;
      default:
        this.#startSectors(command, p);
    }
  }

  #invalid(): void {
    guestError('isa-fdc: unknown command 0x%02x', this.#s.command);
    this.#result(ST0.INVALID);
  }

  #result(...bytes: readonly number[]): void {
    this.#s.phase = 'result';
    this.#s.work = 'none';
    this.#s.results = [...bytes];
  }

  #senseInterrupt(): void {
    const s = this.#s;
    if (s.resetStatuses > 0) {
      const drive = DRIVES - s.resetStatuses--;
      this.#result(ST0.READY_CHANGED | drive, this.#drives[drive]?.track ?? 0);
    } else if (s.seekStatus >= 0) {
      const status = s.seekStatus;
      s.seekStatus = -1;
      this.#result(status, this.#drives[status & DOR.DRIVE]?.track ?? 0);
    } else this.#result(ST0.INVALID);
  }

  #seek(number: number, track: number): void {
    const s = this.#s;
    const drive = this.#drives[number];
    drive?.step(track);
    s.drive = number;
    // A drive that is not there never reports track 0.
    s.seekStatus = ST0.SEEK_END | number | (drive ? 0 : ST0.EQUIPMENT | ST0.ABNORMAL);
    s.resetStatuses = 0;
    this.#raise();
  }

  /** Takes drive and head from a command's first parameter. */
  #select(parameter: number): FloppyDrive | null {
    this.#s.drive = parameter & DOR.DRIVE;
    this.#s.head = (parameter >> 2) & 1;
    return this.#drives[this.#s.drive] ?? null;
  }

  #driveStatus(): number {
    const { drive: number, head } = this.#s;
    const drive = this.#drives[number];
    if (!drive) return ST3.ALWAYS | number;
    return (
      ST3.ALWAYS |
      (drive.writeProtected ? ST3.PROTECTED : 0) |
      (drive.track === 0 ? ST3.TRACK0 : 0) |
      ST3.TWO_SIDES |
      (head << 2) |
      number
    );
  }

  #readId(parameter: number): void {
    const s = this.#s;
    const drive = this.#select(parameter);
    s.cylinder = drive?.track ?? 0;
    s.sector = 1;
    if (!drive || !this.#readable(drive)) this.#end(ST0.ABNORMAL, ST1.MISSING_MARK, 0);
    else this.#end(0, 0, 0);
  }

  /** Whether there is a disk that can be read at the data rate chosen. */
  #readable(drive: FloppyDrive): boolean {
    return drive.inserted && drive.format.rate === this.#s.rate && this.#s.head < drive.format.heads;
  }

  /** READ, WRITE, SCAN and VERIFY: drive and head, C, H, R, N, EOT, GPL, DTL. */
  #startSectors(command: number, p: readonly number[]): void {
    const s = this.#s;
    const drive = this.#select(p[0]!);
    s.cylinder = p[1]!;
    s.sector = p[3]!;
    s.lastSector = p[5]!;
    s.scanResult = ST2.SCAN_EQUAL;
    const writes = command === COMMAND.WRITE || command === COMMAND.WRITE_DELETED;
    s.work = writes ? 'write' : command === COMMAND.READ || command === COMMAND.READ_DELETED ? 'read' : 'scan';
    if (!drive || !this.#readable(drive)) this.#end(ST0.ABNORMAL, ST1.MISSING_MARK, 0);
    else if (p[4] !== SIZE_CODE_512 || s.cylinder !== drive.track || p[2] !== s.head)
      this.#end(ST0.ABNORMAL, ST1.NO_DATA, 0);
    else if (writes && drive.writeProtected) this.#end(ST0.ABNORMAL, ST1.WRITE_PROTECTED, 0);
    // With EC set, VERIFY counts sectors; else it goes to the end of the track.
    else if (command === COMMAND.VERIFY) this.#verify(drive, p[0]! & 0x80 ? p[7]! || 256 : 256);
    else this.#nextSector();
  }

  /** Makes the sector buffer ready: full of the disk's data, or empty for the host's. */
  #nextSector(): void {
    const s = this.#s;
    const drive = this.#drives[s.drive]!;
    const offset = drive.offset(s.cylinder, s.head, s.sector);
    if (offset < 0) {
      this.#end(ST0.ABNORMAL, ST1.NO_DATA, 0);
      return;
    }
    s.phase = 'execution';
    if (s.work !== 'read') {
      this.#buffer(SECTOR);
      return;
    }
    s.position = s.length = 0;
    this.#wait(
      () => drive.backend.read(offset, s.data),
      () => this.#buffer(SECTOR),
    );
  }

  /** Lets the host have or give so many bytes. */
  #buffer(bytes: number): void {
    const s = this.#s;
    s.phase = 'execution';
    s.position = 0;
    s.length = bytes;
    if (s.nonDma) s.interrupt = true;
    this.#drive();
  }

  /** Runs a drive operation; when it fails the command ends. */
  #wait(start: Parameters<typeof whenDone>[0], then: () => void): void {
    const generation = this.#generation;
    whenDone(start, (error) => {
      if (generation !== this.#generation) return;
      if (error) this.#end(ST0.ABNORMAL, ST1.NO_DATA, 0);
      else then();
    });
    this.#drive();
  }

  #accept(bytes: Uint8Array): void {
    this.#s.data.set(bytes, this.#s.position);
  }

  /** The buffer went through, or (`last`) the DMA controller has no more: perhaps in the middle of it. */
  #sectorMoved(last: boolean): void {
    const s = this.#s;
    const drive = this.#drives[s.drive]!;
    const { position } = s;
    s.position = s.length = 0;
    switch (s.work) {
      case 'read':
        this.#goOn(last);
        break;
      case 'write':
        s.data.fill(0, position);
        this.#wait(
          () => drive.backend.write(drive.offset(s.cylinder, s.head, s.sector), s.data),
          () => this.#goOn(last),
        );
        break;
      case 'format':
        this.#formatSector(drive, last);
        break;
      case 'scan': {
        const host = s.data.slice(0, position);
        this.#wait(
          () => drive.backend.read(drive.offset(s.cylinder, s.head, s.sector), s.data),
          () => this.#scan(host, last),
        );
        break;
      }
    }
  }

  /** To the next sector of the command, or to its end. */
  #goOn(last: boolean): void {
    const more = this.#advance();
    if (last) this.#end(0, 0, 0);
    else if (more) this.#nextSector();
    else this.#end(ST0.ABNORMAL, ST1.END, 0);
  }

  /** Moves the address on as the result phase shows it; false when the command has come to the end of the cylinder. */
  #advance(): boolean {
    const s = this.#s;
    // A track ends with its last sector too, whatever EOT says: SeaBIOS names an EOT beyond it and expects MT to go on.
    const { sectors } = this.#drives[s.drive]!.format;
    if (s.sector !== s.lastSector && s.sector !== sectors) {
      s.sector = (s.sector + 1) & 0xff;
      return true;
    }
    s.sector = 1;
    if (s.command & MULTI_TRACK) {
      s.head ^= 1;
      if (s.head === 1) return true;
    }
    s.cylinder = (s.cylinder + 1) & 0xff;
    return false;
  }

  #verify(drive: FloppyDrive, count: number): void {
    const s = this.#s;
    for (let left = count; left > 0; left--) {
      if (drive.offset(s.cylinder, s.head, s.sector) < 0) {
        this.#end(ST0.ABNORMAL, ST1.NO_DATA, 0);
        return;
      }
      if (!this.#advance()) break;
    }
    this.#end(0, 0, 0);
  }

  /** SCAN: the disk's bytes against the host's, in which 0xff matches anything. */
  #scan(host: Uint8Array, last: boolean): void {
    const s = this.#s;
    const differs = host.findIndex((byte, i) => byte !== 0xff && byte !== s.data[i]);
    const order = differs < 0 ? 0 : s.data[differs]! - host[differs]!;
    const found =
      order === 0 ||
      ((s.command & 0x1f) === COMMAND.SCAN_LOW && order < 0) ||
      ((s.command & 0x1f) === COMMAND.SCAN_HIGH && order > 0);
    s.scanResult = found ? (order === 0 ? ST2.SCAN_EQUAL : 0) : ST2.SCAN_FAILED;
    if (found) this.#end(0, 0, s.scanResult);
    else this.#goOn(last);
  }

  /** FORMAT: drive and head, N, sectors, gap, filler. The host sends C, H, R, N of each sector. */
  #startFormat(p: readonly number[]): void {
    const s = this.#s;
    const drive = this.#select(p[0]!);
    s.cylinder = drive?.track ?? 0;
    s.left = p[2]!;
    s.filler = p[4]!;
    s.work = 'format';
    if (!drive || !this.#readable(drive)) this.#end(ST0.ABNORMAL, ST1.MISSING_MARK, 0);
    else if (drive.writeProtected) this.#end(ST0.ABNORMAL, ST1.WRITE_PROTECTED, 0);
    else if (p[1] !== SIZE_CODE_512 || s.left === 0) this.#end(ST0.ABNORMAL, ST1.NO_DATA, 0);
    else this.#buffer(ADDRESS_BYTES);
  }

  #formatSector(drive: FloppyDrive, last: boolean): void {
    const s = this.#s;
    const [cylinder, head, sector] = s.data as unknown as readonly [number, number, number];
    s.sector = sector;
    const offset = drive.offset(cylinder, head, sector);
    if (offset < 0) {
      this.#end(ST0.ABNORMAL, ST1.NO_DATA, 0);
      return;
    }
    s.data.fill(s.filler);
    this.#wait(
      () => drive.backend.write(offset, s.data),
      () => {
        if (--s.left === 0 || last) this.#end(0, 0, 0);
        else this.#buffer(ADDRESS_BYTES);
      },
    );
  }

  /** Ends a command that has status bytes and an address as its result, with an interrupt. */
  #end(st0: number, st1: number, st2: number): void {
    const s = this.#s;
    const scanned = s.work === 'scan' ? st2 | (s.scanResult & ST2.SCAN_FAILED) : st2;
    s.position = s.length = 0;
    this.#result(st0 | (s.head << 2) | s.drive, st1, scanned, s.cylinder, s.head, s.sector, SIZE_CODE_512);
    this.#raise();
  }
}
