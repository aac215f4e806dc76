/** From a file name and options to a graph of nodes: protocol, format, backing chain, temporary overlay. */
import { UserError } from '../base/errors.js';
import { Drive, type DriveOptions } from './drive.js';
import { relativeTo } from './filename.js';
import type { ThrottleGroup } from './filters/throttle.js';
import type { BlockHost, CacheMode, Format, FormatNode, OpenContext } from './format.js';
import { FORMATS, formatNamed } from './formats.js';
import { MemoryNode } from './memory.js';
import { type ClientTls, type Credentials, credentialsFor } from './nbd/protocol.js';
import type { BlockNode } from './node.js';
import { fromJsonName, isJsonName } from './options-name.js';
import { OverlayNode } from './overlay.js';
import { openProtocol } from './protocols.js';

export type { BlockHost } from './format.js';

/** What options name by an id. */
export interface NamedObjects {
  readonly secrets: ReadonlyMap<string, Uint8Array>;
  readonly credentials: ReadonlyMap<string, Credentials>;
  readonly throttleGroups: Map<string, ThrottleGroup>;
}

/** The option `tls-creds` with what belongs to it, for a protocol. Throws UserError. */
export function tlsOf(
  option: (name: string) => string | undefined,
  credentials: NamedObjects['credentials'] | undefined,
): { readonly tls?: ClientTls } {
  const id = option('tls-creds');
  if (id === undefined) return {};
  return {
    tls: { credentials: credentialsFor(credentials ?? new Map(), id, 'client'), hostname: option('tls-hostname') },
  };
}

export interface OpenOptions {
  readonly file: string;
  /** Default: found out from the first bytes. */
  readonly format?: string;
  readonly readOnly?: boolean;
  readonly snapshot?: boolean;
  /** Lets other processes write the image meanwhile. */
  readonly share?: boolean;
  /** Without asking whether others use it. */
  readonly unlocked?: boolean;
  readonly cache?: CacheMode;
  /** Long reads and writes are not to hold up the caller. */
  readonly beside?: boolean;
  /** Leaves the backing image closed. */
  readonly noBacking?: boolean;
  /** Images of the backing chain are opened for writing, this many levels of it. */
  readonly writableBackings?: number;
  /** Options of the format. */
  readonly options?: Readonly<Record<string, string>>;
  readonly secrets?: NamedObjects['secrets'];
  readonly credentials?: NamedObjects['credentials'];
  readonly forCheck?: boolean;
  /** Is told what the user should know. */
  readonly warn?: (text: string) => void;
}

/** Longer backing chains are taken for a loop. */
const MAX_CHAIN = 200;

/** Opens an image: the file, its format, its backing images, and a temporary overlay when asked for. Throws UserError. */
export async function openImage(host: BlockHost, options: OpenOptions): Promise<BlockNode> {
  const snapshot = options.snapshot ?? false;
  const node = await openChain(host, { ...options, readOnly: (options.readOnly ?? false) || snapshot }, []);
  return snapshot ? new OverlayNode(node, host.temporaryFile?.() ?? new MemoryNode(0)) : node;
}

async function openChain(host: BlockHost, options: OpenOptions, above: readonly string[]): Promise<BlockNode> {
  const { file: filename } = options;
  if (isJsonName(filename)) {
    const { file, format, options: own } = fromJsonName(filename);
    if (format !== undefined && options.format !== undefined && format !== options.format) {
      throw new UserError(`Driver specified twice: '${format}' and '${options.format}'`);
    }
    const chosen = format ?? options.format;
    const named = { ...options, file, options: { ...options.options, ...own } };
    return openChain(host, { ...named, ...(chosen !== undefined && { format: chosen }) }, [...above, filename]);
  }
  if (above.includes(filename)) throw new UserError(`Backing file '${filename}' creates an infinite loop.`);
  if (above.length >= MAX_CHAIN)
    throw new UserError(`Backing chain of '${above[0]}' is longer than ${MAX_CHAIN} images`);
  const readOnly = options.readOnly ?? false;
  if (options.format !== undefined && !formatNamed(options.format)) {
    throw new UserError(`Unknown driver '${options.format}'`);
  }
  const file = await openProtocol(host, filename, {
    readOnly,
    ...(options.share && { share: true }),
    ...(options.unlocked && { unlocked: true }),
    ...(options.cache && { cache: options.cache }),
    ...(options.beside && { beside: true }),
    ...tlsOf((name) => options.options?.[name], options.credentials),
  });
  let format: Format;
  try {
    format = options.format === undefined ? await probe(file) : formatNamed(options.format)!;
  } catch (error) {
    await file.close();
    throw error;
  }
  if (format.name === 'raw' && options.format === undefined && !readOnly) {
    options.warn?.(
      `WARNING: Image format was not specified for '${filename}' and probing guessed raw.\n         Automatically detecting the format is dangerous for raw images, write operations on block 0 will be restricted.\n         Specify the 'raw' format explicitly to remove the restrictions.`,
    );
  }
  return openFormat(host, format, file, options, [...above, filename]);
}

/** Opens a format on a file that is open, with the backing image that it names or `backing`. Owns the file. */
export async function openFormat(
  host: BlockHost,
  format: Format,
  file: BlockNode,
  options: OpenOptions & { readonly backing?: BlockNode | null },
  above: readonly string[] = [options.file],
): Promise<BlockNode> {
  let node: FormatNode | undefined;
  try {
    node = await format.open(file, contextFor(host, options, format, file));
    const name = node.backingFile;
    if (options.backing !== undefined) {
      if (options.backing && !node.setBacking) throw new UserError(`Driver '${format.name}' has no backing images`);
      node.setBacking?.(options.backing);
    } else if (node.setBacking && name && !options.noBacking) {
      node.setBacking(await openBacking(host, options, node, name, above));
    }
    return node;
  } catch (error) {
    await (node ?? file).close();
    throw error;
  }
}

async function openBacking(
  host: BlockHost,
  options: OpenOptions,
  node: FormatNode,
  name: string,
  above: readonly string[],
): Promise<BlockNode> {
  const writable = options.writableBackings ?? 0;
  const { format: _, options: __, ...rest } = options;
  const format = node.backingFormat;
  try {
    return await openChain(
      host,
      {
        ...rest,
        file: relativeTo(options.file, name),
        ...(format && { format }),
        readOnly: writable === 0,
        writableBackings: Math.max(0, writable - 1),
        forCheck: false,
      },
      above,
    );
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(`Could not open backing file: ${error.message}`);
  }
}

function contextFor(host: BlockHost, options: OpenOptions, format: Format, file: BlockNode): OpenContext {
  return {
    host,
    readOnly: options.readOnly ?? false,
    filename: options.file,
    forCheck: options.forCheck ?? false,
    otherFormat: options.format === undefined ? (sector) => spokenFor(sector, file) !== format : null,
    option: (name) => options.options?.[name],
    secret: (id) => {
      const secret = options.secrets?.get(id);
      if (!secret) throw new UserError(`No secret with id '${id}'`);
      return secret;
    },
    openFile: async (name, relative) =>
      openProtocol(host, relative ? relativeTo(options.file, name) : name, {
        readOnly: options.readOnly ?? false,
        ...(options.share && { share: true }),
        ...(options.cache && { cache: options.cache }),
        ...(options.beside && { beside: true }),
      }),
  };
}

export async function openDrive(host: BlockHost, options: OpenOptions & DriveOptions): Promise<Drive> {
  return new Drive(await openImage(host, options), options);
}

const HEAD_BYTES = 2048;

/** The format that the first bytes speak for; raw when none does. */
export async function probe(file: BlockNode): Promise<Format> {
  const head = new Uint8Array(HEAD_BYTES);
  await file.read(0, head);
  return spokenFor(head, file);
}

function spokenFor(head: Uint8Array, file: BlockNode): Format {
  let best = formatNamed('raw')!;
  let most = 0;
  for (const format of FORMATS) {
    const score = format.probe(head, file);
    if (score > most) {
      best = format;
      most = score;
    }
  }
  return best;
}
