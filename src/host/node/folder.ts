/** A folder of this host. No operation leaves it: names are single names, and symbolic links are never followed. */
import fs from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../../base/errors.js';
import {
  FolderError,
  type FolderFile,
  type FolderPath,
  type FolderSpace,
  type FolderStat,
  type HostFolder,
  Mode,
  type OpenMode,
} from '../../machine/host-folder.js';
import { hostReason } from './host-error.js';

const { O_RDONLY, O_WRONLY, O_RDWR, O_CREAT, O_EXCL, O_TRUNC, O_NOFOLLOW, O_NONBLOCK } = fs.constants;
const NS = 1_000_000_000n;

function attempt<T>(action: () => T): T {
  try {
    return action();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (typeof code === 'string' && /^E[A-Z0-9]+$/.test(code)) throw new FolderError(code);
    throw error;
  }
}

const toStat = (s: fs.BigIntStats): FolderStat => ({
  mode: Number(s.mode),
  uid: Number(s.uid),
  gid: Number(s.gid),
  links: Number(s.nlink),
  device: Number(s.rdev),
  inode: s.ino,
  size: Number(s.size),
  blockSize: Number(s.blksize),
  blocks: Number(s.blocks),
  accessed: s.atimeNs,
  modified: s.mtimeNs,
  changed: s.ctimeNs,
});

class HostFile implements FolderFile {
  constructor(private readonly fd: number) {}

  read(position: number, into: Uint8Array): number {
    return attempt(() => fs.readSync(this.fd, into, 0, into.length, position));
  }
  write(position: number, from: Uint8Array): number {
    return attempt(() => fs.writeSync(this.fd, from, 0, from.length, position));
  }
  sync(): void {
    attempt(() => fs.fsyncSync(this.fd));
  }
  stat(): FolderStat {
    return attempt(() => toStat(fs.fstatSync(this.fd, { bigint: true })));
  }
  close(): void {
    attempt(() => fs.closeSync(this.fd));
  }
}

export class NodeFolder implements HostFolder {
  readonly #root: string;

  /** `owned`: the guest's owners are given to files (as root only); otherwise changes of owners are passed over. */
  constructor(
    root: string,
    readonly readOnly: boolean,
    private readonly owned: boolean,
  ) {
    try {
      this.#root = fs.realpathSync(root);
      if (!fs.statSync(this.#root).isDirectory()) throw new UserError(`'${root}' is not a folder: check path=`);
    } catch (error) {
      if (error instanceof UserError) throw error;
      throw new UserError(`cannot initialize fsdev '${root}': ${hostReason(error)}: check path=`);
    }
  }

  stat(path: FolderPath): FolderStat {
    const at = this.#resolve(path);
    return attempt(() => toStat(fs.lstatSync(at, { bigint: true })));
  }

  list(path: FolderPath): readonly string[] {
    const at = this.#folder(path);
    return attempt(() => fs.readdirSync(at));
  }

  open(path: FolderPath, mode: OpenMode): FolderFile {
    const changes = mode.write || mode.truncate || mode.create !== undefined;
    if (changes) this.#checkWritable();
    const at = this.#resolve(path);
    // Opening a FIFO or a device of the host could do anything.
    const there = attempt(() => fs.lstatSync(at, { throwIfNoEntry: false }));
    if (there && !there.isFile() && !there.isDirectory())
      throw new FolderError(there.isSymbolicLink() ? 'ELOOP' : 'ENXIO');
    const access = mode.read && mode.write ? O_RDWR : mode.write ? O_WRONLY : O_RDONLY;
    const create = mode.create ? O_CREAT | (mode.create.exclusive ? O_EXCL : 0) : 0;
    const flags = access | create | (mode.truncate ? O_TRUNC : 0) | O_NOFOLLOW | O_NONBLOCK;
    return attempt(() => new HostFile(fs.openSync(at, flags, mode.create?.permissions ?? 0)));
  }

  makeFolder(path: FolderPath, permissions: number): void {
    this.#change(path, (at) => fs.mkdirSync(at, permissions));
  }

  makeSymbolicLink(path: FolderPath, target: string): void {
    this.#change(path, (at) => fs.symlinkSync(target, at));
  }

  readLink(path: FolderPath): string {
    const at = this.#resolve(path);
    return attempt(() => fs.readlinkSync(at));
  }

  makeLink(existing: FolderPath, path: FolderPath): void {
    const from = this.#resolve(existing);
    this.#change(path, (at) => fs.linkSync(from, at));
  }

  /** Node.js makes no special files. */
  makeNode(path: FolderPath, mode: number): void {
    if ((mode & Mode.type) !== Mode.file) throw new FolderError('EPERM');
    this.#change(path, (at) =>
      fs.closeSync(fs.openSync(at, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode & Mode.permissions)),
    );
  }

  rename(from: FolderPath, to: FolderPath): void {
    const source = this.#resolve(from);
    this.#change(to, (at) => fs.renameSync(source, at));
  }

  remove(path: FolderPath, folder: boolean): void {
    this.#change(path, (at) => (folder ? fs.rmdirSync(at) : fs.unlinkSync(at)));
  }

  setMode(path: FolderPath, mode: number): void {
    this.#change(path, (at) => {
      if (fs.lstatSync(at).isSymbolicLink()) throw new FolderError('EOPNOTSUPP');
      fs.chmodSync(at, mode & Mode.permissions);
    });
  }

  setOwner(path: FolderPath, uid: number, gid: number): void {
    this.#change(path, (at) => {
      const now = fs.lstatSync(at);
      if (this.owned) fs.lchownSync(at, uid < 0 ? now.uid : uid, gid < 0 ? now.gid : gid);
    });
  }

  setSize(path: FolderPath, size: number): void {
    this.#checkWritable();
    const file = this.#resolve(path);
    attempt(() => {
      const fd = fs.openSync(file, O_WRONLY | O_NOFOLLOW | O_NONBLOCK);
      try {
        fs.ftruncateSync(fd, size);
      } finally {
        fs.closeSync(fd);
      }
    });
  }

  setTimes(path: FolderPath, accessed: bigint, modified: bigint): void {
    const seconds = (ns: bigint): number => Number(ns / NS) + Number(ns % NS) / 1e9;
    this.#change(path, (at) => fs.lutimesSync(at, seconds(accessed), seconds(modified)));
  }

  space(): FolderSpace {
    return attempt(() => {
      const s = fs.statfsSync(this.#root);
      return {
        blockSize: s.bsize,
        blocks: s.blocks,
        free: s.bfree,
        available: s.bavail,
        files: s.files,
        filesFree: s.ffree,
      };
    });
  }

  #checkWritable(): void {
    if (this.readOnly) throw new FolderError('EROFS');
  }

  #change(path: FolderPath, action: (at: string) => void): void {
    this.#checkWritable();
    const at = this.#resolve(path);
    attempt(() => action(at));
  }

  /** The path of something whose folders are real folders. */
  #resolve(path: FolderPath): string {
    let at = this.#root;
    path.forEach((name, i) => {
      if (name === '' || name === '.' || name === '..' || name.includes('/') || name.includes('\0')) {
        throw new FolderError('EINVAL');
      }
      at = join(at, name);
      if (i + 1 < path.length && !attempt(() => fs.lstatSync(at)).isDirectory()) throw new FolderError('ENOTDIR');
    });
    return at;
  }

  #folder(path: FolderPath): string {
    const at = this.#resolve(path);
    if (!attempt(() => fs.lstatSync(at)).isDirectory()) throw new FolderError('ENOTDIR');
    return at;
  }
}
