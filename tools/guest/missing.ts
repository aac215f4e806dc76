/** Tests of guests are skipped, with the reason, where a guest cannot be had. */
import { UserError } from '../../src/base/errors.js';
import { fetchPiece, type PieceName } from './guests.js';

/** Fetches what is not in the cache yet. False, or why it cannot be had, for a test's `skip`. */
export async function missing(...pieces: readonly PieceName[]): Promise<string | false> {
  try {
    for (const piece of pieces) await fetchPiece(piece);
    return false;
  } catch (error) {
    if (error instanceof UserError) return error.message;
    throw error;
  }
}
