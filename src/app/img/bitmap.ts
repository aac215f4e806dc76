/** `bitmap`: persistent dirty bitmaps of an image. */
import { UserError } from '../../base/errors.js';
import { Bitmap } from '../../block/qcow2/bitmaps.js';
import { Qcow2Node } from '../../block/qcow2/node.js';
import { type Command, using } from './context.js';
import { sizeOption } from './getopt.js';

const MIN_GRANULARITY = 512;
const MAX_GRANULARITY = 2 ** 31;
const ACTIONS = ['add', 'remove', 'clear', 'enable', 'disable', 'merge'];

export async function bitmap(c: Command): Promise<number> {
  const { options } = c;
  const actions = options.given.filter(([name]) => ACTIONS.includes(name));
  if (options.operands.length !== 2) throw new UserError('Expecting filename and bitmap name');
  if (actions.length === 0)
    throw new UserError('Need at least one of --add, --remove, --clear, --enable, --disable, or --merge');
  const [filename, name] = options.operands as [string, string];
  const adds = options.has('add');
  if (options.has('g') && !adds) throw new UserError('granularity only supported with --add');
  const sourceFile = options.get('b');
  if (sourceFile !== undefined && !options.has('merge'))
    throw new UserError('Merge bitmap source file only supported with --merge');
  const format = options.get('f');
  const node = await c.open(filename, { ...(format !== undefined && { format }) });
  return using(node, async () => {
    const image = withBitmaps(node, filename);
    for (const [action, value] of actions) {
      try {
        await act(c, image, action, name, value, sourceFile);
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        throw new UserError(`Operation ${action} on bitmap ${name} failed: ${error.message}`);
      }
    }
    return 0;
  });
}

function withBitmaps(node: unknown, filename: string): Qcow2Node {
  if (!(node instanceof Qcow2Node)) throw new UserError(`Bitmaps of '${filename}': the format does not support them`);
  if (node.image.header.version < 3) {
    throw new UserError('Cannot store dirty bitmaps in qcow2 v2 files');
  }
  node.bitmaps ??= [];
  return node;
}

async function act(
  c: Command,
  node: Qcow2Node,
  action: string,
  name: string,
  value: string,
  sourceFile: string | undefined,
): Promise<void> {
  const bitmaps = node.bitmaps!;
  const found = bitmaps.find((b) => b.name === name);
  node.bitmapsChanged = true;
  if (action === 'add') {
    if (found) throw new UserError(`Bitmap already exists: ${name}`);
    const text = c.options.get('g');
    const granularity =
      text === undefined ? Math.max(4096, Math.min(65536, node.image.clusterSize)) : sizeOption('granularity', text);
    if (!Number.isInteger(Math.log2(granularity)) || granularity < MIN_GRANULARITY || granularity > MAX_GRANULARITY) {
      throw new UserError('Granularity must be power of 2 and at least 512');
    }
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
  else if (action === 'merge') await merge(c, node, found, value, sourceFile);
  else found.enabled = action === 'enable';
}

async function merge(c: Command, node: Qcow2Node, into: Bitmap, name: string, file: string | undefined): Promise<void> {
  const take = (from: readonly Bitmap[]): void => {
    const source = from.find((b) => b.name === name);
    if (!source) throw new UserError(`Dirty bitmap '${name}' not found`);
    const step = 2 ** source.granularityBits;
    for (let at = 0; at < node.length; at += step) if (source.has(at)) into.mark(at, Math.min(step, node.length - at));
  };
  if (file === undefined) {
    take(node.bitmaps!);
    return;
  }
  const format = c.options.get('F');
  const source = await c.open(file, { readOnly: true, noBacking: true, ...(format !== undefined && { format }) });
  await using(source, async () => {
    const { loadBitmaps } = await import('../../block/qcow2/bitmaps.js');
    take(source instanceof Qcow2Node ? await loadBitmaps(source.image) : []);
  });
}
