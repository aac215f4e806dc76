/** Graphs of nodes from `-blockdev`: each option names a driver, and the nodes below it by name or by options of their own. */
import { UserError } from '../base/errors.js';
import { BlkdebugNode, type Fault, type FaultKind } from './filters/blkdebug.js';
import { CopyOnReadNode } from './filters/copy-on-read.js';
import { ThrottleGroup, ThrottleNode, throttleOptions } from './filters/throttle.js';
import { type BlockHost, CACHE_MODES, type CacheMode, type FileAccess } from './format.js';
import { formatNamed } from './formats.js';
import { MemoryNode } from './memory.js';
import { nbdUri } from './nbd/address.js';
import { DEFAULT_PORT } from './nbd/protocol.js';
import type { BlockErrno, BlockNode } from './node.js';
import { COMMON, checkLimits, checkName, checkOptions } from './node-options.js';
import { type NamedObjects, openFormat, tlsOf } from './open.js';
import { openProtocol } from './protocols.js';

/** Options as JSON has them; numbers and flags are texts. */
export interface NodeOptions {
  readonly [name: string]: string | NodeOptions;
}

/** `a=1,b.c=2` and JSON to nested options. */
export function nested(pairs: readonly (readonly [string, string])[]): NodeOptions {
  const root: Record<string, unknown> = {};
  for (const [key, value] of pairs) {
    const path = key.split('.');
    let at = root;
    for (const part of path.slice(0, -1)) {
      if (typeof at[part] === 'string') throw new UserError(`Parameter '${key}' is both a value and a group`);
      at[part] ??= Object.create(null) as Record<string, unknown>;
      at = at[part] as Record<string, unknown>;
    }
    at[path.at(-1)!] = value;
  }
  return root as NodeOptions;
}

export function fromJson(text: string): NodeOptions {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new UserError('JSON parse error: what begins with { must be an object in JSON');
  }
  const convert = (v: unknown): string | NodeOptions => {
    if (v !== null && typeof v === 'object') {
      return Object.fromEntries(Object.entries(v).map(([k, inner]) => [k, convert(inner)]));
    }
    if (v === true) return 'on';
    if (v === false) return 'off';
    return v === null ? '' : String(v);
  };
  const options = convert(value);
  if (typeof options === 'string') throw new UserError('an object in JSON is expected');
  return options;
}

const PROTOCOLS = ['file', 'host_device', 'host_cdrom', 'nbd', 'http', 'https'];
const MEMORY = ['null-co', 'null-aio', 'memory'];
const FILTERS = ['throttle', 'copy-on-read', 'blkdebug'];

/** Drivers of nodes that no format stands on: an image that is named by options of one is not of a format. */
export const isNoFormat = (driver: string): boolean => [...PROTOCOLS, ...MEMORY, ...FILTERS].includes(driver);

const DEFAULT_NULL_BYTES = 2 ** 30;
const EVENTS: Readonly<Record<string, FaultKind>> = {
  read_aio: 'read',
  write_aio: 'write',
  pwritev: 'write',
  preadv: 'read',
  flush_to_disk: 'flush',
  flush_to_os: 'flush',
};
const ERRNOS: Readonly<Record<string, BlockErrno>> = { '5': 'EIO', '28': 'ENOSPC', '1': 'EPERM', '22': 'EINVAL' };

export class NodeGraph {
  readonly #nodes = new Map<string, { readonly node: BlockNode; readonly options: NodeOptions }>();
  readonly #used = new Set<string>();

  constructor(
    readonly host: BlockHost,
    private readonly objects: NamedObjects,
    /** Nothing is to be written, whatever options say. */
    private readonly onlyLook = false,
  ) {}

  /** Adds a named node. Throws UserError. */
  async add(options: NodeOptions): Promise<void> {
    const name = text(options, 'node-name');
    if (name === undefined) throw new UserError("'node-name' must be specified for the root node");
    checkName(name);
    if (this.#nodes.has(name)) throw new UserError(`Duplicate nodes with node-name='${name}'`);
    this.#nodes.set(name, { node: await this.#make(options, false), options });
  }

  /** A node that no other can name. Throws UserError. */
  unnamed(options: NodeOptions): Promise<BlockNode> {
    return this.#make(options, false);
  }

  /** Nodes that no other node stands on, with what was said of them. */
  get roots(): { readonly name: string; readonly node: BlockNode; readonly options: NodeOptions }[] {
    return [...this.#nodes].filter(([name]) => !this.#used.has(name)).map(([name, n]) => ({ name, ...n }));
  }

  async close(): Promise<void> {
    for (const { node } of this.roots) await node.close();
    this.#nodes.clear();
  }

  async #child(options: NodeOptions, key: string, readOnly: boolean): Promise<BlockNode> {
    const value = options[key];
    if (value === undefined) throw new UserError(`A block device must be specified for "${key}"`);
    if (typeof value !== 'string') return this.#make({ ...(readOnly && { 'read-only': 'on' }), ...value }, readOnly);
    const known = this.#nodes.get(value);
    if (!known) throw new UserError(`Cannot find device='${value}' nor node-name='${value}'`);
    if (this.#used.has(value)) throw new UserError(`Node '${value}' is in use already`);
    this.#used.add(value);
    return known.node;
  }

  async #make(options: NodeOptions, backing: boolean): Promise<BlockNode> {
    const driver = text(options, 'driver');
    if (driver === undefined) throw new UserError("Parameter 'driver' is missing");
    checkOptions(driver, Object.keys(options));
    if (text(options, 'detect-zeroes') === 'unmap' && !['unmap', 'on'].includes(text(options, 'discard') ?? ''))
      throw new UserError('setting detect-zeroes to unmap is not allowed without setting discard operation to unmap');
    const readOnly = this.onlyLook || (flag(options, 'read-only') ?? backing);
    if (MEMORY.includes(driver))
      return new MemoryNode(Number(text(options, 'size') ?? DEFAULT_NULL_BYTES), driver, readOnly);
    if (PROTOCOLS.includes(driver)) {
      const cache = cacheMode(options);
      checkAio(options);
      const access: FileAccess = {
        readOnly,
        beside: true,
        ...(flag(options, 'force-share') && { share: true }),
        ...(text(options, 'locking') === 'off' && { unlocked: true }),
        ...(cache && { cache }),
        ...tlsOf((option) => text(options, option), this.objects.credentials),
      };
      const name = protocolName(driver, options);
      try {
        return await openProtocol(this.host, name, access);
      } catch (error) {
        if (!(flag(options, 'auto-read-only') && !readOnly && error instanceof UserError)) throw error;
        return openProtocol(this.host, name, { ...access, readOnly: true });
      }
    }
    if (FILTERS.includes(driver)) return this.#filter(driver, options, readOnly);
    const format = formatNamed(driver);
    if (!format) throw new UserError(`Unknown driver '${driver}'`);
    const file = await this.#child(options, 'file', readOnly);
    const own = flattened(options);
    for (const key of Object.keys(own)) if (/^(file|backing)(\.|$)/.test(key) || COMMON.includes(key)) delete own[key];
    // `backing` says what is below; the empty text (JSON's null) says nothing is.
    const below =
      'backing' in options && options['backing'] !== '' ? await this.#child(options, 'backing', true) : undefined;
    return openFormat(this.host, format, file, {
      file: file.filename,
      readOnly,
      options: own,
      secrets: this.objects.secrets,
      ...('backing' in options && { backing: below ?? null }),
    });
  }

  async #filter(driver: string, options: NodeOptions, readOnly: boolean): Promise<BlockNode> {
    const group = driver === 'throttle' ? this.#throttleGroup(options) : null;
    const below = await this.#child(options, driver === 'blkdebug' && 'image' in options ? 'image' : 'file', readOnly);
    if (driver === 'copy-on-read') return new CopyOnReadNode(below);
    if (driver === 'blkdebug') return new BlkdebugNode(below, faultsOf(options));
    return throttled(this.host, below, group!);
  }

  /** That `throttle-group` names, or one of its own with `limits`. */
  #throttleGroup(options: NodeOptions): ThrottleGroup {
    const name = text(options, 'throttle-group');
    if (name !== undefined) {
      const group = this.objects.throttleGroups.get(name);
      if (!group) throw new UserError(`Throttle group '${name}' does not exist: define it with -object throttle-group`);
      return group;
    }
    const { limits } = options;
    if (typeof limits !== 'object') throw new UserError("Parameter 'throttle-group' is missing");
    checkLimits(Object.keys(limits));
    return new ThrottleGroup(throttleOptions((limit) => text(limits, limit)) ?? { limits: {}, iopsSize: 0 });
  }
}

export function throttled(host: BlockHost, below: BlockNode, group: ThrottleGroup): BlockNode {
  const { sleep, now } = host;
  if (!sleep || !now) throw new UserError('this host has no clock to throttle by');
  return new ThrottleNode(below, group, { now, sleep });
}

/** How the host does it is our own business; what QEMU would refuse is refused. */
function checkAio(options: NodeOptions): void {
  const aio = text(options, 'aio') ?? 'threads';
  if (!['threads', 'native', 'io_uring'].includes(aio))
    throw new UserError(`Parameter 'aio' does not accept value '${aio}'`);
  const { cache } = options;
  const direct = typeof cache === 'object' && flag(cache, 'direct');
  if (aio === 'native' && !direct)
    throw new UserError('aio=native was specified, but it requires cache.direct=on, which was not specified.');
}

function text(options: NodeOptions, name: string): string | undefined {
  const value = options[name];
  if (typeof value === 'object') throw new UserError(`Parameter '${name}' expects a text`);
  return value;
}

function flag(options: NodeOptions, name: string): boolean | undefined {
  const value = text(options, name);
  if (value === undefined) return undefined;
  if (value === 'on' || value === 'true' || value === 'yes') return true;
  if (value === 'off' || value === 'false' || value === 'no') return false;
  throw new UserError(`Parameter '${name}' expects 'on' or 'off'`);
}

/** `cache.no-flush` and `cache.direct`; or a mode by its name. */
function cacheMode(options: NodeOptions): CacheMode | undefined {
  const cache = options['cache'];
  if (cache === undefined) return undefined;
  if (typeof cache === 'object') return flag(cache, 'no-flush') ? 'unsafe' : 'writeback';
  const found = CACHE_MODES.find((m) => m === cache);
  if (!found) throw new UserError(`Invalid cache mode '${cache}'`);
  return found;
}

function protocolName(driver: string, options: NodeOptions): string {
  if (driver === 'nbd') {
    const server = options['server'];
    if (typeof server !== 'object') throw new UserError("Parameter 'server' is missing");
    const exportName = text(options, 'export') ?? '';
    if (text(server, 'type') === 'unix') return nbdUri({ path: text(server, 'path') ?? '', exportName });
    return nbdUri({
      host: text(server, 'host') ?? 'localhost',
      port: Number(text(server, 'port') ?? DEFAULT_PORT),
      exportName,
    });
  }
  const key = driver.startsWith('http') ? 'url' : 'filename';
  const name = text(options, key);
  if (name === undefined) throw new UserError(`Parameter '${key}' is missing`);
  return name;
}

function faultsOf(options: NodeOptions): Fault[] {
  const list = options['inject-error'];
  if (typeof list !== 'object') return [];
  return Object.values(list).map((rule): Fault => {
    if (typeof rule !== 'object') throw new UserError("Parameter 'inject-error' expects a list of rules");
    const event = text(rule, 'event');
    const kind = text(rule, 'iotype') ?? (event === undefined || event === 'none' ? undefined : EVENTS[event]);
    const kinds: readonly FaultKind[] =
      kind === undefined ? ['read', 'write', 'write-zeroes', 'discard', 'flush'] : [kind as FaultKind];
    const sector = text(rule, 'sector');
    return {
      kinds,
      errno: ERRNOS[text(rule, 'errno') ?? '5'] ?? 'EIO',
      ...(sector !== undefined && { offset: Number(sector) * 512 }),
      once: flag(rule, 'once') ?? false,
    };
  });
}

/** The other way round: `{"a":{"b":"1"}}` to `a.b`. */
export function flattened(options: NodeOptions): Record<string, string> {
  const into: Record<string, string> = {};
  flatten(options, '', into);
  return into;
}

function flatten(options: NodeOptions, prefix: string, into: Record<string, string>): void {
  for (const [key, value] of Object.entries(options)) {
    if (typeof value === 'string') into[prefix + key] = value;
    else flatten(value, `${prefix}${key}.`, into);
  }
}
