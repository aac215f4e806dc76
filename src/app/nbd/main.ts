/** The command `tinamou-nbd`: serves images over NBD, as qemu-nbd does. */
import fs from 'node:fs';
import { UserError } from '../../base/errors.js';
import { CACHE_MODES, type CacheMode, type FormatNode } from '../../block/format.js';
import { type Credentials, DEFAULT_PORT } from '../../block/nbd/protocol.js';
import type { Export, ExportBitmap } from '../../block/nbd/server.js';
import type { BlockNode } from '../../block/node.js';
import { openImage } from '../../block/open.js';
import { loadBitmaps } from '../../block/qcow2/bitmaps.js';
import { Qcow2Node } from '../../block/qcow2/node.js';
import { NODE_BLOCK_HOST } from '../../host/node/block-host.js';
import { NbdListener } from '../../host/node/nbd-listener.js';
import { hostObjects } from '../img/context.js';
import { Options, UsageError } from '../img/getopt.js';

const PROGRAM = 'tinamou-nbd';
const HELP = `Usage: ${PROGRAM} [OPTIONS] FILE
Tinamou disk network block device utility

  -h, --help                display this help and exit
  -V, --version             output version information and exit

Connection properties:
  -p, --port=PORT           port to listen on (default ${DEFAULT_PORT})
  -b, --bind=IFACE          interface to bind to (default 0.0.0.0)
  -k, --socket=PATH         path to the unix socket
  -e, --shared=NUM          device can be shared by NUM clients (default 1; 0: any number)
  -t, --persistent          don't exit on the last connection
  -x, --export-name=NAME    expose export by name (default is empty string)
  -D, --description=TEXT    export a human-readable description
      --pid-file=PATH       store the server's process ID in the given file
      --object type,id=ID,...  define an object such as tls-creds-x509, tls-creds-psk or secret
      --tls-creds=ID        use TLS, with the credentials of an object

Image:
  -f, --format=FORMAT       set image format (raw, qcow2, ...)
  -r, --read-only           export read-only
  -s, --snapshot            use FILE as an external snapshot
  -l, --load-snapshot=NAME  load an internal snapshot and export it read-only
  -B, --bitmap=NAME         export a persistent dirty bitmap
      --cache=MODE          set cache mode (none, writeback, ...)
`;

const SYNTAX = {
  short: 'hVp:b:k:e:tx:D:f:rsl:B:vn',
  long: {
    'port=': 'p',
    'bind=': 'b',
    'socket=': 'k',
    'shared=': 'e',
    persistent: 't',
    'export-name=': 'x',
    'description=': 'D',
    'pid-file=': undefined,
    'format=': 'f',
    'read-only': 'r',
    snapshot: 's',
    'load-snapshot=': 'l',
    'bitmap=': 'B',
    'cache=': undefined,
    'tls-creds=': undefined,
    version: 'V',
    verbose: 'v',
    nocache: 'n',
  },
};

export interface Server {
  /** Settles when the last client has gone (and the server is not persistent), or after `stop`. */
  readonly done: Promise<void>;
  stop(): void;
}

/** Opens the image and listens. Throws UserError. */
export async function startServer(o: Options): Promise<Server> {
  const [file] = o.operands;
  if (file === undefined || o.operands.length > 1) throw new UserError('Invalid number of arguments');
  const cache = o.get('cache');
  if (cache !== undefined && !(CACHE_MODES as readonly string[]).includes(cache))
    throw new UserError(`Invalid cache mode \`${cache}'`);
  const objects = hostObjects(o.all('object'));
  const tls = o.has('tls-creds') ? objects.tls(o.get('tls-creds')!, 'server') : undefined;
  const snapshot = o.get('l');
  const readOnly = o.has('r') || snapshot !== undefined;
  const format = o.get('f');
  const node: FormatNode = await openImage(NODE_BLOCK_HOST, {
    file,
    readOnly,
    snapshot: o.has('s'),
    secrets: objects.secrets,
    credentials: objects.credentials,
    warn: (text) => process.stderr.write(`${text}\n`),
    ...(format !== undefined && { format }),
    ...(cache !== undefined && { cache: cache as CacheMode }),
  });
  try {
    const served = snapshot === undefined ? node : await snapshotOf(node, snapshot);
    const shared = Number(o.get('e') ?? 1);
    const one: Export = {
      name: o.get('x') ?? '',
      description: o.get('D') ?? '',
      node: served,
      writable: !readOnly,
      bitmaps: await bitmapsOf(node, o.all('B')),
      shared: shared !== 1,
    };
    return await listen(o, node, one, shared, tls);
  } catch (error) {
    await node.close();
    throw error;
  }
}

async function snapshotOf(node: FormatNode, name: string): Promise<BlockNode> {
  if (!node.snapshots) throw new UserError('Failed to load snapshot: the format has none');
  return node.snapshots.open(name.replace(/^snapshot\.(id|name)=/, ''));
}

async function bitmapsOf(node: BlockNode, names: readonly string[]): Promise<ExportBitmap[]> {
  if (names.length === 0) return [];
  const all = node instanceof Qcow2Node ? (node.bitmaps ?? (await loadBitmaps(node.image))) : [];
  return names.map((name) => {
    const found = all.find((b) => b.name === name);
    if (!found) throw new UserError(`Bitmap '${name}' is not found`);
    if (found.inconsistent) throw new UserError(`Bitmap '${name}' is inconsistent and cannot be used`);
    return { name, granularity: 2 ** found.granularityBits, has: (offset) => found.has(offset) };
  });
}

async function listen(
  o: Options,
  node: BlockNode,
  one: Export,
  shared: number,
  tls: Credentials | undefined,
): Promise<Server> {
  let finish: () => void = () => {};
  const ended = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const path = o.get('k');
  const listener = await NbdListener.open(
    path !== undefined ? { path } : { host: o.get('b') ?? '0.0.0.0', port: Number(o.get('p') ?? DEFAULT_PORT) },
    [one],
    { most: shared, ...(!o.has('t') && { idle: finish }), ...(tls && { tls }) },
  );
  const pidFile = o.get('pid-file');
  if (pidFile !== undefined) fs.writeFileSync(pidFile, `${process.pid}\n`);
  const done = ended.then(async () => {
    await listener.close();
    await node.close();
    if (pidFile !== undefined) fs.rmSync(pidFile, { force: true });
  });
  return { done, stop: finish };
}

/** Runs the command and gives its exit status. */
export async function main(args: readonly string[], version: string): Promise<number> {
  try {
    const options = new Options(args, SYNTAX);
    if (options.has('h')) {
      process.stdout.write(HELP);
      return 0;
    }
    if (options.has('V')) {
      process.stdout.write(`${PROGRAM} ${version}\n`);
      return 0;
    }
    const server = await startServer(options);
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => server.stop());
    await server.done;
    return 0;
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    process.stderr.write(`${PROGRAM}: ${error.message}\n`);
    if (error instanceof UsageError) process.stderr.write(`Try \`${PROGRAM} --help' for more information.\n`);
    return 1;
  }
}

export { SYNTAX };
