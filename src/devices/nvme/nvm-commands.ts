/** The NVM command set: what is asked of the namespace. NVM Express Base Specification 1.4, section 6. */
import { getU16, getU32, getU64 } from '../../base/bytes.js';
import type { BlockBackend } from '../../block/drive.js';
import { type BlockError, type Completion, whenDone } from '../../block/node.js';
import type { DmaMemory } from '../../memory/io.js';
import { gather } from '../../memory/pieces.js';
import { PieceTransfers } from '../storage/piece-transfers.js';
import { prpPieces } from './prp.js';
import type { Answer } from './queues.js';
import { ALL_NAMESPACES, NAMESPACE, Nvm, PAGE, Status } from './structures.js';

const RANGE_BYTES = 16;
const MOST_RANGES = 256;

/** What commands want of their controller. */
export interface CommandHost {
  readonly dma: DmaMemory;
  readonly options: { readonly mdts: number; readonly blockBytes: number };
  /** Of the namespace. */
  readonly blocks: number;
  /** What CC chose. */
  readonly pageBytes: number;
  finish(queue: number, cid: number, answer: Answer): void;
}

/** A command whose data is under way, and the queue that it came from. */
export interface Working {
  readonly queue: number;
  readonly command: Uint8Array;
}

export class NvmCommands {
  readonly #working = new Set<Working>();
  readonly #transfers: PieceTransfers;
  #generation = 0;

  constructor(
    private readonly controller: CommandHost,
    private readonly drive: BlockBackend,
  ) {
    this.#transfers = new PieceTransfers(drive);
  }

  get working(): Iterable<Working> {
    return this.#working;
  }

  /** What is under way gets no answer; of one queue, or of all. */
  forget(queue?: number): void {
    if (queue === undefined) {
      this.#generation++;
      this.#working.clear();
    } else for (const working of this.#working) if (working.queue === queue) this.#working.delete(working);
  }

  /** Answers now or later. */
  execute(queue: number, command: Uint8Array, cid: number): void {
    const opcode = command[0]!;
    const namespace = getU32(command, 4);
    const fail = (status: number): void => this.controller.finish(queue, cid, { status: status | Status.doNotRetry });
    if (namespace !== NAMESPACE && !(opcode === Nvm.flush && namespace === ALL_NAMESPACES)) {
      fail(Status.invalidNamespace);
      return;
    }
    const { blockBytes } = this.controller.options;
    const lba = getU64(command, 40);
    const count = getU16(command, 48) + 1;
    const inside = lba + count <= this.controller.blocks;
    switch (opcode) {
      case Nvm.flush:
        this.#wait(queue, command, cid, () => this.drive.flush());
        break;
      case Nvm.read:
      case Nvm.write:
        if (!inside) fail(Status.lbaRange);
        else if (count * blockBytes > PAGE << this.controller.options.mdts) fail(Status.invalidField);
        else if (opcode === Nvm.write && this.drive.readOnly) fail(Status.accessDenied);
        else this.#transfer(queue, command, cid, lba * blockBytes, count * blockBytes);
        break;
      case Nvm.writeZeroes: {
        if (!inside) fail(Status.lbaRange);
        else if (this.drive.readOnly) fail(Status.accessDenied);
        else {
          const unmap = (getU16(command, 50) & 0x0200) !== 0;
          this.#wait(queue, command, cid, () => this.drive.writeZeroes(lba * blockBytes, count * blockBytes, unmap));
        }
        break;
      }
      case Nvm.datasetManagement:
        this.#deallocate(queue, command, cid);
        break;
      default:
        fail(Status.invalidOpcode);
    }
  }

  #transfer(queue: number, command: Uint8Array, cid: number, offset: number, bytes: number): void {
    const read = command[0] === Nvm.read;
    const { dma } = this.controller;
    const pieces = prpPieces(dma, command, bytes, this.controller.pageBytes, read);
    if (!pieces) {
      this.controller.finish(queue, cid, { status: Status.dataTransfer | Status.doNotRetry });
      return;
    }
    const forceUnitAccess = !read && (getU16(command, 50) & 0x4000) !== 0;
    const generation = this.#generation;
    const entry = { queue, command };
    this.#working.add(entry);
    this.#transfers.move(
      pieces,
      offset,
      read,
      () => generation === this.#generation,
      (error) => {
        if (read) for (const piece of pieces) dma.wrote(piece);
        if (!this.#working.delete(entry) || generation !== this.#generation) return;
        if (!error && forceUnitAccess) this.#wait(queue, command, cid, () => this.drive.flush());
        else this.controller.finish(queue, cid, { status: error ? mediaStatus(error, read) : Status.success });
      },
    );
  }

  #deallocate(queue: number, command: Uint8Array, cid: number): void {
    const ranges = ((getU32(command, 40) & 0xff) + 1) % (MOST_RANGES + 1);
    const deallocate = (getU32(command, 44) & 4) !== 0;
    const list = new Uint8Array(ranges * RANGE_BYTES);
    const pieces = prpPieces(this.controller.dma, command, list.length, this.controller.pageBytes, false);
    if (!pieces) {
      this.controller.finish(queue, cid, { status: Status.dataTransfer | Status.doNotRetry });
      return;
    }
    gather(pieces, 0, list);
    const { blockBytes } = this.controller.options;
    const wanted: { readonly offset: number; readonly bytes: number }[] = [];
    for (let at = 0; at < list.length; at += RANGE_BYTES) {
      const blocks = getU32(list, at + 4);
      const lba = getU64(list, at + 8);
      if (lba + blocks > this.controller.blocks) {
        this.controller.finish(queue, cid, { status: Status.lbaRange | Status.doNotRetry });
        return;
      }
      if (blocks > 0) wanted.push({ offset: lba * blockBytes, bytes: blocks * blockBytes });
    }
    this.#wait(queue, command, cid, () => {
      let last: Completion;
      for (const { offset, bytes } of deallocate ? wanted : []) {
        const discard = (): Completion => this.drive.discard(offset, bytes);
        last = last ? last.then(discard) : discard();
      }
      return last;
    });
  }

  #wait(queue: number, command: Uint8Array, cid: number, operation: () => Completion): void {
    const generation = this.#generation;
    const entry = { queue, command };
    this.#working.add(entry);
    whenDone(operation, (error) => {
      if (!this.#working.delete(entry) || generation !== this.#generation) return;
      this.controller.finish(queue, cid, { status: error ? mediaStatus(error, false) : Status.success });
    });
  }
}

function mediaStatus(error: BlockError, read: boolean): number {
  if (error.errno === 'EINVAL') return Status.lbaRange;
  if (error.errno === 'EROFS') return Status.accessDenied;
  return read ? Status.readError : Status.writeFault;
}
