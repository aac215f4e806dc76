/** The queued commands of an AHCI port that are under way. Serial ATA 3.0, 13.6; Serial ATA AHCI 1.3.1, 5.6.4. */
import { getU32 } from '../../base/bytes.js';
import type { DmaMemory } from '../../memory/io.js';
import type { IdeDevice } from '../ide/ide-device.js';
import { COMMAND, DEVICE, ERROR } from '../ide/task-file.js';
import { PRD_BYTES, PRD_MOST_BYTES, PRDT_AT } from './registers.js';

const SECTOR = 512;
const FUA = 0x80;

export const isQueued = (command: number): boolean =>
  command === COMMAND.READ_FPDMA_QUEUED || command === COMMAND.WRITE_FPDMA_QUEUED;

export class QueuedCommands {
  /** Changes when what is under way is no longer wanted. */
  #generation = 0;
  /** Slots of commands that the drive works on. */
  #running = 0;

  constructor(
    private readonly memory: () => DmaMemory,
    /** A command has ended; bits for ERROR, 0 when it went well. */
    private readonly ended: (slot: number, error: number) => void,
  ) {}

  /** Whether a command is under way. */
  get busy(): boolean {
    return this.#running !== 0;
  }

  /** What is under way goes on without telling. */
  forget(): void {
    this.#generation++;
    this.#running = 0;
  }

  /** Begins the command of `fis` in `slot`, with the data that `prds` descriptors of its table name. */
  begin(device: IdeDevice, slot: number, fis: Uint8Array, table: number, prds: number): void {
    const sectors = fis[3]! | (fis[11]! << 8) || 0x10000;
    const tag = fis[12]! >>> 3;
    const toHost = fis[2] === COMMAND.READ_FPDMA_QUEUED;
    const pieces = this.#pieces(table, prds, sectors * SECTOR, toHost);
    if (tag !== slot || !(fis[7]! & DEVICE.LBA) || !pieces) {
      this.ended(slot, ERROR.ABRT);
      return;
    }
    const lba =
      fis[4]! +
      fis[5]! * 2 ** 8 +
      fis[6]! * 2 ** 16 +
      getU32(Uint8Array.of(fis[8]!, fis[9]!, fis[10]!, 0), 0) * 2 ** 24;
    const generation = this.#generation;
    const wanted = (): boolean => generation === this.#generation;
    this.#running |= 1 << slot;
    device.queue({ tag, toHost, lba, sectors, forceUnitAccess: (fis[7]! & FUA) !== 0, pieces }, wanted, (error) => {
      if (!wanted()) return;
      if (toHost) for (const piece of pieces) this.memory().wrote(piece);
      this.#running &= ~(1 << slot);
      this.ended(slot, error);
    });
  }

  /** `bytes` of guest memory; undefined when the descriptors end before, or name what is not RAM. */
  #pieces(table: number, prds: number, bytes: number, toHost: boolean): Uint8Array[] | undefined {
    const memory = this.memory();
    const pieces: Uint8Array[] = [];
    const prd = new Uint8Array(PRD_BYTES);
    let left = bytes;
    for (let i = 0; i < prds && left > 0; i++) {
      memory.read(table + PRDT_AT + PRD_BYTES * i, prd);
      const address = getU32(prd, 0) + getU32(prd, 4) * 2 ** 32;
      const length = Math.min(left, (getU32(prd, 12) & (PRD_MOST_BYTES - 1)) + 1);
      for (let done = 0; done < length; ) {
        const piece = memory.ram(address + done, length - done, toHost);
        if (!piece) return undefined;
        pieces.push(piece);
        done += piece.length;
      }
      left -= length;
    }
    return left === 0 ? pieces : undefined;
  }
}
