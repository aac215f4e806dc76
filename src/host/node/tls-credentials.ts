/** TLS credentials as QEMU's objects have them: a folder with certificates (`tls-creds-x509`) or shared keys (`tls-creds-psk`). */
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import tls from 'node:tls';
import { UserError } from '../../base/errors.js';
import type { Credentials } from '../../block/nbd/protocol.js';
import { BlockError } from '../../block/node.js';
import { hostReason } from './host-error.js';

/** Key exchanges that a shared key authenticates; those that keep old traffic secret first. Of TLS 1.2: later it has no names. */
const PSK_CIPHERS = 'kECDHEPSK:kDHEPSK:kPSK';
const DEFAULT_USER = 'qemu';

export class TlsCredentials implements Credentials {
  constructor(
    readonly endpoint: 'client' | 'server',
    private readonly options: tls.CommonConnectionOptions & tls.SecureContextOptions,
    /** The key of a user; absent with certificates. */
    private readonly keys?: ReadonlyMap<string, Buffer>,
    private readonly user = DEFAULT_USER,
  ) {}

  /** Rejects with BlockError when the other side cannot be trusted. */
  client(socket: net.Socket, hostname: string): Promise<net.Socket> {
    return new Promise((resolve, reject) => {
      const secured = tls.connect({
        ...this.options,
        socket,
        host: hostname,
        ...(net.isIP(hostname) === 0 && { servername: hostname }),
        ...(this.keys && {
          pskCallback: () => {
            const psk = this.keys!.get(this.user);
            return psk ? { psk, identity: this.user } : null;
          },
          // The key has told who it is.
          checkServerIdentity: () => undefined,
        }),
      });
      const failed = (error: Error): void => reject(new BlockError('EIO', `TLS handshake failed: ${error.message}`));
      const closed = (): void => failed(new Error('the connection was closed'));
      secured.once('error', failed);
      secured.once('close', closed);
      secured.once('secureConnect', () => {
        secured.off('error', failed);
        secured.off('close', closed);
        resolve(secured);
      });
    });
  }

  server(socket: net.Socket): Promise<net.Socket> {
    return new Promise((resolve, reject) => {
      const failed = (reason: string): void => {
        socket.destroy();
        reject(new BlockError('EIO', `TLS handshake failed: ${reason}`));
      };
      // It listens nowhere: the connection is given to it.
      const server = tls.createServer({
        ...this.options,
        ...(this.keys && {
          pskCallback: (_socket: tls.TLSSocket, identity: string) => this.keys!.get(identity) ?? null,
        }),
      });
      server.once('tlsClientError', (error) => failed(error.message));
      server.once('secureConnection', resolve);
      socket.once('close', () => failed('the connection was closed'));
      server.emit('connection', socket);
    });
  }
}

/** `type`: the object's; `pairs`: its properties. Throws UserError. */
export function tlsCredentials(
  type: string,
  pairs: ReadonlyMap<string, string>,
  secret: (id: string) => Uint8Array,
): TlsCredentials {
  const endpoint = pairs.get('endpoint') ?? 'client';
  if (endpoint !== 'client' && endpoint !== 'server')
    throw new UserError(`Parameter 'endpoint' does not accept value '${endpoint}'`);
  if (pairs.has('priority'))
    throw new UserError(`${type}: priority is a text of GnuTLS: leave it out, and Node.js chooses`);
  const dir = pairs.get('dir');
  if (dir === undefined) throw new UserError("Missing 'dir' property value");
  const read = (name: string, optional = false): Buffer | undefined => {
    try {
      return fs.readFileSync(path.join(dir, name));
    } catch (error) {
      if (optional && (error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw new UserError(`Unable to access credentials ${path.join(dir, name)}: ${hostReason(error)}`);
    }
  };
  if (type === 'tls-creds-psk') {
    const keys = pskKeys(read('keys.psk')!.toString('latin1'));
    const user = pairs.get('username');
    if (endpoint === 'client' && !keys.has(user ?? DEFAULT_USER))
      throw new UserError(`${path.join(dir, 'keys.psk')} has no key of user '${user ?? DEFAULT_USER}'`);
    return new TlsCredentials(endpoint, { ciphers: PSK_CIPHERS, maxVersion: 'TLSv1.2' }, keys, user);
  }
  const verify = flag('verify-peer', pairs.get('verify-peer') ?? 'on');
  const ownOptional = endpoint === 'client';
  const cert = read(`${endpoint}-cert.pem`, ownOptional);
  const key = cert && read(`${endpoint}-key.pem`);
  const crl = read('ca-crl.pem', true);
  const password = pairs.get('passwordid');
  const options: tls.CommonConnectionOptions & tls.SecureContextOptions = {
    ca: read('ca-cert.pem')!,
    ...(cert && key && { cert, key }),
    ...(crl && { crl }),
    ...(password !== undefined && { passphrase: Buffer.from(secret(password)).toString() }),
    requestCert: endpoint === 'server' && verify,
    rejectUnauthorized: verify,
  };
  try {
    tls.createSecureContext(options);
  } catch (error) {
    throw new UserError(`Unable to load credentials of ${dir}: ${(error as Error).message}`);
  }
  return new TlsCredentials(endpoint, options);
}

function flag(name: string, text: string): boolean {
  if (/^(on|yes|true|y)$/.test(text)) return true;
  if (/^(off|no|false|n)$/.test(text)) return false;
  throw new UserError(`Parameter '${name}' expects 'on' or 'off'`);
}

/** Lines of `user:key`, the key in hexadecimal digits. */
function pskKeys(text: string): Map<string, Buffer> {
  const keys = new Map<string, Buffer>();
  for (const line of text.split('\n')) {
    const [, user, key] = /^([^:#][^:]*):((?:[0-9a-f]{2})+)\s*$/i.exec(line) ?? [];
    if (user !== undefined && key !== undefined) keys.set(user, Buffer.from(key, 'hex'));
  }
  return keys;
}
