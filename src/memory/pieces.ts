// hot path
/** Buffers that lie in several pieces, taken as one. */

/** Copies bytes `from`... of the pieces taken as one. */
export function gather(pieces: readonly Uint8Array[], from: number, into: Uint8Array): number {
  let skip = from;
  let done = 0;
  for (const piece of pieces) {
    if (done === into.length) break;
    if (skip >= piece.length) {
      skip -= piece.length;
      continue;
    }
    const part = piece.subarray(skip, skip + into.length - done);
    into.set(part, done);
    done += part.length;
    skip = 0;
  }
  return done;
}

/** Copies `data` to bytes `at`... of the pieces taken as one. */
export function scatter(pieces: readonly Uint8Array[], at: number, data: Uint8Array): number {
  let skip = at;
  let done = 0;
  for (const piece of pieces) {
    if (done === data.length) break;
    if (skip >= piece.length) {
      skip -= piece.length;
      continue;
    }
    const part = data.subarray(done, done + piece.length - skip);
    piece.set(part, skip);
    done += part.length;
    skip = 0;
  }
  return done;
}

/** Bytes `from` to `from + length` of the pieces, without copying. */
export function slice(pieces: readonly Uint8Array[], from: number, length: number): Uint8Array[] {
  const out: Uint8Array[] = [];
  let skip = from;
  let left = length;
  for (const piece of pieces) {
    if (left === 0) break;
    if (skip >= piece.length) {
      skip -= piece.length;
      continue;
    }
    const part = piece.subarray(skip, skip + left);
    out.push(part);
    left -= part.length;
    skip = 0;
  }
  return out;
}

export const pieceBytes = (pieces: readonly Uint8Array[]): number =>
  pieces.reduce((sum, piece) => sum + piece.length, 0);
