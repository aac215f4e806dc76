/** A folder in memory for tests. */
import {
  FolderError,
  type FolderFile,
  type FolderPath,
  type FolderSpace,
  type FolderStat,
  type HostFolder,
  Mode,
  type OpenMode,
} from '../../../machine/host-folder.js';

interface Entry {
  readonly inode: bigint;
  mode: number;
  uid: number;
  gid: number;
  bytes: Uint8Array;
  target: string;
  readonly children: Map<string, Entry>;
  accessed: bigint;
  modified: bigint;
}

/** Files of a test do not grow beyond this. */
const MOST_BYTES = 1 << 20;

export class MemoryFolder implements HostFolder {
  readonly readOnly = false;
  #inodes = 1n;
  readonly #root = this.#entry(Mode.folder | 0o755);

  stat(path: FolderPath): FolderStat {
    return this.#stat(this.#find(path));
  }

  list(path: FolderPath): readonly string[] {
    return [...this.#find(path).children.keys()];
  }

  open(path: FolderPath, mode: OpenMode): FolderFile {
    const folder = this.#find(path.slice(0, -1));
    let entry = path.length === 0 ? folder : folder.children.get(path.at(-1)!);
    if (entry && mode.create?.exclusive) throw new FolderError('EEXIST');
    if (!entry && mode.create) entry = this.#put(path, Mode.file | mode.create.permissions);
    if (!entry) throw new FolderError('ENOENT');
    if (mode.truncate) entry.bytes = new Uint8Array(0);
    const file = entry;
    return {
      read: (position, into) => {
        const part = file.bytes.subarray(position, position + into.length);
        into.set(part);
        return part.length;
      },
      write: (position, from) => {
        if (!(position + from.length <= MOST_BYTES)) throw new FolderError('EFBIG');
        const grown = new Uint8Array(Math.max(file.bytes.length, position + from.length));
        grown.set(file.bytes);
        grown.set(from, position);
        file.bytes = grown;
        return from.length;
      },
      sync() {},
      stat: () => this.#stat(file),
      close() {},
    };
  }

  makeFolder(path: FolderPath, permissions: number): void {
    this.#put(path, Mode.folder | permissions);
  }

  makeSymbolicLink(path: FolderPath, target: string): void {
    this.#put(path, Mode.symbolicLink | 0o777).target = target;
  }

  readLink(path: FolderPath): string {
    return this.#find(path).target;
  }

  makeLink(existing: FolderPath, path: FolderPath): void {
    const entry = this.#find(existing);
    this.#find(path.slice(0, -1)).children.set(path.at(-1)!, entry);
  }

  makeNode(path: FolderPath, mode: number): void {
    this.#put(path, mode);
  }

  rename(from: FolderPath, to: FolderPath): void {
    const entry = this.#find(from);
    this.#find(from.slice(0, -1)).children.delete(from.at(-1)!);
    this.#find(to.slice(0, -1)).children.set(to.at(-1)!, entry);
  }

  remove(path: FolderPath, folder: boolean): void {
    const entry = this.#find(path);
    const isFolder = (entry.mode & Mode.type) === Mode.folder;
    if (isFolder !== folder) throw new FolderError(folder ? 'ENOTDIR' : 'EISDIR');
    if (entry.children.size > 0) throw new FolderError('ENOTEMPTY');
    this.#find(path.slice(0, -1)).children.delete(path.at(-1)!);
  }

  setMode(path: FolderPath, mode: number): void {
    const entry = this.#find(path);
    entry.mode = (entry.mode & Mode.type) | (mode & Mode.permissions);
  }

  setOwner(path: FolderPath, uid: number, gid: number): void {
    const entry = this.#find(path);
    if (uid >= 0) entry.uid = uid;
    if (gid >= 0) entry.gid = gid;
  }

  setSize(path: FolderPath, size: number): void {
    if (!(size <= MOST_BYTES)) throw new FolderError('EFBIG');
    const entry = this.#find(path);
    const bytes = new Uint8Array(size);
    bytes.set(entry.bytes.subarray(0, size));
    entry.bytes = bytes;
  }

  setTimes(path: FolderPath, accessed: bigint, modified: bigint): void {
    Object.assign(this.#find(path), { accessed, modified });
  }

  space(): FolderSpace {
    return { blockSize: 4096, blocks: 100, free: 50, available: 40, files: 10, filesFree: 5 };
  }

  #entry(mode: number): Entry {
    const inode = this.#inodes++;
    return {
      inode,
      mode,
      uid: 0,
      gid: 0,
      bytes: new Uint8Array(0),
      target: '',
      children: new Map(),
      accessed: 0n,
      modified: inode,
    };
  }

  #put(path: FolderPath, mode: number): Entry {
    const folder = this.#find(path.slice(0, -1));
    if (folder.children.has(path.at(-1)!)) throw new FolderError('EEXIST');
    const entry = this.#entry(mode);
    folder.children.set(path.at(-1)!, entry);
    return entry;
  }

  #find(path: FolderPath): Entry {
    let at = this.#root;
    for (const name of path) {
      if ((at.mode & Mode.type) !== Mode.folder) throw new FolderError('ENOTDIR');
      const next = at.children.get(name);
      if (!next) throw new FolderError('ENOENT');
      at = next;
    }
    return at;
  }

  #stat(entry: Entry): FolderStat {
    return {
      mode: entry.mode,
      uid: entry.uid,
      gid: entry.gid,
      links: 1,
      device: 0,
      inode: entry.inode,
      size: entry.bytes.length,
      blockSize: 4096,
      blocks: Math.ceil(entry.bytes.length / 512),
      accessed: entry.accessed,
      modified: entry.modified,
      changed: entry.modified,
    };
  }
}
