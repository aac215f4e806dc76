/** The server's side of one NBD connection: negotiation, then requests, several at a time. */
import { getU16be, getU32be, getU64be, putU16be, putU32be, putU64be } from '../big-endian.js';
import { chainStatus } from '../chain.js';
import { type BlockErrno, BlockError, type BlockNode } from '../node.js';
import {
  Allocation,
  BASE_ALLOCATION,
  BITMAP_PREFIX,
  type ByteStream,
  CHUNK_DONE,
  Chunk,
  Command,
  CommandFlag,
  type Credentials,
  Errno,
  Handshake,
  IHAVEOPT,
  Info,
  MAX_NAME,
  MAX_OPTION,
  MAX_REQUEST,
  NBDMAGIC,
  OPTION_REPLY,
  Option,
  REQUEST_MAGIC,
  Reply,
  SIMPLE_REPLY_MAGIC,
  STRUCTURED_REPLY_MAGIC,
  Transmission,
} from './protocol.js';

export interface ExportBitmap {
  readonly name: string;
  /** Bytes that one bit stands for. */
  readonly granularity: number;
  has(offset: number): boolean;
}

export interface Export {
  readonly name: string;
  readonly description: string;
  readonly node: BlockNode;
  readonly writable: boolean;
  readonly bitmaps: readonly ExportBitmap[];
  /** Other connections see each other's writes after a flush, as one server's do. */
  readonly shared: boolean;
}

const ALLOCATION_ID = 1;
const FIRST_BITMAP_ID = 2;
/** Bytes of requests that are worked on at a time; more wait. */
const MAX_IN_FLIGHT = 64 << 20;
const MAX_EXTENTS = 1024;
const STATUS_STEP = 1 << 30;
const utf8 = new TextEncoder();
const text = new TextDecoder();

function errnoOf(errno: BlockErrno): number {
  if (errno === 'EROFS' || errno === 'EPERM' || errno === 'EACCES') return Errno.EPERM;
  if (errno === 'ENOSPC' || errno === 'EFBIG') return Errno.ENOSPC;
  if (errno === 'EINVAL' || errno === 'ENOTSUP' || errno === 'ESHUTDOWN') return Errno[errno];
  return Errno.EIO;
}

/**
 * Serves a connection to its end, which is also the way out when the client breaks the rules. `chosen` is told which export the
 * client uses. With `tls` it must ask for encryption before anything else.
 */
export async function serve(
  stream: ByteStream,
  exports: readonly Export[],
  chosen: (one: Export) => void = () => {},
  tls?: Credentials,
): Promise<void> {
  const session = new Session(stream, exports, tls);
  try {
    const one = await session.negotiate();
    if (!one) return;
    chosen(one);
    await session.transmit(one);
  } catch (error) {
    if (!(error instanceof BlockError)) throw error;
  } finally {
    session.stream.close();
  }
}

class Session {
  /** What must come before all else, while it has not. */
  #tls: Credentials | undefined;
  #structured = false;
  #allocation = false;
  #bitmaps: ExportBitmap[] = [];
  #noZeroes = false;
  #inFlight = 0;
  #waiting: (() => void) | null = null;
  readonly #running = new Set<Promise<void>>();

  constructor(
    public stream: ByteStream,
    readonly exports: readonly Export[],
    private readonly credentials: Credentials | undefined,
  ) {
    this.#tls = credentials;
  }

  async negotiate(): Promise<Export | null> {
    const hello = new Uint8Array(18);
    [...NBDMAGIC, ...IHAVEOPT].forEach((word, i) => {
      putU32be(hello, 4 * i, word);
    });
    putU16be(hello, 16, Handshake.FIXED_NEWSTYLE | Handshake.NO_ZEROES);
    await this.stream.write(hello);
    const flags = getU32be(await this.stream.read(4), 0);
    if (flags > 3) return null;
    this.#noZeroes = (flags & Handshake.NO_ZEROES) !== 0;
    for (;;) {
      const head = await this.stream.read(16);
      if (getU32be(head, 0) !== IHAVEOPT[0] || getU32be(head, 4) !== IHAVEOPT[1]) return null;
      const option = getU32be(head, 8);
      const length = getU32be(head, 12);
      if (length > MAX_OPTION) return null;
      const data = await this.stream.read(length);
      if (option === Option.ABORT) {
        await this.#answer(option, Reply.ACK);
        return null;
      }
      if (option === Option.STARTTLS) {
        await this.#startTls(data);
        continue;
      }
      if (this.#tls) {
        if (option === Option.EXPORT_NAME) return null;
        await this.#answer(option, Reply.ERR_TLS_REQD);
        continue;
      }
      if (option === Option.EXPORT_NAME) return this.#oldGo(text.decode(data));
      const chosen = await this.#option(option, data);
      if (chosen) return chosen;
    }
  }

  async #startTls(data: Uint8Array): Promise<void> {
    const { stream, credentials } = this;
    if (data.length > 0 || (credentials && !this.#tls)) await this.#answer(Option.STARTTLS, Reply.ERR_INVALID);
    else if (!credentials || !stream.secure) await this.#answer(Option.STARTTLS, Reply.ERR_POLICY);
    else {
      await this.#answer(Option.STARTTLS, Reply.ACK);
      this.stream = await stream.secure(credentials);
      this.#tls = undefined;
    }
  }

  #find(name: string): Export | undefined {
    return this.exports.find((e) => e.name === name);
  }

  async #oldGo(name: string): Promise<Export | null> {
    const found = this.#find(name);
    if (!found) return null;
    const bytes = new Uint8Array(this.#noZeroes ? 10 : 134);
    putU64be(bytes, 0, found.node.length);
    putU16be(bytes, 8, transmissionFlags(found, this.#structured));
    await this.stream.write(bytes);
    return found;
  }

  /** Gives the export when the option was GO, and was granted. */
  async #option(option: number, data: Uint8Array): Promise<Export | null> {
    switch (option) {
      case Option.LIST:
        if (data.length > 0) return this.#refuse(option, Reply.ERR_INVALID);
        for (const e of this.exports) {
          const name = utf8.encode(e.name);
          const description = utf8.encode(e.description);
          const body = new Uint8Array(4 + name.length + description.length);
          putU32be(body, 0, name.length);
          body.set(name, 4);
          body.set(description, 4 + name.length);
          await this.#answer(option, Reply.SERVER, body);
        }
        await this.#answer(option, Reply.ACK);
        return null;
      case Option.STRUCTURED_REPLY:
        if (data.length > 0) return this.#refuse(option, Reply.ERR_INVALID);
        this.#structured = true;
        await this.#answer(option, Reply.ACK);
        return null;
      case Option.INFO:
      case Option.GO:
        return this.#info(option, data);
      case Option.LIST_META_CONTEXT:
      case Option.SET_META_CONTEXT:
        return this.#contexts(option, data);
      default:
        return this.#refuse(option, Reply.ERR_UNSUP);
    }
  }

  async #info(option: number, data: Uint8Array): Promise<Export | null> {
    const length = data.length >= 6 ? getU32be(data, 0) : MAX_NAME + 1;
    if (length > MAX_NAME || 4 + length + 2 > data.length) return this.#refuse(option, Reply.ERR_INVALID);
    const found = this.#find(text.decode(data.subarray(4, 4 + length)));
    if (!found) return this.#refuse(option, Reply.ERR_UNKNOWN);
    const wanted = new Set<number>();
    for (let at = 6 + length; at + 2 <= data.length; at += 2) wanted.add(getU16be(data, at));
    const tell = async (kind: number, value: Uint8Array): Promise<void> => {
      const body = new Uint8Array(2 + value.length);
      putU16be(body, 0, kind);
      body.set(value, 2);
      await this.#answer(option, Reply.INFO, body);
    };
    if (wanted.has(Info.NAME)) await tell(Info.NAME, utf8.encode(found.name));
    if (wanted.has(Info.DESCRIPTION)) await tell(Info.DESCRIPTION, utf8.encode(found.description));
    const sizes = new Uint8Array(12);
    putU32be(sizes, 0, 1);
    putU32be(sizes, 4, 65536);
    putU32be(sizes, 8, MAX_REQUEST);
    await tell(Info.BLOCK_SIZE, sizes);
    const size = new Uint8Array(10);
    putU64be(size, 0, found.node.length);
    putU16be(size, 8, transmissionFlags(found, this.#structured));
    await tell(Info.EXPORT, size);
    await this.#answer(option, Reply.ACK);
    return option === Option.GO ? found : null;
  }

  async #contexts(option: number, data: Uint8Array): Promise<null> {
    if (!this.#structured) return this.#refuse(option, Reply.ERR_INVALID);
    let at = 0;
    const string = (): string | null => {
      if (at + 4 > data.length) return null;
      const length = getU32be(data, at);
      if (length > MAX_NAME || at + 4 + length > data.length) return null;
      at += 4 + length;
      return text.decode(data.subarray(at - length, at));
    };
    const name = string();
    if (name === null || at + 4 > data.length) return this.#refuse(option, Reply.ERR_INVALID);
    const found = this.#find(name);
    if (!found) return this.#refuse(option, Reply.ERR_UNKNOWN);
    const count = getU32be(data, at);
    at += 4;
    const wanted: string[] = [];
    for (let i = 0; i < count; i++) {
      const query = string();
      if (query === null) return this.#refuse(option, Reply.ERR_INVALID);
      wanted.push(query);
    }
    const all = option === Option.LIST_META_CONTEXT && count === 0;
    const listing = option === Option.LIST_META_CONTEXT;
    const matches = (context: string): boolean =>
      all || wanted.some((w) => w === context || (listing && w.endsWith(':') && context.startsWith(w)));
    const allocation = matches(BASE_ALLOCATION);
    const bitmaps = found.bitmaps.filter((b) => matches(BITMAP_PREFIX + b.name));
    if (!listing) {
      this.#allocation = allocation;
      this.#bitmaps = bitmaps;
    }
    const tell = async (id: number, context: string): Promise<void> => {
      const bytes = utf8.encode(context);
      const body = new Uint8Array(4 + bytes.length);
      putU32be(body, 0, listing ? 0 : id);
      body.set(bytes, 4);
      await this.#answer(option, Reply.META_CONTEXT, body);
    };
    if (allocation) await tell(ALLOCATION_ID, BASE_ALLOCATION);
    for (const [i, b] of bitmaps.entries()) await tell(FIRST_BITMAP_ID + i, BITMAP_PREFIX + b.name);
    await this.#answer(option, Reply.ACK);
    return null;
  }

  async #refuse(option: number, type: number): Promise<null> {
    await this.#answer(option, type);
    return null;
  }

  async #answer(option: number, type: number, body = new Uint8Array(0)): Promise<void> {
    const bytes = new Uint8Array(20 + body.length);
    putU32be(bytes, 0, OPTION_REPLY[0]);
    putU32be(bytes, 4, OPTION_REPLY[1]);
    putU32be(bytes, 8, option);
    putU32be(bytes, 12, type);
    putU32be(bytes, 16, body.length);
    bytes.set(body, 20);
    await this.stream.write(bytes);
  }

  async transmit(e: Export): Promise<void> {
    try {
      for (;;) {
        const head = await this.stream.read(28);
        if (getU32be(head, 0) !== REQUEST_MAGIC) return;
        const type = getU16be(head, 6);
        const length = getU32be(head, 24);
        if (type === Command.DISC) return;
        if (type === Command.WRITE && length > MAX_REQUEST) return;
        const payload = type === Command.WRITE ? await this.stream.read(length) : null;
        const weight = type === Command.READ || type === Command.WRITE ? Math.min(length, MAX_REQUEST) : 0;
        while (this.#inFlight > 0 && this.#inFlight + weight > MAX_IN_FLIGHT) {
          await new Promise<void>((resolve) => {
            this.#waiting = resolve;
          });
        }
        this.#inFlight += weight;
        const running: Promise<void> = this.#request(e, head, payload).finally(() => {
          this.#inFlight -= weight;
          this.#running.delete(running);
          this.#waiting?.();
          this.#waiting = null;
        });
        // A client that has gone is noticed by the next read.
        running.catch(() => {});
        this.#running.add(running);
      }
    } finally {
      await Promise.allSettled(this.#running);
      if (e.writable) await e.node.flush();
    }
  }

  async #request(e: Export, head: Uint8Array, payload: Uint8Array | null): Promise<void> {
    const flags = getU16be(head, 4);
    const type = getU16be(head, 6);
    const handle = head.slice(8, 16);
    const offset = getU64be(head, 16);
    const length = getU32be(head, 24);
    try {
      await this.#perform(e, { type, flags, offset, length, handle }, payload);
    } catch (error) {
      if (!(error instanceof BlockError)) throw error;
      await this.#fail(handle, type, errnoOf(error.errno), error.message);
    }
  }

  async #perform(
    e: Export,
    r: { type: number; flags: number; offset: number; length: number; handle: Uint8Array },
    payload: Uint8Array | null,
  ): Promise<void> {
    const { node } = e;
    const { type, flags, offset, length, handle } = r;
    const writes = type === Command.WRITE || type === Command.TRIM || type === Command.WRITE_ZEROES;
    if (writes && !e.writable) throw new BlockError('EPERM', 'Export is read-only');
    if (type !== Command.FLUSH && offset + length > node.length) {
      throw new BlockError(
        type === Command.WRITE || type === Command.WRITE_ZEROES ? 'ENOSPC' : 'EINVAL',
        'operation past EOF',
      );
    }
    switch (type) {
      case Command.READ: {
        if (length > MAX_REQUEST) throw new BlockError('EINVAL', 'the request is too long');
        await this.#read(node, offset, length, handle);
        return;
      }
      case Command.WRITE:
        await node.write(offset, payload!);
        break;
      case Command.WRITE_ZEROES:
        await node.writeZeroes(offset, length, !(flags & CommandFlag.NO_HOLE));
        break;
      case Command.TRIM:
        await node.discard(offset, length);
        break;
      case Command.FLUSH:
        await node.flush();
        break;
      case Command.CACHE:
        break;
      case Command.BLOCK_STATUS:
        if (length === 0 || !this.#structured || (!this.#allocation && this.#bitmaps.length === 0)) {
          throw new BlockError('EINVAL', 'no context for a block status was agreed on');
        }
        await this.#blockStatus(node, offset, length, (flags & CommandFlag.REQ_ONE) !== 0, handle);
        return;
      default:
        throw new BlockError('EINVAL', `unknown request ${type}`);
    }
    if (writes && flags & CommandFlag.FUA) await node.flush();
    await this.#simple(handle, 0);
  }

  async #read(node: BlockNode, offset: number, length: number, handle: Uint8Array): Promise<void> {
    const head = this.#structured ? 28 : 16;
    const bytes = new Uint8Array(head + length);
    if (length > 0) await node.read(offset, bytes.subarray(head));
    if (!this.#structured) {
      putU32be(bytes, 0, SIMPLE_REPLY_MAGIC);
      bytes.set(handle, 8);
    } else {
      chunkHead(
        bytes,
        CHUNK_DONE,
        length === 0 ? Chunk.NONE : Chunk.OFFSET_DATA,
        handle,
        length === 0 ? 0 : 8 + length,
      );
      putU64be(bytes, 20, offset);
      if (length === 0) return this.stream.write(bytes.subarray(0, 20));
    }
    return this.stream.write(bytes);
  }

  async #blockStatus(node: BlockNode, offset: number, length: number, one: boolean, handle: Uint8Array): Promise<void> {
    const contexts: [number, [number, number][]][] = [];
    if (this.#allocation) contexts.push([ALLOCATION_ID, await allocationExtents(node, offset, length, one)]);
    this.#bitmaps.forEach((b, i) => {
      contexts.push([FIRST_BITMAP_ID + i, bitmapExtents(b, offset, length, one)]);
    });
    for (const [i, [id, extents]] of contexts.entries()) {
      const bytes = new Uint8Array(24 + 8 * extents.length);
      chunkHead(bytes, i === contexts.length - 1 ? CHUNK_DONE : 0, Chunk.BLOCK_STATUS, handle, 4 + 8 * extents.length);
      putU32be(bytes, 20, id);
      extents.forEach(([n, flags], j) => {
        putU32be(bytes, 24 + 8 * j, n);
        putU32be(bytes, 28 + 8 * j, flags);
      });
      await this.stream.write(bytes);
    }
  }

  #simple(handle: Uint8Array, error: number): Promise<void> {
    const bytes = new Uint8Array(16);
    putU32be(bytes, 0, SIMPLE_REPLY_MAGIC);
    putU32be(bytes, 4, error);
    bytes.set(handle, 8);
    return this.stream.write(bytes);
  }

  async #fail(handle: Uint8Array, type: number, error: number, message: string): Promise<void> {
    if (!this.#structured || (type !== Command.READ && type !== Command.BLOCK_STATUS))
      return this.#simple(handle, error);
    const words = utf8.encode(message.slice(0, 200));
    const bytes = new Uint8Array(26 + words.length);
    chunkHead(bytes, CHUNK_DONE, Chunk.ERROR, handle, 6 + words.length);
    putU32be(bytes, 20, error);
    putU16be(bytes, 24, words.length);
    bytes.set(words, 26);
    return this.stream.write(bytes);
  }
}

function chunkHead(bytes: Uint8Array, flags: number, type: number, handle: Uint8Array, length: number): void {
  putU32be(bytes, 0, STRUCTURED_REPLY_MAGIC);
  putU16be(bytes, 4, flags);
  putU16be(bytes, 6, type);
  bytes.set(handle, 8);
  putU32be(bytes, 16, length);
}

function transmissionFlags(e: Export, structured: boolean): number {
  const T = Transmission;
  let flags = T.HAS_FLAGS | T.SEND_FLUSH | T.SEND_FUA | T.SEND_CACHE;
  if (structured) flags |= T.SEND_DF;
  if (e.shared) flags |= T.CAN_MULTI_CONN;
  return flags | (e.writable ? T.SEND_TRIM | T.SEND_WRITE_ZEROES : T.READ_ONLY);
}

async function allocationExtents(
  node: BlockNode,
  offset: number,
  length: number,
  one: boolean,
): Promise<[number, number][]> {
  const extents: [number, number][] = [];
  for (const end = offset + length; offset < end && extents.length < MAX_EXTENTS; ) {
    const s = await chainStatus(node, offset, Math.min(end - offset, STATUS_STEP));
    const flags = (s.data ? 0 : Allocation.HOLE) | (s.zero ? Allocation.ZERO : 0);
    const last = extents.at(-1);
    if (last && last[1] === flags) last[0] += s.length;
    else if (one && last) break;
    else extents.push([s.length, flags]);
    offset += s.length;
  }
  return extents;
}

function bitmapExtents(b: ExportBitmap, offset: number, length: number, one: boolean): [number, number][] {
  const extents: [number, number][] = [];
  for (const end = offset + length; offset < end && extents.length < MAX_EXTENTS; ) {
    const n = Math.min(end - offset, b.granularity - (offset % b.granularity));
    const flags = b.has(offset) ? 1 : 0;
    const last = extents.at(-1);
    if (last && last[1] === flags) last[0] += n;
    else if (one && last) break;
    else extents.push([n, flags]);
    offset += n;
  }
  return extents;
}
