/** `-object`: what other options name by its id. */
import { UserError } from '../../base/errors.js';
import { type Credentials, credentialsFor } from '../../block/nbd/protocol.js';
import { secretBytes } from './secret.js';
import { tlsCredentials } from './tls-credentials.js';

export const OBJECT_TYPES = ['secret', 'tls-creds-x509', 'tls-creds-psk'];

export class HostObjects {
  readonly secrets = new Map<string, Uint8Array>();
  readonly credentials = new Map<string, Credentials>();

  /** `type` and the properties of an object. Throws UserError. */
  add(type: string, pairs: ReadonlyMap<string, string>): void {
    const id = pairs.get('id');
    if (!OBJECT_TYPES.includes(type)) throw new UserError(`Parameter 'qom-type' does not accept value '${type}'`);
    if (id === undefined) throw new UserError("Parameter 'id' is missing");
    if (this.secrets.has(id) || this.credentials.has(id))
      throw new UserError(`attempt to add duplicate property '${id}' to object (type 'container')`);
    if (type === 'secret') this.secrets.set(id, secretBytes(pairs));
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

  #secret(id: string): Uint8Array {
    const secret = this.secrets.get(id);
    if (!secret) throw new UserError(`No secret with id '${id}'`);
    return secret;
  }
}
