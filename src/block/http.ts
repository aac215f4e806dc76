/** A file on a web server, read-only: fetched in pieces as they are wanted, of which the last used are kept. */
import { UserError } from '../base/errors.js';
import { BaseNode, BlockError, type Completion } from './node.js';

const PIECE = 256 << 10;
/** 64 MiB. */
const MOST_PIECES = 256;

export interface RangeAnswer {
  /** Of the whole file; undefined when the server does not tell. */
  readonly total: number | undefined;
  /** Identifies the version of the file; '' when the server does not tell. */
  readonly version: string;
  readonly bytes: Uint8Array;
}

/** Gets bytes of a file on a web server. Fails with UserError. */
export type FetchRange = (url: string, offset: number, length: number) => Promise<RangeAnswer>;

export class HttpNode extends BaseNode {
  readonly driver: string;
  readonly readOnly = true;
  readonly #pieces = new Map<number, Promise<Uint8Array>>();

  private constructor(
    readonly filename: string,
    readonly length: number,
    readonly version: string,
    readonly fetchRange: FetchRange,
  ) {
    super();
    this.driver = filename.slice(0, filename.indexOf(':')).toLowerCase();
  }

  static async open(url: string, fetchRange: FetchRange): Promise<HttpNode> {
    const { total, version } = await fetchRange(url, 0, 1);
    if (total === undefined)
      throw new UserError(
        `Could not open '${url}': the server does not tell how long the file is, or gives no parts of it`,
      );
    return new HttpNode(url, total, version, fetchRange);
  }

  read(offset: number, into: Uint8Array): Completion {
    return this.#read(offset, into);
  }

  async #read(offset: number, into: Uint8Array): Promise<void> {
    const end = Math.max(0, Math.min(into.length, this.length - offset));
    into.fill(0, end);
    for (let at = 0; at < end; ) {
      const index = Math.floor((offset + at) / PIECE);
      const within = (offset + at) % PIECE;
      const bytes = await this.#piece(index);
      const n = Math.min(end - at, bytes.length - within);
      if (n <= 0) throw new BlockError('EIO', `'${this.filename}' is shorter than the server said`);
      into.set(bytes.subarray(within, within + n), at);
      at += n;
    }
  }

  #piece(index: number): Promise<Uint8Array> {
    const known = this.#pieces.get(index);
    if (known) {
      this.#pieces.delete(index);
      this.#pieces.set(index, known);
      return known;
    }
    const piece = this.#fetch(index);
    this.#pieces.set(index, piece);
    piece.catch(() => this.#pieces.delete(index));
    if (this.#pieces.size > MOST_PIECES) this.#pieces.delete(this.#pieces.keys().next().value!);
    return piece;
  }

  async #fetch(index: number): Promise<Uint8Array> {
    const offset = index * PIECE;
    const length = Math.min(PIECE, this.length - offset);
    let answer: RangeAnswer;
    try {
      answer = await this.fetchRange(this.filename, offset, length);
    } catch (error) {
      throw new BlockError('EIO', error instanceof Error ? error.message : String(error));
    }
    if (answer.version !== this.version) throw new BlockError('EIO', `'${this.filename}' has changed on the server`);
    if (answer.bytes.length < length) throw new BlockError('EIO', `'${this.filename}' is shorter than the server said`);
    return answer.bytes.subarray(0, length);
  }
}
