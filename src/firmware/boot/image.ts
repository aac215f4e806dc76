/** What the loaders share: the images they are given and how they complain. */
import { UserError } from '../../base/errors.js';
import type { GuestMemory, RamLayout } from '../platform.js';
import { tablesBase } from './memory-map.js';

/** A file's contents with the name to use in messages. */
export interface ImageFile {
  readonly path: string;
  readonly bytes: Uint8Array;
}
/** An initial RAM disk, or a multiboot or PVH module with its own command line. */
export interface BootModule extends ImageFile {
  readonly commandLine?: string;
}

export interface LoadRequest {
  readonly memory: GuestMemory;
  readonly ram: RamLayout;
  readonly kernel: ImageFile;
  readonly modules: readonly BootModule[];
  readonly commandLine: string;
  /** Whether the processor has long mode. */
  readonly longMode: boolean;
  /** Guest-physical address of the RSDP. */
  readonly rsdp: number;
  /** Text console set up in VGA mode 3. */
  readonly textConsole: boolean;
}

const MIB = 1 << 20;
const inMib = (bytes: number): string => `${Math.ceil(bytes / MIB)} MiB`;

/** Throws when the kernel would reach beyond the RAM that loaders may use. */
export function requireRam(request: Pick<LoadRequest, 'ram' | 'kernel'>, end: number): void {
  const limit = tablesBase(request.ram);
  if (end > limit)
    throw new UserError(
      `kernel '${request.kernel.path}' needs ${inMib(end + request.ram.below4g - limit)} of RAM, the machine has ${inMib(request.ram.below4g + request.ram.above4g)}: raise -m`,
    );
}

/** The one line a user sees for a file that is no loadable kernel. */
export const malformed = (file: ImageFile, what: string): UserError =>
  new UserError(`could not load kernel '${file.path}': ${what}`);

/** NUL-terminated Latin-1 as kernels read it. */
export function cString(value: string): Uint8Array {
  const bytes = new TextEncoder().encode(value);
  const out = new Uint8Array(bytes.length + 1);
  out.set(bytes);
  return out;
}
