/** `compare`: whether two images have the same contents. */
import { UserError } from '../../base/errors.js';
import { chainStatus } from '../../block/chain.js';
import { type BlockNode, isZero } from '../../block/node.js';
import { type Command, using } from './context.js';
import { UsageError } from './getopt.js';

const BUFFER = 2 << 20;
const DIFFERENT = 1;
const FAILED = 2;

export async function compare(c: Command): Promise<number> {
  const { options } = c;
  if (options.operands.length !== 2) throw new UsageError('Expecting two image file names');
  const [name1, name2] = options.operands as [string, string];
  const openOne = async (name: string, letter: string): Promise<BlockNode> => {
    const format = options.get(letter);
    return c.open(name, { readOnly: true, cache: c.cache('T', 'writeback'), ...(format !== undefined && { format }) });
  };
  try {
    return await using(await openOne(name1, 'f'), async (a) =>
      using(await openOne(name2, 'F'), (b) => compareNodes(c, a, b, name1, name2)),
    );
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    c.error(error.message);
    return FAILED;
  }
}

async function compareNodes(c: Command, a: BlockNode, b: BlockNode, name1: string, name2: string): Promise<number> {
  const strict = c.options.has('s');
  if (strict && a.length !== b.length) {
    c.say('Strict mode: Image size mismatch!\n');
    return DIFFERENT;
  }
  const progress = c.progress();
  const shorter = Math.min(a.length, b.length);
  const total = Math.max(a.length, b.length);
  const buffers = [new Uint8Array(BUFFER), new Uint8Array(BUFFER)] as const;
  for (let at = 0; at < shorter; ) {
    const sa = await chainStatus(a, at, Math.min(shorter - at, 1 << 30));
    const sb = await chainStatus(b, at, sa.length);
    let length = sb.length;
    const zeroA = sa.zero || !(sa.data || sa.allocated);
    const zeroB = sb.zero || !(sb.data || sb.allocated);
    if (strict && sa.allocated !== sb.allocated && !(zeroA && zeroB && sa.depth + sb.depth > 0)) {
      c.say(`Strict mode: Offset ${at} block status mismatch!\n`);
      return DIFFERENT;
    }
    if (!(zeroA && zeroB)) {
      length = Math.min(length, BUFFER);
      const ba = buffers[0].subarray(0, length);
      const bb = buffers[1].subarray(0, length);
      await readOf(a, at, ba, name1);
      await readOf(b, at, bb, name2);
      if (Buffer.compare(ba, bb) !== 0) {
        c.say(`Content mismatch at offset ${at + firstDifference(ba, bb)}!\n`);
        return DIFFERENT;
      }
    }
    at += length;
    progress.at(at / total);
  }
  if (a.length !== b.length) {
    const [longer, name] = a.length > b.length ? [a, name1] : [b, name2];
    c.say('Warning: Image size mismatch!\n');
    for (let at = shorter; at < total; ) {
      const s = await chainStatus(longer, at, Math.min(total - at, 1 << 30));
      let { length } = s;
      if (s.data || (s.allocated && !s.zero)) {
        length = Math.min(length, BUFFER);
        const part = buffers[0].subarray(0, length);
        await readOf(longer, at, part, name);
        if (!isZero(part)) {
          c.say(`Content mismatch at offset ${at + part.findIndex((x) => x !== 0)}!\n`);
          return DIFFERENT;
        }
      }
      at += length;
      progress.at(at / total);
    }
  }
  c.say('Images are identical.\n');
  progress.newline();
  return 0;
}

async function readOf(node: BlockNode, at: number, into: Uint8Array, name: string): Promise<void> {
  try {
    const reading = node.read(at, into);
    if (reading) await reading;
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(`Error while reading offset ${at} of ${name}: ${error.message}`);
  }
}

/** qemu-img names the first sector that differs. */
function firstDifference(a: Uint8Array, b: Uint8Array): number {
  let i = 0;
  while (a[i] === b[i]) i++;
  return Math.floor(i / 512) * 512;
}
