/** Encrypted qcow2 images: LUKS, with sectors numbered as in the file, and the old AES with a bare passphrase. */
import { UserError } from '../../base/errors.js';
import type { AmendContext, CreateContext, InfoValue, OpenContext } from '../format.js';
import { luksChoices, luksInfo, makeLuks, readLuksHeader, unlock } from '../luks/header.js';
import { cryptoOf } from '../luks/index.js';
import { amendKeySlots, type LuksVolume } from '../luks/key-slots.js';
import { SectorCipher } from '../luks/sector-cipher.js';
import { BlockError, type BlockNode } from '../node.js';
import type { ClusterCipher } from './cipher.js';
import { CRYPT_AES, CRYPT_LUKS, CRYPT_NONE, type Header } from './header.js';

const SECTOR = 512;
const AES_KEY_BYTES = 16;

class Cipher implements ClusterCipher {
  constructor(
    readonly byHostOffset: boolean,
    readonly cipher: SectorCipher | null,
    readonly facts: InfoValue,
    readonly volume: Omit<LuksVolume, 'master' | 'crypto'> | null,
  ) {}

  #key(): SectorCipher {
    if (!this.cipher) throw new BlockError('EACCES', "Parameter 'encrypt.key-secret' is required for cipher");
    return this.cipher;
  }

  encrypt(offset: number, data: Uint8Array): Uint8Array {
    return this.#key().encrypt(offset / SECTOR, data);
  }

  decrypt(offset: number, data: Uint8Array): void {
    this.#key().decrypt(offset / SECTOR, data);
  }

  info(): InfoValue {
    return this.facts;
  }

  async amend(option: (name: string) => string | undefined, context: AmendContext): Promise<void> {
    if (!this.volume) throw new UserError('Only LUKS encryption options can be amended');
    const { key: master, crypto } = this.#key();
    await amendKeySlots({ ...this.volume, master, crypto }, option, context);
  }
}

function aesKey(password: Uint8Array): Uint8Array {
  const key = new Uint8Array(AES_KEY_BYTES);
  key.set(password.subarray(0, AES_KEY_BYTES));
  return key;
}

/** The cipher of an image; null for one that is not encrypted. */
export async function openCipher(file: BlockNode, header: Header, context: OpenContext): Promise<ClusterCipher | null> {
  if (header.cryptMethod === CRYPT_NONE) return null;
  const id = context.option('encrypt.key-secret');
  if (id === undefined && !context.forCheck) {
    throw new UserError("Parameter 'encrypt.key-secret' is required for cipher");
  }
  if (header.cryptMethod === CRYPT_AES) {
    const spec = { algorithm: 'aes', mode: 'cbc', ivgen: 'plain64' } as const;
    const cipher = id === undefined ? null : new SectorCipher(cryptoOf(context.host), spec, aesKey(context.secret(id)));
    return new Cipher(false, cipher, { format: 'aes' }, null);
  }
  const { encryption } = header;
  if (header.cryptMethod !== CRYPT_LUKS || !encryption)
    throw new BlockError('EINVAL', 'the LUKS header of the image is missing');
  const luks = await readLuksHeader(file, encryption.offset);
  const cipher =
    id === undefined ? null : await unlock(file, encryption.offset, luks, context.secret(id), cryptoOf(context.host));
  return new Cipher(true, cipher, luksInfo(luks, true), { file, offset: encryption.offset, header: luks });
}

export interface NewEncryption {
  readonly method: number;
  /** What the header extension points to; null with AES. */
  readonly bytes: Uint8Array | null;
}

export function newEncryption(c: CreateContext): NewEncryption | null {
  const format = c.text('encrypt.format') ?? (c.flag('encryption') ? 'aes' : undefined);
  if (format === undefined) return null;
  if (format !== 'aes' && format !== 'luks')
    throw new UserError(`Parameter 'format' does not accept value '${format}'`);
  const id = c.text('encrypt.key-secret');
  if (id === undefined) throw new UserError("Parameter 'encrypt.key-secret' is required for cipher");
  const password = c.secret(id);
  if (format === 'aes') return { method: CRYPT_AES, bytes: null };
  const choices = luksChoices((n) => c.text(`encrypt.${n}`));
  return { method: CRYPT_LUKS, bytes: makeLuks(choices, password, cryptoOf(c.host), () => c.host.now?.() ?? 0).bytes };
}
