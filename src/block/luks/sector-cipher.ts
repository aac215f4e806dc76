/** Encryption of sectors, each by itself, with an initialization vector made from its number. */
import type { Crypto, HashName } from '../format.js';
import { BlockError } from '../node.js';

const SECTOR = 512;
const IV_BYTES = 16;

export interface CipherSpec {
  /** `aes`. */
  readonly algorithm: string;
  readonly mode: 'xts' | 'cbc' | 'ecb';
  readonly ivgen: 'plain' | 'plain64' | 'essiv' | 'none';
  readonly ivHash?: HashName;
}

export const HASHES: readonly string[] = ['sha1', 'sha224', 'sha256', 'sha384', 'sha512', 'ripemd160'];

/** `xts-plain64`, `cbc-essiv:sha256`. */
export function parseMode(algorithm: string, text: string): CipherSpec {
  const [, mode = '', ivgen = 'none', ivHash] = /^(\w+)(?:-(\w+))?(?::(\w+))?$/.exec(text) ?? [];
  const known = ['xts', 'cbc', 'ecb'].includes(mode) && ['plain', 'plain64', 'essiv', 'none'].includes(ivgen);
  if (algorithm !== 'aes' || !known || (ivgen === 'essiv' && !HASHES.includes(ivHash ?? ''))) {
    throw new BlockError('ENOTSUP', `the cipher ${algorithm}-${text} is not supported`);
  }
  return {
    algorithm,
    mode: mode as CipherSpec['mode'],
    ivgen: ivgen as CipherSpec['ivgen'],
    ...(ivHash !== undefined && { ivHash: ivHash as HashName }),
  };
}

export class SectorCipher {
  readonly #name: string;
  readonly #iv = new Uint8Array(IV_BYTES);
  readonly #salt: Uint8Array | null = null;
  readonly #spec: CipherSpec;

  constructor(
    readonly crypto: Crypto,
    spec: CipherSpec,
    readonly key: Uint8Array,
  ) {
    this.#spec = spec;
    const bits = (key.length * 8) / (spec.mode === 'xts' ? 2 : 1);
    if (![128, 192, 256].includes(bits) || (spec.mode === 'xts' && bits === 192)) {
      throw new BlockError('ENOTSUP', `a key of ${key.length} bytes does not fit ${spec.algorithm}-${spec.mode}`);
    }
    this.#name = `aes-${bits}-${spec.mode}`;
    if (spec.ivgen === 'essiv') this.#salt = crypto.hash(spec.ivHash!, key);
  }

  encrypt(sector: number, data: Uint8Array): Uint8Array {
    return this.#run(true, sector, data, new Uint8Array(data.length));
  }

  /** In place. */
  decrypt(sector: number, data: Uint8Array): void {
    this.#run(false, sector, data, data);
  }

  #run(encrypt: boolean, sector: number, from: Uint8Array, to: Uint8Array): Uint8Array {
    for (let at = 0; at < from.length; at += SECTOR, sector++) {
      to.set(
        this.crypto.cipher(this.#name, encrypt, this.key, this.#vector(sector), from.subarray(at, at + SECTOR)),
        at,
      );
    }
    return to;
  }

  #vector(sector: number): Uint8Array | null {
    if (this.#spec.mode === 'ecb') return null;
    const iv = this.#iv;
    iv.fill(0);
    if (this.#spec.ivgen === 'none') return iv;
    const bytes = this.#spec.ivgen === 'plain' ? 4 : 8;
    for (let i = 0, rest = sector; i < bytes; i++, rest = Math.floor(rest / 256)) iv[i] = rest % 256;
    if (!this.#salt) return iv;
    return this.crypto.cipher(`aes-${this.#salt.length * 8}-ecb`, true, this.#salt, null, iv);
  }
}
