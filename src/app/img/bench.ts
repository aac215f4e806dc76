/** `bench`: how fast requests on an image are done. */
import { performance } from 'node:perf_hooks';
import { UserError } from '../../base/errors.js';
import type { BlockNode, Completion } from '../../block/node.js';
import { type Command, using } from './context.js';
import { numberOption, parseSize } from './getopt.js';

const MAX_BUFFER = 1 << 30;

export async function bench(c: Command): Promise<number> {
  const { options } = c;
  const count = options.has('c') ? numberOption('request count', options.get('c')!, 1, 2 ** 31 - 1) : 75000;
  const depth = options.has('d') ? numberOption('queue depth', options.get('d')!, 1, 2 ** 31 - 1) : 64;
  const size = (name: string, otherwise: number): number => {
    const text = options.get(name);
    const value = text === undefined ? otherwise : parseSize(text);
    if (value === undefined)
      throw new UserError(`Invalid ${name === 's' ? 'buffer size' : name === 'S' ? 'step size' : 'offset'} specified`);
    return value;
  };
  const bytes = size('s', 4096);
  const step = size('S', 0) || bytes;
  const offset = size('o', 0);
  const write = options.has('w');
  const flushEvery = options.has('flush-interval')
    ? numberOption('flush interval', options.get('flush-interval')!, 0, 2 ** 31 - 1)
    : 0;
  const pattern = options.has('pattern') ? numberOption('pattern byte', options.get('pattern')!, 0, 0xff) : 0;
  if (!write && flushEvery > 0) throw new UserError('--flush-interval is only available in write tests');
  if (flushEvery > 0 && flushEvery < depth) throw new UserError("Flush interval can't be smaller than depth");
  if (bytes === 0 || bytes > MAX_BUFFER) throw new UserError('Invalid buffer size specified');
  const format = options.get('f');
  const node = await c.open(c.operand(0), {
    readOnly: !write,
    cache: c.cache('t', 'writeback'),
    ...(format !== undefined && { format }),
  });
  return using(node, async () => {
    c.print(
      `Sending ${count} ${write ? 'write' : 'read'} requests, ${bytes} bytes each, ${depth} in parallel (starting at offset ${offset}, step size ${step})\n`,
    );
    if (flushEvery > 0)
      c.print(`Sending flush every ${options.has('no-drain') ? '' : 'drained '}${flushEvery} requests\n`);
    const started = performance.now();
    await run(node, { count, depth, bytes, step, offset, write, pattern, flushEvery });
    c.print(`Run completed in ${((performance.now() - started) / 1000).toFixed(3)} seconds.\n`);
    return 0;
  });
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
    if (at + l.bytes > node.length) at = 0;
    let done: Completion = l.write ? node.write(at, buffer) : node.read(at, buffer);
    at += l.step;
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
