/** `create`, `resize`, `amend` and `measure`: making images and changing what they are. */
import { UserError } from '../../base/errors.js';
import { roundUp } from '../../block/big-endian.js';
import { chainStatus } from '../../block/chain.js';
import type { CreateOption, FormatNode, InfoValue } from '../../block/format.js';
import { formatNamed } from '../../block/formats.js';
import { luksChoices, luksPayloadOffset } from '../../block/luks/header.js';
import { PREALLOCATIONS, type Preallocation } from '../../block/node.js';
import { loadBitmaps } from '../../block/qcow2/bitmaps.js';
import { qcow2Options } from '../../block/qcow2/index.js';
import { bitmapsSize, measureQcow2 } from '../../block/qcow2/measure.js';
import { Qcow2Node } from '../../block/qcow2/node.js';
import { NODE_BLOCK_HOST } from '../../host/node/block-host.js';
import { type Command, noSnapshots, using } from './context.js';
import { PROGRAM, parseSize, sizeOption, UsageError } from './getopt.js';
import {
  checkOptionLists,
  creatable,
  isOn,
  knownOptions,
  makeImage,
  notSize,
  optionRows,
  optionsHelp,
  optionValues,
  outOfRange,
  secretOf,
} from './make.js';
import { outputFormat, toJson } from './output.js';

const SECTOR = 512;

export async function create(c: Command): Promise<number> {
  const { options } = c;
  const format = options.get('f') ?? 'raw';
  checkOptionLists(options.all('o'));
  if (options.all('o').includes('help') || options.all('o').includes('?')) {
    c.print(optionsHelp(creatable(format, options.operands[0] ?? ''), options.operands[0]));
    return 0;
  }
  const [filename, , unexpected] = options.operands;
  if (filename === undefined) throw new UsageError('Expecting image file name');
  if (unexpected !== undefined) throw new UsageError(`Unexpected argument: ${unexpected}`);
  const sizeText = options.operands[1];
  await makeImage({
    filename,
    format,
    options: options.all('o'),
    size: sizeText === undefined ? undefined : sizeOption('image size', sizeText),
    backingFile: options.get('b'),
    backingFormat: options.get('F'),
    unsafe: options.has('u'),
    secrets: c.secrets,
    say: (line) => c.say(line),
  });
  return 0;
}

export async function resize(c: Command): Promise<number> {
  const { options } = c;
  // A size such as -1M looks like an option to getopt; main.ts has put it behind the file.
  const text = options.operands.at(-1);
  if (options.operands.length < 2 || text === undefined) throw new UsageError('Not enough arguments');
  const relative = text.startsWith('+') ? 1 : text.startsWith('-') ? -1 : 0;
  const number = parseSize(relative === 0 ? text : text.slice(1));
  if (number === undefined) throw new UserError(notSize('size'));
  if (!Number.isFinite(number)) throw new UserError(outOfRange('size', text));
  const mode = options.get('preallocation') ?? 'off';
  if (!(PREALLOCATIONS as readonly string[]).includes(mode))
    throw new UserError(`Invalid preallocation mode '${mode}'`);
  const format = options.get('f');
  const node = await c.open(options.operands[0]!, { ...(format !== undefined && { format }) });
  return using(node, async () => {
    const old = node.length;
    const size = Math.ceil((relative === 0 ? number : old + relative * number) / SECTOR) * SECTOR;
    if (size <= 0) throw new UserError('New image size must be positive');
    if (size < old && mode !== 'off') throw new UserError('Preallocation can only be used for growing images');
    if (size < old && !options.has('shrink')) {
      c.error('Use the --shrink option to perform a shrink operation.');
      c.error(
        "warning: Shrinking an image will delete all data beyond the shrunken image's end. Before performing such an operation, make sure there is no important data there.",
      );
      return 1;
    }
    if (!Number.isSafeInteger(size)) throw new UserError('Could not resize file: File too large');
    await node.truncate(size, mode as Preallocation);
    c.say('Image resized.\n');
    return 0;
  });
}

export async function amend(c: Command): Promise<number> {
  const { options } = c;
  if (options.all('o').length === 0) throw new UsageError('Must specify options (-o)');
  checkOptionLists(options.all('o'));
  const format = options.get('f');
  const isHelp = options.all('o').some((o) => o === 'help' || o === '?');
  if (isHelp && format !== undefined) {
    c.print(amendHelp(format));
    return 0;
  }
  const filename = options.operands.at(-1);
  if (filename === undefined) throw new UserError('Expecting one image file name');
  const progress = c.progress();
  const node = await c.open(filename, {
    noBacking: false,
    cache: c.cache('t', 'writeback'),
    ...(format !== undefined && { format }),
  });
  return using(node, async () => {
    const amendable = amendableOptions(node.driver);
    if (isHelp) c.print(amendHelp(node.driver));
    else {
      const values = optionValues(amendable, options.all('o'), formatNamed(node.driver)?.createOptions);
      for (const { name, type } of amendable) {
        const value = values.get(name);
        if (type === 'bool' && value !== undefined) values.set(name, isOn(value) ? 'on' : 'off');
      }
      await node.amend?.(values, {
        host: NODE_BLOCK_HOST,
        force: options.has('force'),
        secret: (id) => secretOf(c.secrets, id),
      });
      progress.end();
    }
    return 0;
  });
}

function amendableOptions(format: string): readonly CreateOption[] {
  const options = formatNamed(format)?.amendOptions;
  if (!options) throw new UserError(`Format driver '${format}' does not support option amendment`);
  return options;
}

const amendHelp = (format: string): string => `Amend options for '${format}':\n${optionRows(amendableOptions(format))}`;

export async function measure(c: Command): Promise<number> {
  const { options } = c;
  const output = outputFormat(c);
  checkOptionLists(options.all('o'));
  const sizeText = options.get('size');
  const [filename, another] = options.operands;
  if (another !== undefined) throw new UserError('At most one filename argument is allowed.');
  if (filename === undefined && (options.has('image-opts') || options.has('f') || options.has('l')))
    throw new UserError('--image-opts, -f, and -l require a filename argument.');
  if (sizeText !== undefined && filename !== undefined)
    throw new UserError('--size N cannot be used together with a filename.');
  if (sizeText === undefined && filename === undefined)
    throw new UserError('Either --size N or one filename must be specified.');
  const target = creatable(options.get('O') ?? 'raw', '');
  let values: Map<string, string>;
  try {
    values = optionValues(knownOptions(target), options.all('o'));
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(`${error.message}\n${PROGRAM}: Invalid options for file format '${target.name}'`);
  }
  let size = sizeText === undefined ? 0 : sizeOption('image size', sizeText);
  const clusterSize = Number(values.get('cluster_size') ?? 65536);
  let allocated = 0;
  let bitmaps: number | undefined;
  if (filename !== undefined) {
    const format = options.get('f');
    const node = await c.open(filename, { readOnly: true, ...(format !== undefined && { format }) });
    await using(node, async () => {
      const source = options.has('l') ? await snapshotNode(node, options.get('l')!) : node;
      size = source.length;
      let last = -1;
      for (let at = 0; at < size; ) {
        const s = await chainStatus(source, at, Math.min(size - at, 1 << 30));
        if (s.data && !s.zero) {
          const first = Math.max(last + 1, Math.floor(at / clusterSize));
          last = Math.max(last, Math.floor((at + s.length - 1) / clusterSize));
          allocated += Math.max(0, last - first + 1);
        }
        at += s.length;
      }
      if (node instanceof Qcow2Node && node.image.header.version >= 3) {
        bitmaps = bitmapsSize(await loadBitmaps(node.image), size, clusterSize);
      }
    });
  }
  let required = size;
  let full = size;
  if (target.name === 'qcow2') {
    const o = qcow2Options({
      size,
      text: (n) => values.get(n),
      flag: (n) => (values.has(n) ? isOn(values.get(n)!) : undefined),
      number: (n) => (values.has(n) ? Number(values.get(n)) : undefined),
    });
    ({ required, full } = measureQcow2(o, allocated));
    if (values.get('encrypt.format') === 'luks') {
      if (!values.has('encrypt.key-secret'))
        throw new UserError("Parameter 'encrypt.key-secret' is required for cipher");
      const header = roundUp(luksPayloadOffset(luksChoices((n) => values.get(`encrypt.${n}`))), clusterSize);
      required += header;
      full += header;
    }
  } else if (target.name === 'luks') {
    if (!values.has('key-secret')) throw new UserError("Parameter 'key-secret' is required for cipher");
    required = full = luksPayloadOffset(luksChoices((n) => values.get(n))) + size;
  } else if (target.name !== 'raw')
    throw new UserError(`Block driver '${target.name}' does not support size measurement`);
  const facts: Record<string, InfoValue> = {};
  if (target.name === 'qcow2' && bitmaps !== undefined) facts['bitmaps'] = bitmaps;
  if (output === 'json') c.print(`${toJson({ ...facts, required, 'fully-allocated': full })}\n`);
  else {
    c.print(`required size: ${required}\nfully allocated size: ${full}\n`);
    if (facts['bitmaps'] !== undefined) c.print(`bitmaps size: ${facts['bitmaps']}\n`);
  }
  return 0;
}

async function snapshotNode(node: FormatNode, name: string): Promise<FormatNode> {
  if (!node.snapshots) throw noSnapshots(node);
  return node.snapshots.open(name.replace(/^snapshot\.(id|name)=/, ''));
}
