/** A folder of the host, as a file server in the machine works with it. Paths are lists of names below the folder's root. */
import { UserError } from '../base/errors.js';

export type FolderPath = readonly string[];

/** What went wrong, as errno names it: `ENOENT`. */
export class FolderError extends Error {
  constructor(readonly code: string) {
    super(code);
  }
}

/** As lstat tells. Times in ns since 1970. */
export interface FolderStat {
  /** Type and permissions, as in Linux's st_mode. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly links: number;
  readonly device: number;
  readonly inode: bigint;
  readonly size: number;
  readonly blockSize: number;
  readonly blocks: number;
  readonly accessed: bigint;
  readonly modified: bigint;
  readonly changed: bigint;
}

export interface FolderSpace {
  readonly blockSize: number;
  readonly blocks: number;
  readonly free: number;
  readonly available: number;
  readonly files: number;
  readonly filesFree: number;
}

export interface FolderFile {
  read(position: number, into: Uint8Array): number;
  write(position: number, from: Uint8Array): number;
  sync(): void;
  stat(): FolderStat;
  close(): void;
}

export interface OpenMode {
  readonly read: boolean;
  readonly write: boolean;
  readonly truncate?: boolean;
  /** Make it, with these permissions; `exclusive`: it may not be there. */
  readonly create?: { readonly permissions: number; readonly exclusive: boolean };
}

/** All operations throw `FolderError`. None follows a symbolic link, neither at a path's end nor on the way there. */
export interface HostFolder {
  readonly readOnly: boolean;
  stat(path: FolderPath): FolderStat;
  list(path: FolderPath): readonly string[];
  open(path: FolderPath, mode: OpenMode): FolderFile;
  makeFolder(path: FolderPath, permissions: number): void;
  makeSymbolicLink(path: FolderPath, target: string): void;
  readLink(path: FolderPath): string;
  makeLink(existing: FolderPath, path: FolderPath): void;
  /** A device node, FIFO or socket. */
  makeNode(path: FolderPath, mode: number, device: number): void;
  rename(from: FolderPath, to: FolderPath): void;
  remove(path: FolderPath, folder: boolean): void;
  setMode(path: FolderPath, mode: number): void;
  /** -1 leaves one as it is. */
  setOwner(path: FolderPath, uid: number, gid: number): void;
  setSize(path: FolderPath, size: number): void;
  /** In ns since 1970. */
  setTimes(path: FolderPath, accessed: bigint, modified: bigint): void;
  space(): FolderSpace;
}

/** What a device with an `fsdev` property is given. */
export interface FolderContext {
  /** The folder with this id (`-fsdev`). Throws UserError for unknown ids. */
  folder(id: string): HostFolder;
}

export const noFolders: FolderContext = {
  folder: (id) => {
    throw new UserError(`fsdev '${id}' not found: define it with -fsdev`);
  },
};

/** Parts of a mode. */
export const Mode = {
  type: 0o170000,
  socket: 0o140000,
  symbolicLink: 0o120000,
  file: 0o100000,
  block: 0o060000,
  folder: 0o040000,
  character: 0o020000,
  fifo: 0o010000,
  permissions: 0o7777,
} as const;
