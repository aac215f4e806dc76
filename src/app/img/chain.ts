/** `commit` and `rebase`: moving data between the images of a backing chain. */
import { UserError } from '../../base/errors.js';
import { backingOf, chainOf, chainStatus } from '../../block/chain.js';
import { relativeTo } from '../../block/filename.js';
import type { FormatNode } from '../../block/format.js';
import { formatNamed } from '../../block/formats.js';
import { type BlockNode, isZero } from '../../block/node.js';
import { type Command, using } from './context.js';
import { UsageError } from './getopt.js';
import type { Progress } from './output.js';
import { Pace } from './pace.js';

const BUFFER = 2 << 20;

export async function commit(c: Command): Promise<number> {
  const { options } = c;
  const filename = c.image();
  const format = options.get('f');
  const baseName = options.get('b');
  const pace = new Pace(options);
  const chosen = { ...(format !== undefined && { format }) };
  // How far down the base is decides which images are opened for writing.
  const depth = await using(await c.open(filename, { readOnly: true, ...chosen }), async (node) => {
    const chain = chainOf(node);
    if (chain.length < 2) throw new UserError('Image does not have a backing file');
    if (baseName === undefined) return 1;
    const found = chain.findIndex(
      (n, i) => i > 0 && (n.filename === baseName || (chain[i - 1] as FormatNode).backingFile === baseName),
    );
    if (found < 0) throw new UserError(`Did not find '${baseName}' in the backing chain of '${filename}'`);
    return found;
  });
  const node = await c.open(filename, { ...chosen, writableBackings: depth, cache: c.cache('t', 'writeback') });
  return using(node, async () => {
    const base = chainOf(node)[depth]!;
    const progress = c.progress();
    if (base.length < node.length) await base.truncate(node.length);
    const buffer = new Uint8Array(BUFFER);
    for (let at = 0; at < node.length; ) {
      const s = await chainStatus(node, at, Math.min(node.length - at, 1 << 30), base);
      let { length } = s;
      // Zeroes behind the end of an image between hide what the base has there.
      if ((s.allocated && s.depth < depth) || (!s.allocated && s.zero && s.depth + 1 < depth)) {
        if (!s.zero || s.data) length = Math.min(length, BUFFER);
        await pace.before(length);
        if (s.zero && !s.data) await base.writeZeroes(at, length, true);
        else {
          const data = buffer.subarray(0, length);
          await node.read(at, data);
          await base.write(at, data);
        }
      }
      at += length;
      progress.at(at / node.length);
    }
    await base.flush();
    if (!options.has('d') && baseName === undefined) await node.makeEmpty?.();
    progress.end();
    c.say('Image committed.\n');
    return 0;
  });
}

export async function rebase(c: Command): Promise<number> {
  const { options } = c;
  const filename = c.image();
  const backing = options.get('b');
  const unsafe = options.has('u');
  if (backing === undefined && !unsafe) throw new UsageError('Must specify backing file (-b) or use unsafe mode (-u)');
  const format = options.get('f');
  const backingFormat = options.get('F');
  if (backingFormat !== undefined && !formatNamed(backingFormat))
    throw new UserError(`Invalid format name: '${backingFormat}'`);
  const node = await c.open(filename, {
    noBacking: unsafe,
    cache: c.cache('t', 'writeback'),
    ...(format !== undefined && { format }),
  });
  return using(node, async () => {
    const fail = (reason: string): never => {
      throw new UserError(`Could not change the backing file to '${backing ?? ''}': ${reason}`);
    };
    if (!node.changeBacking) return fail('Operation not supported');
    if (backing && backingFormat === undefined) fail('backing format must be specified');
    if (!unsafe) {
      const progress = c.progress();
      const target =
        backing === ''
          ? null
          : await c
              .open(
                relativeTo(filename, backing!),
                {
                  readOnly: true,
                  cache: c.cache('T', 'writeback'),
                  ...(backingFormat !== undefined && { format: backingFormat }),
                },
                false,
              )
              .catch((error: Error) => {
                throw new UserError(error.message.replace('Could not open', 'Could not open new backing file'));
              });
      const alone = backingOf(node) === undefined;
      // To an image without a backing image, zeroes that it does not have need not be written: from now on they must be.
      if (alone && target) node.setBacking?.(target);
      try {
        await copyDifferences(node, alone ? null : backingOf(node)!, target, progress);
      } finally {
        if (alone && target) node.setBacking?.(null);
        await target?.close();
      }
      progress.end();
    }
    await node.flush();
    await node.changeBacking(backing ?? '', backingFormat ?? '');
    return 0;
  });
}

/** What comes from the old backing image and is different in the new one is written into the image itself. */
async function copyDifferences(
  node: FormatNode,
  old: BlockNode | null,
  target: BlockNode | null,
  progress: Progress,
): Promise<void> {
  const unit = node.compressedUnit ?? 65536;
  const ours = new Uint8Array(BUFFER);
  const theirs = new Uint8Array(BUFFER);
  const fill = async (from: BlockNode | null, at: number, into: Uint8Array): Promise<void> => {
    into.fill(0);
    if (from && at < from.length) await from.read(at, into.subarray(0, Math.min(into.length, from.length - at)));
  };
  for (let at = 0; at < node.length; ) {
    const s = await node.status(at, Math.min(node.length - at, BUFFER));
    if (!s.allocated) {
      const a = ours.subarray(0, s.length);
      const b = theirs.subarray(0, s.length);
      await fill(old, at, a);
      await fill(target, at, b);
      for (let i = 0; i < s.length; i += unit) {
        const part = a.subarray(i, i + unit);
        if (Buffer.compare(part, b.subarray(i, i + unit)) === 0) continue;
        if (isZero(part)) await node.writeZeroes(at + i, part.length, true);
        else await node.write(at + i, part);
      }
    }
    at += s.length;
    progress.at(at / node.length);
  }
}
