// hot path
/** Between a drive and guest RAM in pieces: whole requests of a drive, however the guest has cut its memory. */
import type { BlockBackend } from '../../block/drive.js';
import { type BlockError, whenDone } from '../../block/node.js';
import { gather, pieceBytes, scatter } from '../../memory/pieces.js';

/** Bytes that go at a time: longer transfers take several turns, so that what they need stays bounded. */
const CHUNK = 1 << 20;
const SMALLEST_BUFFER = 1 << 16;
const MOST_SPARE = 16;

export class PieceTransfers {
  /** Buffers for transfers that are not in one piece, to be used again. */
  readonly #spare: Uint8Array[] = [];

  constructor(private readonly backend: Pick<BlockBackend, 'read' | 'write'>) {}

  /**
   * Moves all bytes of `pieces` from or to `offset` of the drive, then calls `done`. While `wanted` says no (a reset came
   * in between), nothing more is moved; `done` is called all the same.
   */
  move(
    pieces: readonly Uint8Array[],
    offset: number,
    fromDrive: boolean,
    wanted: () => boolean,
    done: (error: BlockError | null) => void,
  ): void {
    const bytes = pieceBytes(pieces);
    const single = pieces.length === 1 ? pieces[0]! : undefined;
    const buffer = single || bytes === 0 ? undefined : this.#takeBuffer(Math.min(bytes, CHUNK));
    const finish = (error: BlockError | null): void => {
      if (buffer && this.#spare.length < MOST_SPARE) this.#spare.push(buffer);
      done(error);
    };
    const step = (start: number): void => {
      // A loop, not recursion: a drive that answers at once may be asked very often.
      for (let from = start, goOn = true; goOn; ) {
        if (from >= bytes || !wanted()) {
          finish(null);
          return;
        }
        const position = from;
        const length = Math.min(CHUNK, bytes - position);
        const chunk = single ? single.subarray(position, position + length) : buffer!.subarray(0, length);
        if (!fromDrive && !single) gather(pieces, position, chunk);
        let atOnce = true;
        goOn = false;
        whenDone(
          () =>
            fromDrive ? this.backend.read(offset + position, chunk) : this.backend.write(offset + position, chunk),
          (error) => {
            if (error) {
              finish(error);
              return;
            }
            if (fromDrive && !single && wanted()) scatter(pieces, position, chunk);
            if (atOnce) goOn = true;
            else step(position + length);
          },
        );
        atOnce = false;
        from = position + length;
      }
    };
    step(0);
  }

  #takeBuffer(bytes: number): Uint8Array {
    const spare = this.#spare.pop();
    return spare && spare.length >= bytes ? spare : new Uint8Array(Math.max(bytes, SMALLEST_BUFFER));
  }
}
