/**
 * A host folder whose owners, modes and special files are the guest's alone: they are kept in files of `.virtfs_metadata`
 * folders beside the files, as QEMU's security model `mapped-file` keeps them.
 */
import {
  FolderError,
  type FolderFile,
  type FolderPath,
  type FolderSpace,
  type FolderStat,
  type HostFolder,
  Mode,
  type OpenMode,
} from './host-folder.js';

export const METADATA_FOLDER = '.virtfs_metadata';
/** What the host sees of everything: the emulator's user may read and write it. */
const FILE_PERMISSIONS = 0o600;
const FOLDER_PERMISSIONS = 0o700;
const MOST_METADATA_BYTES = 400;
const MOST_LINK_BYTES = 4096;

interface Metadata {
  uid?: number;
  gid?: number;
  mode?: number;
  rdev?: number;
}

export class MappedFolder implements HostFolder {
  constructor(private readonly folder: HostFolder) {}

  get readOnly(): boolean {
    return this.folder.readOnly;
  }

  stat(path: FolderPath): FolderStat {
    checkName(path);
    return this.#mapped(this.folder.stat(path), path);
  }

  list(path: FolderPath): readonly string[] {
    checkName(path);
    return this.folder.list(path).filter((name) => name !== METADATA_FOLDER);
  }

  open(path: FolderPath, mode: OpenMode): FolderFile {
    checkName(path);
    const { create } = mode;
    if (!create) return this.#wrap(this.folder.open(path, mode), path);
    const file = this.folder.open(path, { ...mode, create: { ...create, permissions: FILE_PERMISSIONS } });
    this.#write(path, { mode: Mode.file | create.permissions });
    return this.#wrap(file, path);
  }

  makeFolder(path: FolderPath, permissions: number): void {
    checkName(path);
    this.folder.makeFolder(path, FOLDER_PERMISSIONS);
    this.#write(path, { mode: Mode.folder | permissions });
  }

  /** A link is a file that holds its target. */
  makeSymbolicLink(path: FolderPath, target: string): void {
    checkName(path);
    this.#newFile(path, new TextEncoder().encode(target));
    this.#write(path, { mode: Mode.symbolicLink | 0o777 });
  }

  readLink(path: FolderPath): string {
    checkName(path);
    const file = this.folder.open(path, { read: true, write: false });
    try {
      const bytes = new Uint8Array(MOST_LINK_BYTES);
      return new TextDecoder().decode(bytes.subarray(0, file.read(0, bytes)));
    } finally {
      file.close();
    }
  }

  makeLink(existing: FolderPath, path: FolderPath): void {
    checkName(path);
    this.folder.makeLink(existing, path);
    this.#write(path, this.#read(existing));
  }

  makeNode(path: FolderPath, mode: number, device: number): void {
    checkName(path);
    this.#newFile(path, new Uint8Array(0));
    this.#write(path, { mode, rdev: device });
  }

  rename(from: FolderPath, to: FolderPath): void {
    checkName(from);
    checkName(to);
    const metadata = this.#read(from);
    this.folder.rename(from, to);
    this.#forget(from);
    this.#forget(to);
    this.#write(to, metadata);
  }

  remove(path: FolderPath, folder: boolean): void {
    checkName(path);
    // The folder's own metadata would keep it from being empty.
    if (folder && this.list(path).length === 0) this.#removeMetadataOf(path);
    this.folder.remove(path, folder);
    this.#forget(path);
  }

  setMode(path: FolderPath, mode: number): void {
    checkName(path);
    const type = this.stat(path).mode & Mode.type;
    this.#write(path, { mode: type | (mode & Mode.permissions) });
  }

  setOwner(path: FolderPath, uid: number, gid: number): void {
    checkName(path);
    this.#write(path, { ...(uid >= 0 && { uid }), ...(gid >= 0 && { gid }) });
  }

  setSize(path: FolderPath, size: number): void {
    checkName(path);
    this.folder.setSize(path, size);
  }

  setTimes(path: FolderPath, accessed: bigint, modified: bigint): void {
    checkName(path);
    this.folder.setTimes(path, accessed, modified);
  }

  space(): FolderSpace {
    return this.folder.space();
  }

  #wrap(file: FolderFile, path: FolderPath): FolderFile {
    return {
      read: (position, into) => file.read(position, into),
      write: (position, from) => file.write(position, from),
      sync: () => file.sync(),
      stat: () => this.#mapped(file.stat(), path),
      close: () => file.close(),
    };
  }

  #mapped(stat: FolderStat, path: FolderPath): FolderStat {
    const { uid, gid, mode, rdev } = this.#read(path);
    return {
      ...stat,
      ...(uid !== undefined && { uid }),
      ...(gid !== undefined && { gid }),
      ...(mode !== undefined && { mode }),
      ...(rdev !== undefined && { device: rdev }),
    };
  }

  #newFile(path: FolderPath, content: Uint8Array): void {
    const create = { permissions: FILE_PERMISSIONS, exclusive: true };
    const file = this.folder.open(path, { read: false, write: true, create });
    try {
      file.write(0, content);
    } finally {
      file.close();
    }
  }

  #place(path: FolderPath): FolderPath | undefined {
    const name = path.at(-1);
    return name === undefined ? undefined : [...path.slice(0, -1), METADATA_FOLDER, name];
  }

  #read(path: FolderPath): Metadata {
    const place = this.#place(path);
    if (!place) return {};
    const bytes = new Uint8Array(MOST_METADATA_BYTES);
    let text: string;
    try {
      const file = this.folder.open(place, { read: true, write: false });
      try {
        text = new TextDecoder().decode(bytes.subarray(0, file.read(0, bytes)));
      } finally {
        file.close();
      }
    } catch (error) {
      if (error instanceof FolderError) return {};
      throw error;
    }
    const metadata: Metadata = {};
    for (const [, key, value] of text.matchAll(/^virtfs\.(uid|gid|mode|rdev)=(\d+)$/gm)) {
      metadata[key as keyof Metadata] = Number(value);
    }
    return metadata;
  }

  #write(path: FolderPath, change: Metadata): void {
    const place = this.#place(path);
    if (!place) return;
    const all = { ...this.#read(path), ...change };
    const lines = Object.entries(all).map(([key, value]) => `virtfs.${key}=${value}\n`);
    if (lines.length === 0) return;
    try {
      this.folder.makeFolder(place.slice(0, -1), FOLDER_PERMISSIONS);
    } catch (error) {
      if (!(error instanceof FolderError) || error.code !== 'EEXIST') throw error;
    }
    const create = { permissions: FILE_PERMISSIONS, exclusive: false };
    const file = this.folder.open(place, { read: false, write: true, truncate: true, create });
    try {
      file.write(0, new TextEncoder().encode(lines.join('')));
    } finally {
      file.close();
    }
  }

  #forget(path: FolderPath): void {
    const place = this.#place(path);
    if (place) this.#quietly(() => this.folder.remove(place, false));
  }

  #removeMetadataOf(path: FolderPath): void {
    const place = [...path, METADATA_FOLDER];
    this.#quietly(() => {
      for (const name of this.folder.list(place)) this.folder.remove([...place, name], false);
      this.folder.remove(place, true);
    });
  }

  #quietly(action: () => void): void {
    try {
      action();
    } catch (error) {
      if (!(error instanceof FolderError)) throw error;
    }
  }
}

/** The guest neither sees nor touches where its metadata lie. */
function checkName(path: FolderPath): void {
  if (path.includes(METADATA_FOLDER)) throw new FolderError('ENOENT');
}
