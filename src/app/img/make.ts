/** Making images: for `create`, and for the targets of `convert` and `dd`. */
import { UserError } from '../../base/errors.js';
import { relativeTo, schemeOf } from '../../block/filename.js';
import type { CreateContext, CreateOption, Format } from '../../block/format.js';
import { formatNamed } from '../../block/formats.js';
import { BlockError, type BlockNode, PREALLOCATIONS } from '../../block/node.js';
import { openImage } from '../../block/open.js';
import { checkScheme, openProtocol } from '../../block/protocols.js';
import { NODE_BLOCK_HOST } from '../../host/node/block-host.js';
import { keyValues, parseSize } from './getopt.js';

export interface MakeRequest {
  readonly filename: string;
  readonly format: string;
  /** All of -o, in order. */
  readonly options: readonly string[];
  /** Undefined: as long as the backing image. */
  readonly size: number | undefined;
  readonly backingFile?: string | undefined;
  readonly backingFormat?: string | undefined;
  /** The backing image is not looked at (-u). */
  readonly unsafe?: boolean;
  readonly secrets: ReadonlyMap<string, Uint8Array>;
  /** Is given the line that tells of the image. */
  readonly say?: (line: string) => void;
  /** What the image is made for, as messages say it: `error while converting qcow2`. */
  readonly purpose?: string;
}

/** What files of this host take, whatever the format; nothing but the preallocation of raw and LUKS changes anything here. */
const FILE_OPTIONS: readonly CreateOption[] = [
  { name: 'nocow', type: 'bool', help: 'Turn off copy-on-write (valid only on btrfs)' },
  { name: 'preallocation', type: 'str', help: 'Preallocation mode (allowed values: off, falloc, full)' },
  { name: 'extent_size_hint', type: 'size', help: 'Extent size hint for the image file, 0 to disable' },
];

/** The format's own options, and those of files. */
export function knownOptions(format: Format): readonly CreateOption[] {
  const own = format.createOptions ?? [];
  return [...own, ...FILE_OPTIONS.filter((o) => !own.some((mine) => mine.name === o.name))];
}

/** Throws UserError for what is no list of `-o`. */
export function checkOptionLists(texts: readonly string[]): void {
  for (const text of texts) {
    const commas = /,*$/.exec(text)![0].length;
    if (text === '' || text.startsWith(',') || commas % 2 === 1) throw new UserError(`Invalid option list: ${text}`);
  }
}

/** A format that can make images. Throws UserError. */
export function creatable(name: string, filename: string): Format & { create: NonNullable<Format['create']> } {
  const format = formatNamed(name);
  const where = filename === '' ? '' : `${filename}: `;
  if (!format) throw new UserError(`${where}Unknown file format '${name}'`);
  if (!format.create) throw new UserError(`${where}Format driver '${name}' does not support image creation`);
  return { ...format, create: format.create };
}

/** The options of `-o`, checked against those that there are; sizes in bytes. `others`: those that there are elsewhere. */
export function optionValues(
  known: readonly CreateOption[],
  texts: readonly string[],
  others: readonly CreateOption[] = [],
): Map<string, string> {
  const values = new Map<string, string>();
  for (const text of texts) {
    for (const [name, value] of keyValues(text)) {
      const option = known.find((o) => o.name === name);
      if (!option) {
        const hint = others.some((o) => o.name === name) ? '\nThis option is only supported for image creation' : '';
        throw new UserError(`Invalid parameter '${name}'${hint}`);
      }
      values.set(name, normalized(option, value));
    }
  }
  return values;
}

export const notSize = (name: string): string =>
  `Parameter '${name}' expects a non-negative number below 2^64\nOptional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\nand exabytes, respectively.`;

export const outOfRange = (name: string, value: string): string =>
  `Value '${value}' is out of range for parameter '${name}'`;

/** Of an option that is a `bool`. */
export const isOn = (value: string): boolean => /^(on|yes|true|y)$/.test(value);

function normalized(option: CreateOption, value: string): string {
  switch (option.type) {
    case 'bool':
      if (!/^(on|off|yes|no|true|false|y|n)$/.test(value))
        throw new UserError(`Parameter '${option.name}' expects 'on' or 'off'`);
      return value;
    case 'size': {
      const size = parseSize(value);
      if (size === undefined) {
        throw new UserError(notSize(option.name));
      }
      if (!Number.isFinite(size)) throw new UserError(outOfRange(option.name, value));
      return sizeText(size);
    }
    case 'num':
      if (!/^\d+$/.test(value)) throw new UserError(`Parameter '${option.name}' expects a number`);
      return value;
    default:
      return value;
  }
}

export function optionRows(options: readonly CreateOption[]): string {
  return [...options]
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map(
      ({ name, type, help }) => `  ${`${name}=<${type === 'bool' ? 'bool (on/off)' : type}>`.padEnd(22)} - ${help}\n`,
    )
    .join('');
}

/** All digits, also of what is beyond all images. */
const sizeText = (size: number): string => BigInt(size).toString();

/** With a file's name, what its protocol has is listed too. */
export function optionsHelp(format: Format, filename: string | undefined): string {
  if (filename !== undefined) return `Supported options:\n${optionRows(knownOptions(format))}`;
  const options = format.createOptions ?? [];
  return `Supported ${format.name} options:\n${optionRows(options)}\nThe protocol level may support further options.\nSpecify the target filename to include those options.\n`;
}

function tooLarge(format: Format): string {
  const hint = format.createOptions?.some((o) => o.name === 'cluster_size') ? ' (try using a larger cluster size)' : '';
  return `The image size is too large for file format '${format.name}'${hint}`;
}

/** The file of a new image: made, or for other protocols one that is there already. */
async function newFile(filename: string): Promise<BlockNode> {
  const scheme = schemeOf(filename);
  if (scheme === undefined || scheme === 'file') return NODE_BLOCK_HOST.createFile!(filename.replace(/^file:/, ''));
  return openProtocol(NODE_BLOCK_HOST, filename, { readOnly: false });
}

/** Throws UserError. */
export async function makeImage(r: MakeRequest): Promise<void> {
  const format = creatable(r.format, r.purpose === undefined ? r.filename : '');
  const fail = (error: unknown): never => {
    if (!(error instanceof UserError)) throw error;
    const what = error instanceof BlockError && error.errno === 'EFBIG' ? tooLarge(format) : error.message;
    throw new UserError(`${r.filename}: ${r.purpose === undefined ? '' : `${r.purpose}: `}${what}`);
  };
  let values = new Map<string, string>();
  try {
    checkScheme(r.filename);
    values = optionValues(knownOptions(format), r.options);
  } catch (error) {
    if (r.purpose !== undefined) throw error;
    fail(error);
  }
  if (r.size !== undefined && r.purpose === undefined && values.has('size'))
    fail(new UserError('The image size must be specified only once'));
  const supports = (name: string): boolean => format.createOptions?.some((o) => o.name === name) ?? false;
  if (r.backingFile !== undefined) {
    if (!supports('backing_file')) fail(new UserError(`Backing file not supported for file format '${r.format}'`));
    values.set('backing_file', r.backingFile);
  }
  if (r.backingFormat !== undefined) values.set('backing_fmt', r.backingFormat);
  if (r.size !== undefined) values.set('size', sizeText(r.size));
  const backing = values.get('backing_file');
  if (backing === r.filename)
    fail(new UserError('Error: Trying to create an image with the same filename as the backing file'));
  if (backing && values.get('backing_fmt') === undefined) {
    const probed = await openBacking(r, backing, undefined);
    const { driver } = probed;
    await probed.close();
    fail(new UserError(`Backing file specified without backing format\nDetected format of ${driver}.`));
  }
  if (backing && !r.unsafe) {
    const node = await openBacking(r, backing, values.get('backing_fmt')).catch(fail);
    if (!values.has('size')) values.set('size', String((node as BlockNode).length));
    await (node as BlockNode).close();
  }
  const size = values.get('size');
  if (size === undefined) fail(new UserError('Image creation needs a size parameter'));
  for (const { name, initial } of format.createOptions ?? []) {
    if (initial !== undefined && !values.has(name)) values.set(name, initial);
  }
  const shown = knownOptions(format)
    .filter((o) => values.has(o.name))
    .map((o) => `${o.name}=${quoted(values.get(o.name)!)}`);
  r.say?.(`Formatting '${r.filename}', fmt=${r.format} ${shown.join(' ')}\n`);
  let file: BlockNode | undefined;
  try {
    if (!supports('preallocation')) checkPreallocation(values.get('preallocation'));
    file = await newFile(r.filename);
    await format.create(createContext(r, file, values));
    await file.flush();
  } catch (error) {
    fail(error);
  } finally {
    await file?.close();
  }
}

function checkPreallocation(mode: string | undefined): void {
  if (mode !== undefined && !(PREALLOCATIONS as readonly string[]).includes(mode))
    throw new UserError(`invalid parameter value: ${mode}`);
}

/** Values with odd characters are quoted, with quotes doubled by a backslash. */
const quoted = (value: string): string => (/[=\s"]/.test(value) ? `"${value.replaceAll('"', '\\"')}"` : value);

async function openBacking(r: MakeRequest, name: string, format: string | undefined): Promise<BlockNode> {
  try {
    return await openImage(NODE_BLOCK_HOST, {
      file: relativeTo(r.filename, name),
      readOnly: true,
      secrets: r.secrets,
      ...(format !== undefined && { format }),
    });
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(`${error.message}\nCould not open backing image.`);
  }
}

/** Throws UserError. */
export function secretOf(secrets: ReadonlyMap<string, Uint8Array>, id: string): Uint8Array {
  const secret = secrets.get(id);
  if (!secret) throw new UserError(`No secret with id '${id}'`);
  return secret;
}

function createContext(r: MakeRequest, file: BlockNode, values: ReadonlyMap<string, string>): CreateContext {
  return {
    host: NODE_BLOCK_HOST,
    filename: r.filename,
    file,
    size: Number(values.get('size')),
    text: (name) => values.get(name),
    flag: (name) => (values.has(name) ? isOn(values.get(name)!) : undefined),
    number: (name) => (values.has(name) ? Number(values.get(name)) : undefined),
    secret: (id) => secretOf(r.secrets, id),
    createFile: (name, relative) => NODE_BLOCK_HOST.createFile!(relative ? relativeTo(r.filename, name) : name),
    openBacking: async () => {
      const backing = values.get('backing_file');
      return backing ? openBacking(r, backing, values.get('backing_fmt')) : null;
    },
  };
}
