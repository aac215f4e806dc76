/**
 * An export of an NBD server as a node. Requests are sent as they come and answered in any order. When the connection breaks,
 * what is under way fails; the next request connects again.
 */
import { UserError } from '../../base/errors.js';
import { getU16be, getU32be, getU64be, putU16be, putU32be, putU64be } from '../big-endian.js';
import { BaseNode, type BlockErrno, BlockError, type BlockStatus, type Completion } from '../node.js';
import type { NbdAddress } from './address.js';
import {
  Allocation,
  BASE_ALLOCATION,
  type ByteStream,
  CHUNK_DONE,
  Chunk,
  type ClientTls,
  Command,
  CommandFlag,
  Errno,
  Handshake,
  IHAVEOPT,
  Info,
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

const utf8 = new TextEncoder();

interface Pending {
  readonly into: Uint8Array | null;
  readonly offset: number;
  /** Of BLOCK_STATUS: pairs of length and flags. */
  status: Uint8Array | null;
  failure: BlockError | null;
  readonly resolve: () => void;
  readonly reject: (error: BlockError) => void;
}

interface Connection {
  readonly stream: ByteStream;
  readonly size: number;
  readonly flags: number;
  readonly structured: boolean;
  readonly allocationContext: number | null;
}

function errnoOf(number: number): BlockErrno {
  const name = Object.entries(Errno).find(([, n]) => n === number)?.[0];
  return name === undefined || name === 'ENOMEM' ? 'EIO' : (name as BlockErrno);
}

export class NbdNode extends BaseNode {
  readonly driver = 'nbd';
  readonly #pending = new Map<number, Pending>();
  #connection: Connection | null;
  #connecting: Promise<Connection> | null = null;
  #next = 1;
  #closed = false;

  private constructor(
    readonly filename: string,
    readonly readOnly: boolean,
    readonly reconnect: () => Promise<Connection>,
    connection: Connection,
  ) {
    super();
    this.#connection = connection;
    this.length = connection.size;
    void this.#receive(connection);
  }

  readonly length: number;

  static async open(
    filename: string,
    address: NbdAddress,
    connect: (address: NbdAddress) => Promise<ByteStream>,
    readOnly: boolean,
    tls?: ClientTls,
  ): Promise<NbdNode> {
    const make = async (): Promise<Connection> => negotiate(await connect(address), address, tls);
    const connection = await make();
    if (connection.flags & Transmission.READ_ONLY && !readOnly) {
      connection.stream.close();
      throw new UserError(`Could not open '${filename}': request for write access denied: the export is read-only`);
    }
    return new NbdNode(filename, readOnly, make, connection);
  }

  read(offset: number, into: Uint8Array): Completion {
    const end = Math.max(0, Math.min(into.length, this.length - offset));
    into.fill(0, end);
    return this.#split(end, (at, n) => this.#request(Command.READ, 0, offset + at, n, null, into.subarray(at, at + n)));
  }

  override write(offset: number, from: Uint8Array): Completion {
    return this.#split(from.length, (at, n) =>
      this.#request(Command.WRITE, 0, offset + at, n, from.subarray(at, at + n), null),
    );
  }

  override async flush(): Promise<void> {
    if (this.#connection && !(this.#connection.flags & Transmission.SEND_FLUSH)) return;
    await this.#request(Command.FLUSH, 0, 0, 0, null, null);
  }

  override async discard(offset: number, length: number): Promise<void> {
    if (this.#connection && !(this.#connection.flags & Transmission.SEND_TRIM)) return;
    await this.#split(length, (at, n) => this.#request(Command.TRIM, 0, offset + at, n, null, null));
  }

  override writeZeroes(offset: number, length: number, unmap: boolean): Completion {
    if (this.#connection && !(this.#connection.flags & Transmission.SEND_WRITE_ZEROES))
      return super.writeZeroes(offset, length, unmap);
    const flags = unmap ? 0 : CommandFlag.NO_HOLE;
    return this.#split(length, (at, n) => this.#request(Command.WRITE_ZEROES, flags, offset + at, n, null, null));
  }

  override async status(offset: number, length: number): Promise<BlockStatus> {
    const unknown = { length, data: true, zero: false, allocated: true };
    if (this.#connection && this.#connection.allocationContext === null) return unknown;
    const n = Math.min(length, 2 ** 31);
    let answer: Uint8Array | null = null;
    await this.#request(Command.BLOCK_STATUS, CommandFlag.REQ_ONE, offset, n, null, null, (bytes) => {
      answer = bytes;
    });
    const bytes = answer as Uint8Array | null;
    if (!bytes || bytes.length < 8) return unknown;
    const known = getU32be(bytes, 0);
    const flags = getU32be(bytes, 4);
    if (known === 0) return unknown;
    const hole = (flags & Allocation.HOLE) !== 0;
    return { length: Math.min(known, n), data: !hole, zero: (flags & Allocation.ZERO) !== 0, allocated: true };
  }

  override async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const connection = this.#connection;
    if (!connection) return;
    try {
      await connection.stream.write(requestBytes(Command.DISC, 0, 0, 0, 0));
    } catch (error) {
      if (!(error instanceof BlockError)) throw error;
    }
    connection.stream.close();
  }

  /** Requests of at most `MAX_REQUEST` bytes. */
  #split(length: number, run: (at: number, n: number) => Promise<void>): Promise<void> {
    if (length <= MAX_REQUEST) return length === 0 ? Promise.resolve() : run(0, length);
    const parts: Promise<void>[] = [];
    for (let at = 0; at < length; at += MAX_REQUEST) parts.push(run(at, Math.min(MAX_REQUEST, length - at)));
    return Promise.all(parts).then(() => {});
  }

  async #request(
    type: number,
    flags: number,
    offset: number,
    length: number,
    payload: Uint8Array | null,
    into: Uint8Array | null,
    status?: (bytes: Uint8Array | null) => void,
  ): Promise<void> {
    const connection = this.#connection ?? (await this.#connect());
    const handle = this.#next++;
    const done = new Promise<void>((resolve, reject) => {
      const pending: Pending = {
        into,
        offset,
        status: null,
        failure: null,
        resolve: () => {
          status?.(pending.status);
          resolve();
        },
        reject,
      };
      this.#pending.set(handle, pending);
    });
    const head = requestBytes(type, flags, handle, offset, length);
    let message = head;
    if (payload) {
      message = new Uint8Array(head.length + payload.length);
      message.set(head);
      message.set(payload, head.length);
    }
    // A write that fails is followed by the end of the connection, which fails all that wait.
    connection.stream.write(message).catch(() => {});
    await done;
  }

  #connect(): Promise<Connection> {
    if (this.#closed) throw new BlockError('ESHUTDOWN', `'${this.filename}' is closed`);
    this.#connecting ??= this.reconnect()
      .then((connection) => {
        if (connection.size < this.length) {
          connection.stream.close();
          throw new BlockError('EIO', `'${this.filename}' has become shorter`);
        }
        this.#connection = connection;
        void this.#receive(connection);
        return connection;
      })
      .catch((error: unknown) => {
        throw error instanceof BlockError
          ? error
          : new BlockError('EIO', error instanceof Error ? error.message : String(error));
      })
      .finally(() => {
        this.#connecting = null;
      });
    return this.#connecting;
  }

  async #receive(connection: Connection): Promise<void> {
    try {
      for (;;) await this.#reply(connection);
    } catch (error) {
      connection.stream.close();
      if (this.#connection === connection) this.#connection = null;
      const failure = error instanceof BlockError ? error : new BlockError('EIO', String(error));
      const waiting = [...this.#pending.values()];
      this.#pending.clear();
      for (const p of waiting)
        p.reject(new BlockError('EIO', `the connection to '${this.filename}' is lost: ${failure.message}`));
    }
  }

  async #reply({ stream, structured }: Connection): Promise<void> {
    const head = await stream.read(16);
    const magic = getU32be(head, 0);
    if (magic === SIMPLE_REPLY_MAGIC) {
      const handle = getU64be(head, 8);
      const pending = this.#take(handle);
      const error = getU32be(head, 4);
      if (error !== 0)
        pending.reject(new BlockError(errnoOf(error), `the server of '${this.filename}' reports error ${error}`));
      else {
        if (pending.into) pending.into.set(await stream.read(pending.into.length));
        pending.resolve();
      }
      return;
    }
    if (magic !== STRUCTURED_REPLY_MAGIC || !structured)
      throw new BlockError('EIO', 'the server sent something that is no reply');
    const length = getU32be(await stream.read(4), 0);
    if (length > MAX_REQUEST + 64) throw new BlockError('EIO', 'the server sent a reply that is too long');
    const body = await stream.read(length);
    const handle = getU64be(head, 8);
    const pending = this.#pending.get(handle);
    if (!pending) throw new BlockError('EIO', 'the server answered what was not asked');
    chunk(pending, getU16be(head, 6), body);
    if (!(getU16be(head, 4) & CHUNK_DONE)) return;
    this.#pending.delete(handle);
    if (pending.failure) pending.reject(pending.failure);
    else pending.resolve();
  }

  #take(handle: number): Pending {
    const pending = this.#pending.get(handle);
    if (!pending) throw new BlockError('EIO', 'the server answered what was not asked');
    this.#pending.delete(handle);
    return pending;
  }
}

function chunk(pending: Pending, type: number, body: Uint8Array): void {
  const place = (length: number): number => {
    const at = getU64be(body, 0) - pending.offset;
    if (!pending.into || at < 0 || at + length > pending.into.length)
      throw new BlockError('EIO', 'the server sent data that was not asked for');
    return at;
  };
  switch (type) {
    case Chunk.NONE:
      return;
    case Chunk.OFFSET_DATA: {
      if (body.length < 8) throw new BlockError('EIO', 'the server sent a reply that is too short');
      const at = place(body.length - 8);
      pending.into!.set(body.subarray(8), at);
      return;
    }
    case Chunk.OFFSET_HOLE: {
      if (body.length !== 12) throw new BlockError('EIO', 'the server sent a reply of a wrong length');
      const length = getU32be(body, 8);
      const at = place(length);
      pending.into!.fill(0, at, at + length);
      return;
    }
    case Chunk.BLOCK_STATUS:
      pending.status ??= body.slice(4);
      return;
    default: {
      if (!(type & 0x8000)) throw new BlockError('EIO', 'the server sent a reply of an unknown kind');
      const number = body.length >= 4 ? getU32be(body, 0) : 0;
      pending.failure ??= new BlockError(errnoOf(number), `the server reports error ${number}`);
    }
  }
}

function requestBytes(type: number, flags: number, handle: number, offset: number, length: number): Uint8Array {
  const bytes = new Uint8Array(28);
  putU32be(bytes, 0, REQUEST_MAGIC);
  putU16be(bytes, 4, flags);
  putU16be(bytes, 6, type);
  putU64be(bytes, 8, handle);
  putU64be(bytes, 16, offset);
  putU32be(bytes, 24, length);
  return bytes;
}

async function negotiate(stream: ByteStream, address: NbdAddress, tls: ClientTls | undefined): Promise<Connection> {
  const { exportName } = address;
  try {
    const hello = await stream.read(16);
    if (getU32be(hello, 0) !== NBDMAGIC[0] || getU32be(hello, 4) !== NBDMAGIC[1])
      throw new UserError('the server does not speak NBD');
    if (getU32be(hello, 8) !== IHAVEOPT[0] || getU32be(hello, 12) !== IHAVEOPT[1])
      throw new UserError('the server speaks an NBD that is too old');
    const flags = getU16be(await stream.read(2), 0);
    if (!(flags & Handshake.FIXED_NEWSTYLE)) throw new UserError('the server speaks an NBD that is too old');
    const answer = new Uint8Array(4);
    putU32be(answer, 0, flags & (Handshake.FIXED_NEWSTYLE | Handshake.NO_ZEROES));
    await stream.write(answer);
    if (tls) stream = await encrypted(stream, tls, address);
    const structured = (await ask(stream, Option.STRUCTURED_REPLY, new Uint8Array(0), () => {})) === Reply.ACK;
    const name = utf8.encode(exportName);
    let allocationContext: number | null = null;
    if (structured) {
      const context = utf8.encode(BASE_ALLOCATION);
      const data = new Uint8Array(4 + name.length + 4 + 4 + context.length);
      putU32be(data, 0, name.length);
      data.set(name, 4);
      putU32be(data, 4 + name.length, 1);
      putU32be(data, 8 + name.length, context.length);
      data.set(context, 12 + name.length);
      await ask(stream, Option.SET_META_CONTEXT, data, (type, body) => {
        if (type === Reply.META_CONTEXT && body.length >= 4) allocationContext = getU32be(body, 0);
      });
    }
    let size = -1;
    let transmission = 0;
    const go = new Uint8Array(4 + name.length + 2);
    putU32be(go, 0, name.length);
    go.set(name, 4);
    const result = await ask(stream, Option.GO, go, (type, body) => {
      if (type !== Reply.INFO || body.length < 12 || getU16be(body, 0) !== Info.EXPORT) return;
      size = getU64be(body, 2);
      transmission = getU16be(body, 10);
    });
    if (result === Reply.ERR_TLS_REQD) throw new UserError('Server requires TLS: give tls-creds');
    if (result === Reply.ERR_UNKNOWN) throw new UserError(`Requested export not available: '${exportName}'`);
    if (result !== Reply.ACK) throw new UserError(`the server refuses the export '${exportName}'`);
    if (size < 0 || size > 2 ** 53) throw new UserError('the server did not tell how long the export is');
    return { stream, size, flags: transmission, structured, allocationContext };
  } catch (error) {
    stream.close();
    throw error;
  }
}

async function encrypted(stream: ByteStream, tls: ClientTls, address: NbdAddress): Promise<ByteStream> {
  const hostname = tls.hostname ?? address.host;
  const reply = await ask(stream, Option.STARTTLS, new Uint8Array(0), () => {});
  if (reply !== Reply.ACK || !stream.secure)
    throw new UserError('Server does not support STARTTLS: leave out tls-creds');
  return stream.secure(tls.credentials, hostname);
}

/** Sends an option; gives the type of the last reply. */
async function ask(
  stream: ByteStream,
  option: number,
  data: Uint8Array,
  each: (type: number, body: Uint8Array) => void,
): Promise<number> {
  const message = new Uint8Array(16 + data.length);
  putU32be(message, 0, IHAVEOPT[0]);
  putU32be(message, 4, IHAVEOPT[1]);
  putU32be(message, 8, option);
  putU32be(message, 12, data.length);
  message.set(data, 16);
  await stream.write(message);
  for (let n = 0; n < 1000; n++) {
    const head = await stream.read(20);
    if (
      getU32be(head, 0) !== OPTION_REPLY[0] ||
      getU32be(head, 4) !== OPTION_REPLY[1] ||
      getU32be(head, 8) !== option
    ) {
      throw new UserError('the NBD server sent a reply that was not expected');
    }
    const length = getU32be(head, 16);
    if (length > MAX_OPTION) throw new UserError('the NBD server sent a reply that is too long');
    const body = await stream.read(length);
    const type = getU32be(head, 12);
    each(type, body);
    if (type === Reply.ACK || type & 0x80000000) return type;
  }
  throw new UserError('the NBD server sends replies without end');
}
