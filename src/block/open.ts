/** From options of a drive to its nodes. */
import { UserError } from '../base/errors.js';
import { Drive, type DriveOptions } from './drive.js';
import { MemoryNode } from './memory.js';
import type { BlockNode } from './node.js';
import { OverlayNode } from './overlay.js';
import { RawNode } from './raw.js';

/** What the host offers. */
export interface BlockHost {
  /** Throws UserError when the file cannot be opened. */
  openFile(filename: string, readOnly: boolean): BlockNode;
  /** A store for an overlay, gone when it is closed. Without one, overlays live in memory. */
  temporaryFile?(): BlockNode;
}

export interface OpenOptions {
  readonly file: string;
  /** Default: found out from the first bytes. */
  readonly format?: string;
  readonly readOnly?: boolean;
  readonly snapshot?: boolean;
}

/** First bytes of formats that are not raw. */
const MAGICS: readonly (readonly [format: string, magic: string])[] = [
  ['qcow2', 'QFI\xfb'],
  ['vmdk', 'KDMV'],
  ['vdi', '<<< '],
  ['vpc', 'conectix'],
  ['vhdx', 'vhdxfile'],
  ['qed', 'QED\0'],
  ['parallels', 'WithoutFreeSpace'],
];
const FORMATS: readonly string[] = ['raw'];

/** Opens an image: the file, its format, and a temporary overlay when asked for. */
export function openImage(host: BlockHost, options: OpenOptions): BlockNode {
  const snapshot = options.snapshot ?? false;
  const file = host.openFile(options.file, (options.readOnly ?? false) || snapshot);
  try {
    const format = options.format ?? probe(file);
    if (!FORMATS.includes(format)) {
      const known = MAGICS.some(([name]) => name === format);
      throw new UserError(
        known
          ? `'${options.file}': format '${format}' is not supported yet; convert the image to raw (qemu-img convert -O raw)`
          : `Unknown driver '${format}'`,
      );
    }
    const raw = new RawNode(file);
    return snapshot ? new OverlayNode(raw, host.temporaryFile?.() ?? new MemoryNode(0)) : raw;
  } catch (error) {
    file.close();
    throw error;
  }
}

export function openDrive(host: BlockHost, options: OpenOptions & DriveOptions): Drive {
  return new Drive(openImage(host, options), options);
}

function probe(file: BlockNode): string {
  const head = new Uint8Array(16);
  // A file that cannot tell at once is raw: all that could be something else can.
  if (file.read(0, head)) return 'raw';
  const text = String.fromCharCode(...head);
  return MAGICS.find(([, magic]) => text.startsWith(magic))?.[0] ?? 'raw';
}
