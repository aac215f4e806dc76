// hot path
/** What ATA disks and packet devices share: the task file, PIO blocks, the device's side of bus-master DMA. */
import { type BlockError, type Completion, whenDone } from '../../block/node.js';
import type { Stateful } from '../../machine/state.js';
import { stateOf } from '../../machine/state.js';
import { COMMAND, CONTROL, DEVICE, ERROR, STATUS, type TaskFile, taskFile } from './task-file.js';

/** The channel, as a device on it sees it. */
export interface IdeHost {
  /** How many commands the host queues at a time; without it, it knows no queued ones. */
  readonly queueDepth?: number;
  /** The device's INTRQ or its phase changed. */
  interruptChanged(): void;
  /** The device is ready for the bus master. */
  dmaReady(device: IdeDevice): void;
}

/** The bus master, as a device sees it while it moves data. */
export interface DmaPort {
  /** Moves bytes between `buffer` and guest memory; gives how many: fewer when the descriptors end. */
  transfer(buffer: Uint8Array, toMemory: boolean): number;
}

/** A queued command (Serial ATA 3.0, 13.6), which the host carries the data of. */
export interface QueuedCommand {
  readonly tag: number;
  readonly toHost: boolean;
  readonly lba: number;
  readonly sectors: number;
  /** Not done before it is on the medium. */
  readonly forceUnitAccess: boolean;
  /** Guest memory, as long as the sectors. */
  readonly pieces: readonly Uint8Array[];
}

/** DMA moves this much at a time. */
const DMA_CHUNK = 1 << 17;
const NO_HOST: IdeHost = { interruptChanged: () => {}, dmaReady: () => {} };

export abstract class IdeDevice {
  /** True for packet devices: ATAPI. */
  abstract readonly packet: boolean;
  host: IdeHost = NO_HOST;
  protected readonly task: TaskFile = taskFile();
  /** Save and load the task file; subclasses make it a part of theirs. */
  protected readonly taskState: Stateful = stateOf(this.task, 1);
  #bounce = new Uint8Array(0);
  /** Changes when a transfer is given up, so that what the drive still answers is ignored. */
  #generation = 0;

  abstract save(): ReturnType<Stateful['save']>;
  abstract load(state: ReturnType<Stateful['save']>): void;
  /** Carries out a command: ends in `succeed`, `abort`, `transferIn` or `transferOut`. */
  protected abstract execute(command: number): void;
  /** Fills `into` with the next bytes of the transfer to the host. */
  protected abstract fetch(into: Uint8Array): Completion;
  /** Takes the next bytes of the transfer from the host. */
  protected abstract store(from: Uint8Array): Completion;
  /** `bytes` went through: addresses and counts move on. */
  protected abstract advance(bytes: number): void;
  /** All bytes went through. */
  protected abstract completed(): void;
  /** The drive failed to fetch or store. */
  protected abstract failed(error: BlockError): void;
  /** A PIO block of so many bytes is about to be announced. */
  protected announce(_bytes: number): void {}
  /** How many bytes the next PIO block has at most. */
  protected abstract pioBlock(): number;
  /** Puts the power-on state of the device's own registers. */
  protected abstract resetDevice(): void;

  get interrupt(): boolean {
    return this.task.interrupt;
  }

  /** Waiting for the bus master. */
  get wantsDma(): boolean {
    return this.task.phase === 'dmaWait';
  }

  /**
   * Carries out a queued command beside others; `done` gets bits for ERROR, 0 when it went well. While `wanted` says no, nothing
   * more is moved. Only for hosts with a queue, and devices that say they have one.
   */
  queue(_command: QueuedCommand, _wanted: () => boolean, done: (error: number) => void): void {
    done(ERROR.ABRT);
  }

  /** The PIO block that waits to be moved; null when there is none. For hosts that move it themselves. */
  pioWaiting(): { readonly bytes: number; readonly toHost: boolean } | null {
    const { phase, end, position } = this.task;
    return phase === 'pioIn' || phase === 'pioOut' ? { bytes: end - position, toHost: phase === 'pioIn' } : null;
  }

  /** Power-on, hardware and software reset (ATA-5 9.1, 9.2): ends any transfer and leaves the signature. */
  reset(): void {
    this.#generation++;
    const t = this.task;
    t.interrupt = false;
    t.phase = 'idle';
    t.remaining = 0;
    t.position = t.end = 0;
    t.features = t.command = 0;
    t.previousFeatures = t.previousCount = t.previousLbaLow = t.previousLbaMid = t.previousLbaHigh = 0;
    this.resetDevice();
    this.signature();
    this.host.interruptChanged();
  }

  /** The registers after reset and diagnostics: they tell what kind of device this is (9.12). */
  protected signature(): void {
    const t = this.task;
    t.error = 1;
    t.count = 1;
    t.lbaLow = 1;
    t.lbaMid = this.packet ? 0x14 : 0;
    t.lbaHigh = this.packet ? 0xeb : 0;
    t.device = t.device & DEVICE.DEV;
    t.status = this.packet ? 0 : STATUS.DRDY | STATUS.DSC;
  }

  /** Register 1 to 6; `control` selects the high-order bytes. */
  readRegister(register: number, control: number): number {
    const t = this.task;
    const high = (control & CONTROL.HOB) !== 0;
    switch (register) {
      case 1:
        return t.error;
      case 2:
        return high ? t.previousCount : t.count;
      case 3:
        return high ? t.previousLbaLow : t.lbaLow;
      case 4:
        return high ? t.previousLbaMid : t.lbaMid;
      case 5:
        return high ? t.previousLbaHigh : t.lbaHigh;
      default:
        return t.device | DEVICE.OBSOLETE;
    }
  }

  writeRegister(register: number, value: number): void {
    const t = this.task;
    switch (register) {
      case 1:
        t.previousFeatures = t.features;
        t.features = value;
        break;
      case 2:
        t.previousCount = t.count;
        t.count = value;
        break;
      case 3:
        t.previousLbaLow = t.lbaLow;
        t.lbaLow = value;
        break;
      case 4:
        t.previousLbaMid = t.lbaMid;
        t.lbaMid = value;
        break;
      case 5:
        t.previousLbaHigh = t.lbaHigh;
        t.lbaHigh = value;
        break;
      case 6:
        t.device = value;
        break;
    }
  }

  get status(): number {
    return this.task.status;
  }

  /** Reading STATUS acknowledges the interrupt; reading ALTERNATE STATUS does not. */
  acknowledge(): void {
    if (!this.task.interrupt) return;
    this.task.interrupt = false;
    this.host.interruptChanged();
  }

  /** A write to COMMAND. While the device is busy only DEVICE RESET gets through to a packet device (7.2). */
  command(command: number): void {
    const t = this.task;
    if (t.status & (STATUS.BSY | STATUS.DRQ)) {
      if (!(this.packet && command === COMMAND.DEVICE_RESET)) return;
      this.#generation++;
    }
    this.acknowledge();
    t.command = command;
    t.error = 0;
    t.phase = 'idle';
    t.status = STATUS.DRDY | STATUS.DSC;
    this.execute(command);
  }

  /** EXECUTE DEVICE DIAGNOSTIC reaches both devices, whichever is selected. */
  diagnose(): void {
    this.#generation++;
    this.task.phase = 'idle';
    this.task.remaining = 0;
    this.signature();
  }

  readData(size: number): number {
    const t = this.task;
    if (t.phase !== 'pioIn') return 0;
    const b = t.buffer;
    const p = t.position;
    let value = b[p]!;
    if (size > 1) value |= b[p + 1]! << 8;
    if (size > 2) value |= (b[p + 2]! << 16) | (b[p + 3]! << 24);
    t.position = p + size;
    if (t.position >= t.end) this.#blockRead();
    return value >>> 0;
  }

  writeData(size: number, value: number): void {
    const t = this.task;
    if (t.phase !== 'pioOut') return;
    const b = t.buffer;
    const p = t.position;
    b[p] = value;
    if (size > 1) b[p + 1] = value >>> 8;
    if (size > 2) {
      b[p + 2] = value >>> 16;
      b[p + 3] = value >>> 24;
    }
    t.position = p + size;
    if (t.position >= t.end) this.#blockWritten();
  }

  /** The bus master was started while the device waits for it. */
  runDma(port: DmaPort): void {
    if (this.task.phase !== 'dmaWait') return;
    this.task.phase = 'dma';
    if (this.#bounce.length === 0) this.#bounce = new Uint8Array(DMA_CHUNK);
    this.#dmaSteps(port);
  }

  /** The bus master was stopped in the middle. */
  stopDma(): void {
    if (this.task.phase !== 'dma') return;
    this.#generation++;
    this.task.phase = 'dmaWait';
  }

  protected raiseInterrupt(): void {
    this.task.interrupt = true;
    this.host.interruptChanged();
  }

  /** Ends a command well. */
  protected succeed(): void {
    this.task.phase = 'idle';
    this.task.status = STATUS.DRDY | STATUS.DSC;
    this.raiseInterrupt();
  }

  /** Ends a command with bits in ERROR. */
  protected fail(error: number, status: number = STATUS.DRDY | STATUS.DSC): void {
    this.task.phase = 'idle';
    this.task.remaining = 0;
    this.task.error = error;
    this.task.status = status | STATUS.ERR;
    this.raiseInterrupt();
  }

  protected abort(): void {
    this.fail(ERROR.ABRT);
  }

  /** Runs a drive operation without data; `then` sees its error, unless a reset came between. */
  protected wait(start: () => Completion, then: (error: BlockError | null) => void): void {
    const generation = this.#generation;
    this.task.phase = 'busy';
    this.task.status = STATUS.BSY;
    whenDone(start, (error) => {
      if (generation === this.#generation) then(error);
    });
  }

  /** Starts a PIO transfer of `bytes`. */
  protected startPio(toHost: boolean, bytes: number): void {
    this.task.toHost = toHost;
    this.task.remaining = bytes;
    if (toHost) this.#nextBlockIn();
    else this.#nextBlockOut(false);
  }

  /** Starts a DMA transfer of `bytes`: the bus master sets the pace. */
  protected startDma(toHost: boolean, bytes: number): void {
    const t = this.task;
    t.toHost = toHost;
    t.remaining = bytes;
    t.position = t.end = 0;
    t.phase = 'dmaWait';
    t.status = STATUS.DRDY | STATUS.DSC | STATUS.DRQ;
    this.host.dmaReady(this);
  }

  #nextBlockIn(): void {
    const t = this.task;
    const bytes = Math.min(t.remaining, this.pioBlock());
    this.wait(
      () => this.fetch(t.buffer.subarray(0, bytes)),
      (error) => {
        if (error) {
          this.failed(error);
          return;
        }
        this.#open('pioIn', bytes);
        this.raiseInterrupt();
      },
    );
  }

  #nextBlockOut(interrupt: boolean): void {
    this.#open('pioOut', Math.min(this.task.remaining, this.pioBlock()));
    if (interrupt) this.raiseInterrupt();
  }

  #open(phase: 'pioIn' | 'pioOut', bytes: number): void {
    const t = this.task;
    t.phase = phase;
    t.position = 0;
    t.end = bytes;
    t.status = STATUS.DRDY | STATUS.DSC | STATUS.DRQ;
    this.announce(bytes);
  }

  #blockRead(): void {
    const t = this.task;
    t.remaining -= t.end;
    this.advance(t.end);
    if (t.remaining > 0) this.#nextBlockIn();
    else this.completed();
  }

  #blockWritten(): void {
    const t = this.task;
    const bytes = t.end;
    this.wait(
      () => this.store(t.buffer.subarray(0, bytes)),
      (error) => {
        if (error) {
          this.failed(error);
          return;
        }
        t.remaining -= bytes;
        this.advance(bytes);
        if (t.remaining > 0) this.#nextBlockOut(true);
        else this.completed();
      },
    );
  }

  /** Moves chunks until the transfer ends or the drive makes it wait. */
  #dmaSteps(port: DmaPort): void {
    const generation = this.#generation;
    const t = this.task;
    // A loop, not recursion: a drive that answers at once may be asked very often.
    for (let ended = false; !ended; ) {
      const chunk = this.#bounce.subarray(0, Math.min(t.remaining, DMA_CHUNK));
      if (!t.toHost && port.transfer(chunk, false) < chunk.length) {
        t.phase = 'dmaWait';
        return;
      }
      ended = true;
      let atOnce = true;
      whenDone(
        () => (t.toHost ? this.fetch(chunk) : this.store(chunk)),
        (error) => {
          if (generation !== this.#generation) return;
          const goOn = this.#dmaMoved(port, chunk, error);
          if (goOn && atOnce) ended = false;
          else if (goOn) this.#dmaSteps(port);
        },
      );
      atOnce = false;
    }
  }

  /** A chunk came from the drive or is with it; true when there are more. */
  #dmaMoved(port: DmaPort, chunk: Uint8Array, error: BlockError | null): boolean {
    const t = this.task;
    if (error) {
      this.failed(error);
      return false;
    }
    if (t.toHost && port.transfer(chunk, true) < chunk.length) {
      t.phase = 'dmaWait';
      return false;
    }
    t.remaining -= chunk.length;
    this.advance(chunk.length);
    if (t.remaining > 0) return true;
    this.completed();
    return false;
  }
}
