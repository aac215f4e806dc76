/** `bitmap`: persistent dirty bitmaps of an image. */
import { UserError } from '../../base/errors.js';
import { Bitmap, loadBitmaps, MAX_NAME } from '../../block/qcow2/bitmaps.js';
import { Qcow2Node } from '../../block/qcow2/node.js';
import { type Command, using } from './context.js';
import { sizeOption } from './getopt.js';

const MIN_GRANULARITY = 512;
const MAX_GRANULARITY = 2 ** 31;
const ACTIONS = ['add', 'remove', 'clear', 'enable', 'disable', 'merge'];

export async function bitmap(c: Command): Promise<number> {
  const { options } = c;
  const actions = options.given.filter(([name]) => ACTIONS.includes(name));
  if (actions.length === 0)
    throw new UserError('Need at least one of --add, --remove, --clear, --enable, --disable, or --merge');
  if (options.operands.length !== 2) throw new UserError('Expecting filename and bitmap name');
  const [filename, name] = options.operands as [string, string];
  const adds = options.has('add');
  if (options.has('g') && !adds) throw new UserError('granularity only supported with --add');
  const granularity = options.has('g') ? sizeOption('granularity', options.get('g')!) : undefined;
  const sourceFile = options.get('b');
  if (sourceFile !== undefined && !options.has('merge'))
    throw new UserError('Merge bitmap source file only supported with --merge');
  const sourceFormat = options.get('F');
  if (sourceFormat !== undefined && sourceFile === undefined) throw new UserError('-F only supported with -b');
  const format = options.get('f');
  const sources =
    sourceFile === undefined
      ? null
      : await using(
          await c.open(
            sourceFile,
            { readOnly: true, noBacking: true, ...(sourceFormat !== undefined && { format: sourceFormat }) },
            false,
          ),
          async (source) => (source instanceof Qcow2Node ? loadBitmaps(source.image) : []),
        );
  const node = await c.open(filename, { ...(format !== undefined && { format }) });
  return using(node, async () => {
    for (const [action, value] of actions) {
      try {
        act(c, withBitmaps(node, filename), action, name, value, sources, granularity);
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        throw new UserError(`Operation ${action} on bitmap ${name} failed: ${error.message}`);
      }
    }
    return 0;
  });
}

function withBitmaps(node: unknown, filename: string): Qcow2Node {
  if (!(node instanceof Qcow2Node))
    throw new UserError(`Can't store persistent bitmaps to '${filename}': Operation not supported`);
  if (node.image.header.version < 3) {
    throw new UserError('Cannot store dirty bitmaps in qcow2 v2 files');
  }
  node.bitmaps ??= [];
  return node;
}

function act(
  c: Command,
  node: Qcow2Node,
  action: string,
  name: string,
  value: string,
  sources: readonly Bitmap[] | null,
  given: number | undefined,
): void {
  const bitmaps = node.bitmaps!;
  const found = bitmaps.find((b) => b.name === name);
  node.bitmapsChanged = true;
  if (action === 'add') {
    if (name === '') throw new UserError('Bitmap name cannot be empty');
    if (Buffer.byteLength(name) > MAX_NAME) throw new UserError('Bitmap name is too long');
    const granularity = given ?? Math.max(4096, Math.min(65536, node.image.clusterSize));
    if (!Number.isInteger(Math.log2(granularity)) || granularity < MIN_GRANULARITY || granularity > MAX_GRANULARITY) {
      throw new UserError('Granularity must be power of 2 and at least 512');
    }
    if (found) throw new UserError(`Bitmap already exists: ${name}`);
    bitmaps.push(new Bitmap(name, Math.log2(granularity), node.length, !c.options.has('disable'), false));
    return;
  }
  if (!found) throw new UserError(`Dirty bitmap '${name}' not found`);
  if (action === 'remove') {
    bitmaps.splice(bitmaps.indexOf(found), 1);
    return;
  }
  if (found.inconsistent) {
    throw new UserError(
      `Bitmap '${name}' is inconsistent and cannot be used\nTry block-dirty-bitmap-remove to delete this bitmap from disk`,
    );
  }
  if (action === 'clear') found.bits.fill(0);
  else if (action === 'merge') merge(node, found, value, sources ?? bitmaps);
  else found.enabled = action === 'enable';
}

function merge(node: Qcow2Node, into: Bitmap, name: string, from: readonly Bitmap[]): void {
  const source = from.find((b) => b.name === name);
  if (!source) throw new UserError(`Dirty bitmap '${name}' not found`);
  const step = 2 ** source.granularityBits;
  for (let at = 0; at < node.length; at += step) if (source.has(at)) into.mark(at, Math.min(step, node.length - at));
}
