/** `bench`: how fast requests on an image are done. */
import { performance } from 'node:perf_hooks';
import { UserError } from '../../base/errors.js';
import { CACHE_MODES } from '../../block/format.js';
import { BlockError, type BlockNode, type Completion } from '../../block/node.js';
import { type Command, using } from './context.js';
import { sizeOption } from './getopt.js';

const MAX_BUFFER = 1 << 30;
const MAX_INT = 2 ** 31 - 1;

export async function bench(c: Command): Promise<number> {
  const { options } = c;
  const number = (name: string, what: string, most: number, otherwise: number): number => {
    const text = options.get(name);
    if (text === undefined) return otherwise;
    const value = /^(0x[0-9a-f]+|\d+)$/i.test(text) ? Number(text) : Number.NaN;
    if (!(value <= most)) throw new UserError(`Invalid ${what} specified`);
    return value;
  };
  const size = (name: string, what: string, otherwise: number): number =>
    options.has(name) ? sizeOption(what, options.get(name)!, 0, name === 'o' ? undefined : MAX_INT) : otherwise;
  const count = number('c', 'request count', MAX_INT, 75000);
  const depth = number('d', 'queue depth', MAX_INT, 64);
  if (depth === 0) throw new UserError('Invalid queue depth specified');
  const bytes = size('s', 'buffer size', 4096);
  const step = size('S', 'step_size', 0) || bytes;
  const offset = size('o', 'offset', 0);
  if (options.has('t') && !(CACHE_MODES as readonly string[]).includes(options.get('t')!))
    throw new UserError('Invalid cache mode');
  checkAio(options.get('i'), options.get('t'), c.image());
  const write = options.has('w');
  const flushEvery = number('flush-interval', 'flush interval', MAX_INT, 0);
  const pattern = number('pattern', 'pattern byte', 0xff, 0);
  if (!write && flushEvery > 0) throw new UserError('--flush-interval is only available in write tests');
  if (flushEvery > 0 && flushEvery < depth) throw new UserError("Flush interval can't be smaller than depth");
  if (bytes > MAX_BUFFER) throw new UserError(`Invalid buffer size specified. Must be between 0 and ${MAX_BUFFER}.`);
  if (write) c.refuseSharing();
  const format = options.get('f');
  const node = await c.open(c.image(), {
    readOnly: !write,
    cache: c.cache('t', 'writeback'),
    ...(format !== undefined && { format }),
  });
  return using(node, async () => {
    c.print(
      `Sending ${count} ${write ? 'write' : 'read'} requests, ${bytes} bytes each, ${depth} in parallel (starting at offset ${offset}, step size ${step})\n`,
    );
    if (flushEvery > 0) c.print(`Sending flush every ${flushEvery} requests\n`);
    const started = performance.now();
    await run(node, { count, depth, bytes, step, offset, write, pattern, flushEvery });
    c.print(`Run completed in ${((performance.now() - started) / 1000).toFixed(3)} seconds.\n`);
    return 0;
  });
}

/** How requests reach the host is our own business; what QEMU would refuse is refused. */
function checkAio(aio: string | undefined, cache: string | undefined, name: string): void {
  if (aio === undefined || aio === 'threads' || aio === 'io_uring') return;
  if (aio !== 'native') throw new UserError(`Invalid aio option: ${aio}`);
  if (cache !== 'none' && cache !== 'directsync')
    throw new UserError(
      `Could not open '${name}': aio=native was specified, but it requires cache.direct=on, which was not specified.`,
    );
}

interface Load {
  readonly count: number;
  readonly depth: number;
  readonly bytes: number;
  readonly step: number;
  readonly offset: number;
  readonly write: boolean;
  readonly pattern: number;
  readonly flushEvery: number;
}

async function run(node: BlockNode, l: Load): Promise<void> {
  const buffer = new Uint8Array(l.bytes).fill(l.pattern);
  const underWay = new Set<Promise<void>>();
  let failure: unknown;
  let at = l.offset;
  for (let i = 0; i < l.count && failure === undefined; i++) {
    // As QEMU has it: only where a request begins is kept within the disk.
    if (at + l.bytes > node.length) throw new BlockError('EIO', 'Failed request: Input/output error');
    let done: Completion = l.write ? node.write(at, buffer) : node.read(at, buffer);
    at = (at + l.step) % node.length;
    if (l.flushEvery > 0 && (i + 1) % l.flushEvery === 0) {
      await done;
      done = node.flush();
    }
    if (!done) continue;
    const counted: Promise<void> = done.then(
      () => {
        underWay.delete(counted);
      },
      (error: unknown) => {
        underWay.delete(counted);
        failure ??= error;
      },
    );
    underWay.add(counted);
    while (underWay.size >= l.depth) await Promise.race(underWay);
  }
  await Promise.all(underWay);
  if (failure !== undefined) throw failure;
  if (l.write) await node.flush();
}
