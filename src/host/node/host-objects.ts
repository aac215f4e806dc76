/** `-object`: what other options name by its id. */
import { UserError } from '../../base/errors.js';
import { THROTTLE_NAMES, ThrottleGroup, throttleOptions } from '../../block/filters/throttle.js';
import { IO_THREAD_DEFAULTS, type IoThread } from '../../block/io-thread.js';
import { type Credentials, credentialsFor } from '../../block/nbd/protocol.js';
import { parseInteger } from '../../machine/property.js';
import { secretBytes } from './secret.js';
import { tlsCredentials } from './tls-credentials.js';

export const OBJECT_TYPES = [
  ...['secret', 'tls-creds-x509', 'tls-creds-psk', 'rng-random', 'rng-builtin', 'iothread', 'throttle-group'],
];

/** What rng-random may name: both are the generator that the machine's random numbers come from anyway. */
const GENERATORS = ['/dev/urandom', '/dev/random'];

export class HostObjects {
  readonly secrets = new Map<string, Uint8Array>();
  readonly credentials = new Map<string, Credentials>();
  /** Ids of sources of random numbers. */
  readonly generators = new Set<string>();
  readonly ioThreads = new Map<string, IoThread>();
  readonly throttleGroups = new Map<string, ThrottleGroup>();

  /** `type` and the properties of an object. Throws UserError. */
  add(type: string, pairs: ReadonlyMap<string, string>): void {
    const id = pairs.get('id');
    if (!OBJECT_TYPES.includes(type)) throw new UserError(`Parameter 'qom-type' does not accept value '${type}'`);
    if (id === undefined) throw new UserError("Parameter 'id' is missing");
    const all = [this.secrets, this.credentials, this.generators, this.ioThreads, this.throttleGroups];
    if (all.some((objects) => objects.has(id)))
      throw new UserError(`attempt to add duplicate property '${id}' to object (type 'container')`);
    if (type === 'secret') this.secrets.set(id, secretBytes(pairs));
    else if (type.startsWith('rng-')) this.#addGenerator(id, type, pairs);
    else if (type === 'iothread') this.#addIoThread(id, pairs);
    else if (type === 'throttle-group') this.#addThrottleGroup(id, pairs);
    else
      this.credentials.set(
        id,
        tlsCredentials(type, pairs, (name) => this.#secret(name)),
      );
  }

  /** Credentials for one side. Throws UserError. */
  tls(id: string, endpoint: Credentials['endpoint']): Credentials {
    return credentialsFor(this.credentials, id, endpoint);
  }

  #addGenerator(id: string, type: string, pairs: ReadonlyMap<string, string>): void {
    for (const [key, value] of pairs) {
      if (key === 'id' || key === 'qom-type') continue;
      if (type !== 'rng-random' || key !== 'filename') throw new UserError(`Property '${type}.${key}' not found`);
      if (!GENERATORS.includes(value))
        throw new UserError(`rng-random: filename '${value}' is not one of ${GENERATORS.join(' and ')}`);
    }
    this.generators.add(id);
  }

  #addIoThread(id: string, pairs: ReadonlyMap<string, string>): void {
    const values: Record<string, number> = { ...IO_THREAD_DEFAULTS };
    for (const [key, text] of pairs) {
      if (key === 'id' || key === 'qom-type') continue;
      if (!Object.hasOwn(values, key)) throw new UserError(`Invalid parameter '${key}'`);
      const value = parseInteger(text);
      if (value === undefined || !Number.isSafeInteger(value) || value < 0) {
        throw new UserError(`${key} value must be in range [0, ${Number.MAX_SAFE_INTEGER}]`);
      }
      values[key] = value;
    }
    this.ioThreads.set(id, values as unknown as IoThread);
  }

  /** `x-bps-total=...`, or `limits.bps-total=...` as in JSON. */
  #addThrottleGroup(id: string, pairs: ReadonlyMap<string, string>): void {
    const said = new Map<string, string>();
    for (const [key, value] of pairs) {
      if (key === 'id' || key === 'qom-type') continue;
      const name = key.replace(/^(x-|limits\.)/, '');
      if (name === key || !THROTTLE_NAMES.includes(name))
        throw new UserError(`Property 'throttle-group.${key}' not found`);
      said.set(name, value);
    }
    const options = throttleOptions((name) => said.get(name));
    this.throttleGroups.set(id, new ThrottleGroup(options ?? { limits: {}, iopsSize: 0 }));
  }

  #secret(id: string): Uint8Array {
    const secret = this.secrets.get(id);
    if (!secret) throw new UserError(`No secret with id '${id}'`);
    return secret;
  }
}
