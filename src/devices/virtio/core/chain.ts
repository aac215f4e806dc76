// hot path
/** A buffer that the driver made available: descriptors that the device reads, then descriptors that it fills. */
import type { DmaMemory } from '../../../memory/io.js';
import { gather, scatter } from '../../../memory/pieces.js';

/** One descriptor as the driver wrote it; what a saved machine keeps of a buffer that is being worked on. */
export interface Descriptor {
  readonly address: number;
  readonly length: number;
  readonly writable: boolean;
}

export class Chain {
  /** Pieces of guest RAM, in order. */
  readonly readable: Uint8Array[] = [];
  readonly writable: Uint8Array[] = [];
  readableBytes = 0;
  writableBytes = 0;
  readonly descriptors: Descriptor[] = [];

  /** `id` goes back to the driver with the buffer; `slots` is how many places of a packed ring it takes. */
  constructor(
    public id: number,
    public slots = 1,
  ) {}

  /** Copies what the driver wrote, from byte `from` on; gives how many bytes there were. */
  read(from: number, into: Uint8Array): number {
    return gather(this.readable, from, into);
  }

  /** Copies into what the device fills, from byte `at` on; gives how many bytes there was room for. */
  write(at: number, data: Uint8Array): number {
    return scatter(this.writable, at, data);
  }
}

/** Of one chain, as many as a queue may be long; spares whoever walks a hostile table. */
export const MOST_DESCRIPTORS = 1024;

/** Appends a descriptor; gives what is wrong with it, if anything. */
export function append(
  chain: Chain,
  memory: Pick<DmaMemory, 'ram'>,
  address: number,
  length: number,
  writable: boolean,
): string | undefined {
  if (length === 0) return 'a descriptor of no bytes';
  if (!writable && chain.writable.length > 0) return 'a readable descriptor after a writable one';
  if (chain.descriptors.length >= MOST_DESCRIPTORS) return 'a chain that loops or is too long';
  const pieces = writable ? chain.writable : chain.readable;
  for (let done = 0; done < length; ) {
    const piece = memory.ram(address + done, length - done, writable);
    if (!piece) return 'a descriptor outside RAM';
    pieces.push(piece);
    done += piece.length;
  }
  chain.descriptors.push({ address, length, writable });
  if (writable) chain.writableBytes += length;
  else chain.readableBytes += length;
  return undefined;
}
