/** Serves a folder of the host by 9P2000.L. Names and numbers are those of Linux's include/net/9p/9p.h. */

import { UserError } from '../../../base/errors.js';
import {
  FolderError,
  type FolderFile,
  type FolderPath,
  type FolderStat,
  type HostFolder,
  Mode,
} from '../../../machine/host-folder.js';
import { type DeviceState, type Stateful, type StateValue, stateOf } from '../../../machine/state.js';
import { errno, HEADER_BYTES, MessageReader, MessageWriter, ShortMessage, Type } from './message.js';

const VERSION = '9P2000.L';
export const MOST_MESSAGE_BYTES = 512 * 1024;
const SMALLEST_MESSAGE_BYTES = 4096;
/** What a guest may hold at a time, so that it cannot use the host up. */
const MOST_FIDS = 8192;
const MOST_OPEN = 512;
const MOST_WALK = 16;
const NO_FID = 0xffff_ffff;

const Qid = { folder: 0x80, symbolicLink: 0x02, file: 0 } as const;
const QID_BYTES = 13;
const DIRENT_HEAD = QID_BYTES + 8 + 1 + 2;
const Open = { access: 3, writeOnly: 1, readWrite: 2, exclusive: 0x80, truncate: 0x200, folder: 0x1_0000 } as const;
/** Of getattr's answer: all that stat tells. */
const BASIC = 0x07ff;
const Attribute = {
  mode: 1,
  uid: 2,
  gid: 4,
  size: 8,
  accessed: 0x10,
  modified: 0x20,
  accessedTo: 0x80,
  modifiedTo: 0x100,
} as const;
const REMOVE_FOLDER = 0x200;
const LOCK_SUCCESS = 0;
const UNLOCKED = 2;
const NS = 1_000_000_000n;
const STATFS_TYPE = 0x0102_1997;
const MOST_NAME = 255;

interface Fid {
  path: FolderPath;
  file: FolderFile | undefined;
  /** How it was opened; -1: not. */
  flags: number;
  /** What a folder held when its listing began. */
  entries: readonly string[] | undefined;
}

const isName = (name: StateValue): boolean =>
  typeof name === 'string' && name !== '' && name !== '.' && name !== '..' && !/[/\0]/.test(name);

/** Number, flags, path; what is loaded may come from anywhere. */
const isSavedFid = (value: StateValue): boolean => {
  if (!Array.isArray(value)) return false;
  const [number, flags, ...path] = value as readonly StateValue[];
  return Number.isInteger(number) && Number.isInteger(flags) && path.every(isName);
};

type Handler = (r: MessageReader, w: MessageWriter) => void;

export class NinepServer implements Stateful {
  messageBytes = MOST_MESSAGE_BYTES;
  readonly #fids = new Map<number, Fid>();
  /** For saved machines: number, flags, path. */
  saved: (readonly [number, number, ...string[]])[] = [];
  /** Time that the host's clock shows, in ns since 1970. */
  readonly #state = stateOf<NinepServer>(this, 1, ['messageBytes', 'saved'], () => this.#reopen());

  constructor(
    private readonly folder: HostFolder,
    private readonly now: () => number,
  ) {}

  reset(): void {
    for (const fid of this.#fids.values()) this.#closeFile(fid);
    this.#fids.clear();
    this.saved = [];
    this.messageBytes = MOST_MESSAGE_BYTES;
  }

  save(): DeviceState {
    this.saved = Array.from(this.#fids, ([number, { flags, path }]) => [number, flags, ...path]);
    const state = this.#state.save();
    this.saved = [];
    return state;
  }

  load(state: DeviceState): void {
    this.reset();
    const saved = state.fields['saved'];
    if (!Array.isArray(saved) || !(saved as readonly StateValue[]).every(isSavedFid)) {
      throw new UserError(`saved state of 'saved' does not fit`);
    }
    this.#state.load(state);
  }

  /** Answers one message; undefined for one that is none. */
  handle(request: Uint8Array): Uint8Array | undefined {
    if (request.length < HEADER_BYTES) return undefined;
    const r = new MessageReader(request);
    r.u32();
    const type = r.u8();
    const tag = r.u16();
    const w = new MessageWriter();
    try {
      const handler = this.#handlers[type];
      if (!handler) throw new FolderError('EOPNOTSUPP');
      handler(r, w);
      return w.finish(type + 1, tag);
    } catch (error) {
      const code = error instanceof FolderError ? error.code : error instanceof ShortMessage ? 'EINVAL' : undefined;
      if (code === undefined) throw error;
      return new MessageWriter().u32(errno(code)).finish(Type.error, tag);
    }
  }

  readonly #handlers: Readonly<Record<number, Handler>> = {
    [Type.version]: (r, w) => {
      const asked = r.u32();
      const version = r.text();
      this.reset();
      this.messageBytes = Math.min(Math.max(asked, SMALLEST_MESSAGE_BYTES), MOST_MESSAGE_BYTES);
      w.u32(this.messageBytes).text(version === VERSION ? VERSION : 'unknown');
    },
    [Type.attach]: (r, w) => {
      const number = r.u32();
      const path: FolderPath = [];
      const stat = this.folder.stat(path);
      this.#add(number, path);
      this.#qid(w, stat);
    },
    [Type.flush]: () => {},
    [Type.walk]: (r, w) => this.#walk(r, w),
    [Type.clunk]: (r) => {
      const number = r.u32();
      const fid = this.#fid(number);
      this.#fids.delete(number);
      this.#closeFile(fid);
    },
    [Type.remove]: (r) => {
      const number = r.u32();
      const fid = this.#fid(number);
      this.#fids.delete(number);
      this.#closeFile(fid);
      this.folder.remove(this.#child(fid.path), (this.folder.stat(fid.path).mode & Mode.type) === Mode.folder);
    },
    [Type.getattr]: (r, w) => this.#getattr(r, w),
    [Type.setattr]: (r) => this.#setattr(r),
    [Type.statfs]: (_r, w) => {
      const s = this.folder.space();
      w.u32(STATFS_TYPE).u32(s.blockSize).u64(s.blocks).u64(s.free).u64(s.available);
      w.u64(s.files).u64(s.filesFree).u64(0).u32(MOST_NAME);
    },
    [Type.lopen]: (r, w) => {
      const fid = this.#fid(r.u32());
      const flags = r.u32();
      const stat = this.folder.stat(fid.path);
      this.#open(fid, flags, stat);
      this.#qid(w, stat);
      w.u32(0);
    },
    [Type.lcreate]: (r, w) => {
      const fid = this.#fid(r.u32());
      const path = this.#child(fid.path, r.text());
      const flags = r.u32();
      const permissions = r.u32() & Mode.permissions;
      this.#checkOpenable(fid);
      const exclusive = (flags & Open.exclusive) !== 0;
      const file = this.folder.open(path, { ...access(flags), create: { permissions, exclusive } });
      fid.path = path;
      fid.file = file;
      fid.flags = flags & Open.access;
      this.#qid(w, file.stat());
      w.u32(0);
    },
    [Type.read]: (r, w) => {
      const { file } = this.#fid(r.u32());
      const position = r.u64();
      const into = new Uint8Array(this.#room(r.u32(), 4));
      if (!file) throw new FolderError('EBADF');
      const bytes = file.read(position, into);
      w.u32(bytes).data(into.subarray(0, bytes));
    },
    [Type.write]: (r, w) => {
      const { file } = this.#fid(r.u32());
      const position = r.u64();
      const data = r.data(r.u32());
      if (!file) throw new FolderError('EBADF');
      w.u32(data.length > 0 ? file.write(position, data) : 0);
    },
    [Type.fsync]: (r) => this.#fid(r.u32()).file?.sync(),
    [Type.readdir]: (r, w) => this.#readdir(r, w),
    [Type.readlink]: (r, w) => {
      w.text(this.folder.readLink(this.#fid(r.u32()).path));
    },
    [Type.mkdir]: (r, w) => {
      const path = this.#child(this.#fid(r.u32()).path, r.text());
      this.folder.makeFolder(path, r.u32() & Mode.permissions);
      this.#made(path, r.u32(), w);
    },
    [Type.symlink]: (r, w) => {
      const path = this.#child(this.#fid(r.u32()).path, r.text());
      this.folder.makeSymbolicLink(path, r.text());
      this.#made(path, r.u32(), w);
    },
    [Type.mknod]: (r, w) => {
      const path = this.#child(this.#fid(r.u32()).path, r.text());
      const mode = r.u32();
      const [major, minor] = [r.u32(), r.u32()];
      this.folder.makeNode(path, mode, ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0);
      this.#made(path, r.u32(), w);
    },
    [Type.link]: (r) => {
      const folder = this.#fid(r.u32());
      const existing = this.#fid(r.u32());
      this.folder.makeLink(existing.path, this.#child(folder.path, r.text()));
    },
    [Type.rename]: (r) => {
      const fid = this.#fid(r.u32());
      const folder = this.#fid(r.u32());
      this.#rename(fid.path, this.#child(folder.path, r.text()));
    },
    [Type.renameat]: (r) => {
      const from = this.#child(this.#fid(r.u32()).path, r.text());
      this.#rename(from, this.#child(this.#fid(r.u32()).path, r.text()));
    },
    [Type.unlinkat]: (r) => {
      const path = this.#child(this.#fid(r.u32()).path, r.text());
      this.folder.remove(path, (r.u32() & REMOVE_FOLDER) !== 0);
    },
    // Locks are the guest's own: nobody else sees them.
    [Type.lock]: (r, w) => {
      this.#fid(r.u32());
      w.u8(LOCK_SUCCESS);
    },
    [Type.getlock]: (r, w) => {
      this.#fid(r.u32());
      r.u8();
      const [start, length, process] = [r.u64(), r.u64(), r.u32()];
      w.u8(UNLOCKED).u64(start).u64(length).u32(process).text(r.text());
    },
  };

  #fid(number: number): Fid {
    const fid = this.#fids.get(number);
    if (!fid) throw new FolderError('EBADF');
    return fid;
  }

  #add(number: number, path: FolderPath): Fid {
    if (number === NO_FID || this.#fids.has(number)) throw new FolderError('EINVAL');
    if (this.#fids.size >= MOST_FIDS) throw new FolderError('ENFILE');
    const fid: Fid = { path, file: undefined, flags: -1, entries: undefined };
    this.#fids.set(number, fid);
    return fid;
  }

  #closeFile(fid: Fid): void {
    const { file } = fid;
    fid.file = undefined;
    try {
      file?.close();
    } catch (error) {
      if (!(error instanceof FolderError)) throw error;
    }
  }

  /** The path of `name` in a folder; without a name, of something that is not the root itself. */
  #child(path: FolderPath, name?: string): FolderPath {
    if (name === undefined) {
      if (path.length === 0) throw new FolderError('EBUSY');
      return path;
    }
    if (name === '' || name === '.' || name === '..' || name.includes('/')) throw new FolderError('EINVAL');
    return [...path, name];
  }

  /** How many bytes of data fit into an answer beside `head` bytes of its own. */
  #room(asked: number, head: number): number {
    return Math.min(asked, this.messageBytes - HEADER_BYTES - head);
  }

  #walk(r: MessageReader, w: MessageWriter): void {
    const from = this.#fid(r.u32());
    const number = r.u32();
    const steps = r.u16();
    if (steps > MOST_WALK) throw new FolderError('EINVAL');
    let path = from.path;
    const stats: FolderStat[] = [];
    for (let i = 0; i < steps; i++) {
      const name = r.text();
      try {
        path = name === '..' ? path.slice(0, -1) : this.#child(path, name);
        stats.push(this.folder.stat(path));
      } catch (error) {
        // A walk that fails at its first step is an error, one that fails later tells how far it came.
        if (i === 0 || !(error instanceof FolderError)) throw error;
        break;
      }
    }
    if (stats.length === steps) {
      if (this.#fids.get(number) === from) from.path = path;
      else this.#add(number, path);
    }
    w.u16(stats.length);
    for (const stat of stats) this.#qid(w, stat);
  }

  #checkOpenable(fid: Fid): void {
    if (fid.flags >= 0) throw new FolderError('EINVAL');
    let open = 0;
    for (const { file } of this.#fids.values()) if (file) open++;
    if (open >= MOST_OPEN) throw new FolderError('EMFILE');
  }

  #open(fid: Fid, flags: number, stat: FolderStat): void {
    this.#checkOpenable(fid);
    const folder = (stat.mode & Mode.type) === Mode.folder;
    if (folder) fid.entries = this.folder.list(fid.path);
    else if (flags & Open.folder) throw new FolderError('ENOTDIR');
    else fid.file = this.folder.open(fid.path, access(flags));
    fid.flags = flags & Open.access;
  }

  #stat(fid: Fid): FolderStat {
    return fid.file ? fid.file.stat() : this.folder.stat(fid.path);
  }

  #getattr(r: MessageReader, w: MessageWriter): void {
    const stat = this.#stat(this.#fid(r.u32()));
    w.u64(BASIC);
    this.#qid(w, stat);
    w.u32(stat.mode).u32(stat.uid).u32(stat.gid).u64(stat.links).u64(stat.device).u64(stat.size);
    w.u64(stat.blockSize).u64(stat.blocks);
    for (const time of [stat.accessed, stat.modified, stat.changed]) w.u64(time / NS).u64(time % NS);
    // Birth, generation and data version are not told.
    w.u64(0).u64(0).u64(0).u64(0);
  }

  #setattr(r: MessageReader): void {
    const fid = this.#fid(r.u32());
    const valid = r.u32();
    const [mode, uid, gid, size] = [r.u32(), r.u32(), r.u32(), r.u64()];
    const time = (): bigint => BigInt(r.u64()) * NS + BigInt(r.u64());
    const [accessed, modified] = [time(), time()];
    const { path } = fid;
    if (valid & Attribute.mode) this.folder.setMode(path, mode);
    if (valid & (Attribute.uid | Attribute.gid)) {
      this.folder.setOwner(path, valid & Attribute.uid ? uid : -1, valid & Attribute.gid ? gid : -1);
    }
    if (valid & Attribute.size) this.folder.setSize(path, size);
    if (valid & (Attribute.accessed | Attribute.modified)) {
      const stat = this.folder.stat(path);
      const now = BigInt(Math.floor(this.now()));
      const chosen = (which: number, given: number, to: bigint, before: bigint): bigint =>
        valid & which ? (valid & given ? to : now) : before;
      this.folder.setTimes(
        path,
        chosen(Attribute.accessed, Attribute.accessedTo, accessed, stat.accessed),
        chosen(Attribute.modified, Attribute.modifiedTo, modified, stat.modified),
      );
    }
  }

  #readdir(r: MessageReader, w: MessageWriter): void {
    const fid = this.#fid(r.u32());
    const offset = r.u64();
    const room = this.#room(r.u32(), 4);
    if (!fid.entries) throw new FolderError('EBADF');
    if (offset === 0) fid.entries = this.folder.list(fid.path);
    const names = ['.', '..', ...fid.entries];
    const entries = new MessageWriter();
    for (let i = offset; i < names.length; i++) {
      const name = names[i]!;
      const path = name === '.' ? fid.path : name === '..' ? fid.path.slice(0, -1) : [...fid.path, name];
      const bytes = DIRENT_HEAD + new TextEncoder().encode(name).length;
      if (entries.length - HEADER_BYTES + bytes > room) break;
      let stat: FolderStat;
      try {
        stat = this.folder.stat(path);
      } catch (error) {
        // It went since the listing began.
        if (error instanceof FolderError) continue;
        throw error;
      }
      this.#qid(entries, stat);
      entries
        .u64(i + 1)
        .u8((stat.mode & Mode.type) >> 12)
        .text(name);
    }
    const bytes = entries.finish(0, 0).subarray(HEADER_BYTES);
    w.u32(bytes.length).data(bytes);
  }

  #made(path: FolderPath, gid: number, w: MessageWriter): void {
    this.folder.setOwner(path, -1, gid);
    this.#qid(w, this.folder.stat(path));
  }

  #rename(from: FolderPath, to: FolderPath): void {
    if (from.length === 0) throw new FolderError('EBUSY');
    this.folder.rename(from, to);
    for (const fid of this.#fids.values()) {
      if (from.every((name, i) => fid.path[i] === name)) fid.path = [...to, ...fid.path.slice(from.length)];
    }
  }

  #qid(w: MessageWriter, stat: FolderStat): void {
    const type = stat.mode & Mode.type;
    w.u8(type === Mode.folder ? Qid.folder : type === Mode.symbolicLink ? Qid.symbolicLink : Qid.file);
    w.u32(Number(BigInt.asUintN(32, stat.modified ^ (BigInt(stat.size) << 8n)))).u64(stat.inode);
  }

  /** After a load: opens again what was open. What is gone by now answers EBADF. */
  #reopen(): void {
    for (const [number, flags, ...path] of this.saved) {
      const fid = this.#add(number, path);
      try {
        if (flags >= 0) this.#open(fid, flags, this.folder.stat(path));
      } catch (error) {
        if (!(error instanceof FolderError)) throw error;
        fid.flags = flags;
      }
    }
    this.saved = [];
  }
}

const access = (flags: number): { read: boolean; write: boolean; truncate: boolean } => ({
  read: (flags & Open.access) !== Open.writeOnly,
  write: (flags & Open.access) === Open.writeOnly || (flags & Open.access) === Open.readWrite,
  truncate: (flags & Open.truncate) !== 0,
});
