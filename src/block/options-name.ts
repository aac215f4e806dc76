/** Images named by options: `driver=qcow2,file.filename=a`, and `json:{...}` wherever a file name may stand, also in images. */
import { UserError } from '../base/errors.js';
import { nbdUri } from './nbd/address.js';
import { DEFAULT_PORT } from './nbd/protocol.js';

export interface NamedImage {
  readonly file: string;
  readonly format?: string;
  /** Options of the format. */
  readonly options: Readonly<Record<string, string>>;
}

const PREFIX = 'json:';
const FILE_KEYS = ['file.filename', 'filename', 'file.url', 'url'];
const DRIVER_KEYS = ['driver', 'file.driver'];
/** Drivers of what is below a format: with them alone, the image is raw. */
const PROTOCOLS = ['file', 'host_device', 'http', 'https'];

export const isJsonName = (name: string): boolean => name.startsWith(PREFIX);

/** Throws UserError. */
export function fromJsonName(name: string): NamedImage {
  let value: unknown;
  try {
    value = JSON.parse(name.slice(PREFIX.length));
  } catch {
    throw new UserError(`'${name}': what follows json: is no JSON`);
  }
  const pairs = new Map<string, string>();
  const add = (key: string, v: unknown): void => {
    if (v !== null && typeof v === 'object') {
      for (const [k, inner] of Object.entries(v)) add(key === '' ? k : `${key}.${k}`, inner);
    } else if (typeof v === 'boolean') pairs.set(key, v ? 'on' : 'off');
    else if (v !== null) pairs.set(key, String(v));
  };
  add('', value);
  return fromPairs(pairs, name);
}

/** `text`: what the user wrote, for messages. Throws UserError. */
export function fromPairs(pairs: ReadonlyMap<string, string>, text: string): NamedImage {
  const driver = pairs.get('driver');
  for (const prefix of ['', 'file.']) if (pairs.get(`${prefix}driver`) === 'nbd') return nbdPairs(pairs, prefix);
  const file = FILE_KEYS.map((key) => pairs.get(key)).find((name) => name !== undefined);
  if (file === undefined) throw new UserError(`${text}: give file.filename`);
  const format = driver !== undefined && PROTOCOLS.includes(driver) ? 'raw' : driver;
  const options: Record<string, string> = {};
  for (const [key, value] of pairs) {
    if (!FILE_KEYS.includes(key) && !DRIVER_KEYS.includes(key)) options[key] = value;
  }
  return { file, ...(format !== undefined && { format }), options };
}

/** An NBD export by options, which stand behind `prefix`. */
function nbdPairs(pairs: ReadonlyMap<string, string>, prefix: string): NamedImage {
  const rest = new Map(pairs);
  const take = (...names: string[]): string | undefined => {
    let value: string | undefined;
    for (const name of names) {
      value ??= rest.get(prefix + name);
      rest.delete(prefix + name);
    }
    return value;
  };
  take('driver', 'server.type');
  const path = take('server.path', 'path');
  const file = nbdUri({
    ...(path !== undefined && { path }),
    host: take('server.host', 'host') ?? 'localhost',
    port: Number(take('server.port', 'port') ?? DEFAULT_PORT),
    exportName: take('export') ?? '',
  });
  rest.delete('driver');
  const options: Record<string, string> = {};
  for (const [key, value] of rest) options[key.startsWith(prefix) ? key.slice(prefix.length) : key] = value;
  const chosen = prefix === '' ? 'raw' : pairs.get('driver');
  return { file, ...(chosen !== undefined && { format: chosen }), options };
}
