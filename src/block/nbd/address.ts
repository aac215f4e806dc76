/** Names of NBD exports: URIs, and the older `nbd:host:port:exportname=name`. */
import { UserError } from '../../base/errors.js';
import { DEFAULT_PORT } from './protocol.js';

export interface NbdAddress {
  readonly host?: string;
  readonly port?: number;
  readonly path?: string;
  readonly exportName: string;
}

export function nbdUri({ host, port, path, exportName }: NbdAddress): string {
  const name = encodeURIComponent(exportName);
  if (path !== undefined) return `nbd+unix:///${name}?socket=${encodeURIComponent(path)}`;
  return `nbd://${host?.includes(':') ? `[${host}]` : host}:${port}/${name}`;
}

export function parseNbd(name: string): NbdAddress {
  const uri = /^nbd(\+tcp|\+unix)?:\/\/([^/?]*)(?:\/([^?]*))?(?:\?(.*))?$/.exec(name);
  if (uri) {
    const [, kind, authority = '', exportName = '', query = ''] = uri;
    const decoded = decodeURIComponent(exportName);
    if (kind === '+unix') {
      const path = /(?:^|&)socket=([^&]*)/.exec(query)?.[1];
      if (!path) throw new UserError(`'${name}': a socket is missing: add ?socket=PATH`);
      return { path: decodeURIComponent(path), exportName: decoded };
    }
    const [, bracketed, plain, port] = /^(?:\[(.*)\]|([^:]*))(?::(\d+))?$/.exec(authority) ?? [];
    return { host: bracketed ?? (plain || 'localhost'), port: Number(port ?? DEFAULT_PORT), exportName: decoded };
  }
  const [, rest = '', exportName = ''] = /^nbd:(.*?)(?::exportname=(.*))?$/.exec(name) ?? [];
  if (rest.startsWith('unix:')) return { path: rest.slice('unix:'.length), exportName };
  const [, host, port] = /^(.*):(\d+)$/.exec(rest) ?? [];
  if (port === undefined) throw new UserError(`'${name}' is no name of an NBD export`);
  return { host: host || 'localhost', port: Number(port), exportName };
}
