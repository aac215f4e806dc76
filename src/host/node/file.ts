/** Files and block devices of the host as block nodes. */
import fs from 'node:fs';
import { UserError } from '../../base/errors.js';
import { type BlockErrno, BlockError, type BlockNode, type Completion } from '../../block/node.js';
import { hostReason } from './host-error.js';

const SECTOR = 512;

export interface FileOptions {
  readonly readOnly?: boolean;
}

/**
 * Reads and writes complete at once (they mostly hit the page cache, and a trip through the event loop costs more);
 * flushing runs beside the guest.
 */
export class FileNode implements BlockNode {
  readonly driver: string;
  readonly children = [];
  readonly readOnly: boolean;
  #length: number;
  #fd: number;

  constructor(
    readonly filename: string,
    options: FileOptions = {},
  ) {
    this.readOnly = options.readOnly ?? false;
    try {
      this.#fd = fs.openSync(filename, this.readOnly ? 'r' : 'r+');
      const stat = fs.fstatSync(this.#fd);
      if (stat.isDirectory()) throw new UserError(`Could not open '${filename}': Is a directory`);
      this.driver = stat.isBlockDevice() ? 'host_device' : 'file';
      this.#length = stat.isBlockDevice() ? blockDeviceBytes(stat.rdev) : stat.size;
    } catch (error) {
      if (error instanceof UserError) throw error;
      throw new UserError(`Could not open '${filename}': ${hostReason(error)}`);
    }
  }

  get length(): number {
    return this.#length;
  }

  read(offset: number, into: Uint8Array): Completion {
    try {
      let at = 0;
      while (at < into.length) {
        const n = fs.readSync(this.#fd, into, at, into.length - at, offset + at);
        if (n === 0) break;
        at += n;
      }
      into.fill(0, at);
    } catch (error) {
      throw this.#failure('reading', error);
    }
    return undefined;
  }

  write(offset: number, from: Uint8Array): Completion {
    try {
      let at = 0;
      while (at < from.length) at += fs.writeSync(this.#fd, from, at, from.length - at, offset + at);
      this.#length = Math.max(this.#length, offset + from.length);
    } catch (error) {
      throw this.#failure('writing', error);
    }
    return undefined;
  }

  flush(): Completion {
    return new Promise((resolve, reject) => {
      fs.fdatasync(this.#fd, (error) => (error ? reject(this.#failure('flushing', error)) : resolve()));
    });
  }

  /** Node.js cannot punch holes: the hint goes unused. */
  discard(): Completion {
    return undefined;
  }

  close(): void {
    if (this.#fd < 0) return;
    fs.closeSync(this.#fd);
    this.#fd = -1;
  }

  #failure(doing: string, error: unknown): BlockError {
    const code = (error as NodeJS.ErrnoException).code;
    const errno: BlockErrno = code === 'ENOSPC' || code === 'EDQUOT' ? 'ENOSPC' : code === 'EACCES' ? 'EACCES' : 'EIO';
    return new BlockError(errno, `${doing} '${this.filename}' failed: ${hostReason(error)}`);
  }
}

/** A file that is gone when it is closed, also when the process dies. */
export function temporaryFile(folder: string): FileNode {
  const name = `${fs.mkdtempSync(`${folder}/tinamou-`)}/overlay`;
  fs.writeFileSync(name, '');
  const node = new FileNode(name);
  fs.rmSync(name.slice(0, name.lastIndexOf('/')), { recursive: true });
  return node;
}

/** Linux tells the size of a block device, which its file does not, in sysfs. */
function blockDeviceBytes(device: number): number {
  const major = Math.floor(device / 256) & 0xfff;
  const minor = device & 0xff;
  return Number(fs.readFileSync(`/sys/dev/block/${major}:${minor}/size`, 'utf8')) * SECTOR;
}
