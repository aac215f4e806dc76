/** LUKS volumes as images: the header, and behind it the disk, encrypted. */
import { UserError } from '../../base/errors.js';
import { roundUp } from '../big-endian.js';
import type {
  AmendContext,
  BlockHost,
  CreateContext,
  Crypto,
  Format,
  FormatInfo,
  FormatNode,
  OpenContext,
} from '../format.js';
import {
  BaseNode,
  BlockError,
  type BlockNode,
  type BlockStatus,
  type Completion,
  Exclusive,
  type Preallocation,
} from '../node.js';
import { type LuksHeader, luksChoices, luksInfo, MAGIC, makeLuks, readLuksHeader, unlock } from './header.js';
import { amendKeySlots, KEY_SLOT_OPTIONS } from './key-slots.js';
import type { SectorCipher } from './sector-cipher.js';

const SECTOR = 512;

class LuksNode extends BaseNode implements FormatNode {
  readonly driver = 'luks';
  readonly #lock = new Exclusive();

  constructor(
    readonly file: BlockNode,
    readonly header: LuksHeader,
    readonly cipher: SectorCipher | null,
  ) {
    super();
    this.children = [{ role: 'file', node: file }];
  }

  get filename(): string {
    return this.file.filename;
  }

  get readOnly(): boolean {
    return this.file.readOnly;
  }

  get length(): number {
    return Math.max(0, this.file.length - this.header.payloadOffset);
  }

  #key(): SectorCipher {
    if (!this.cipher) throw new BlockError('EACCES', "Parameter 'key-secret' is required for cipher");
    return this.cipher;
  }

  read(offset: number, into: Uint8Array): Completion {
    return this.#read(offset, into);
  }

  async #read(offset: number, into: Uint8Array): Promise<void> {
    const cipher = this.#key();
    const before = offset % SECTOR;
    const bytes = new Uint8Array(roundUp(before + into.length, SECTOR));
    await this.file.read(this.header.payloadOffset + offset - before, bytes);
    cipher.decrypt((offset - before) / SECTOR, bytes);
    into.set(bytes.subarray(before, before + into.length));
  }

  override write(offset: number, from: Uint8Array): Completion {
    const cipher = this.#key();
    if (offset % SECTOR === 0 && from.length % SECTOR === 0) {
      return this.file.write(this.header.payloadOffset + offset, cipher.encrypt(offset / SECTOR, from));
    }
    return this.#lock.run(async () => {
      const before = offset % SECTOR;
      const bytes = new Uint8Array(roundUp(before + from.length, SECTOR));
      await this.#read(offset - before, bytes);
      bytes.set(from, before);
      await this.file.write(
        this.header.payloadOffset + offset - before,
        cipher.encrypt((offset - before) / SECTOR, bytes),
      );
    });
  }

  override flush(): Completion {
    return this.file.flush();
  }

  override discard(offset: number, length: number): Completion {
    return this.file.discard(this.header.payloadOffset + offset, length);
  }

  override status(offset: number, length: number): BlockStatus {
    return { length, data: true, zero: false, allocated: true, offset: this.header.payloadOffset + offset };
  }

  override truncate(length: number, preallocation?: Preallocation): Completion {
    return this.file.truncate(this.header.payloadOffset + length, preallocation);
  }

  async amend(values: ReadonlyMap<string, string>, context: AmendContext): Promise<void> {
    const { key: master, crypto } = this.#key();
    const { file, header } = this;
    await amendKeySlots({ file, offset: 0, header, master, crypto }, (name) => values.get(name), context);
  }

  info(): FormatInfo {
    return { encrypted: true, specific: { type: 'luks', data: luksInfo(this.header, false) } };
  }
}

export function cryptoOf(host: BlockHost): Crypto {
  const crypto = host.codecs?.crypto;
  if (!crypto) throw new UserError('this host has no ciphers for encrypted images');
  return crypto;
}

async function openLuks(file: BlockNode, context: OpenContext): Promise<LuksNode> {
  const header = await readLuksHeader(file, 0);
  const secret = context.option('key-secret');
  if (secret === undefined) {
    if (context.forCheck) return new LuksNode(file, header, null);
    throw new UserError("Parameter 'key-secret' is required for cipher");
  }
  const cipher = await unlock(file, 0, header, context.secret(secret), cryptoOf(context.host));
  return new LuksNode(file, header, cipher);
}

async function createLuks(c: CreateContext): Promise<void> {
  const secret = c.text('key-secret');
  if (secret === undefined) throw new UserError("Parameter 'key-secret' is required for cipher");
  const { bytes } = makeLuks(
    luksChoices((n) => c.text(n)),
    c.secret(secret),
    cryptoOf(c.host),
    () => c.host.now?.() ?? 0,
  );
  await c.file.write(0, bytes);
  const mode = c.text('preallocation');
  await c.file.truncate(bytes.length + roundUp(c.size, SECTOR), mode === 'falloc' || mode === 'full' ? mode : 'off');
}

const CIPHER_OPTIONS = [
  ['key-secret', 'str', 'ID of the secret that provides the keyslot passphrase'],
  ['cipher-alg', 'str', 'Name of encryption cipher algorithm'],
  ['cipher-mode', 'str', 'Name of encryption cipher mode'],
  ['ivgen-alg', 'str', 'Name of IV generator algorithm'],
  ['ivgen-hash-alg', 'str', 'Name of IV generator hash algorithm'],
  ['hash-alg', 'str', 'Name of encryption hash algorithm'],
  ['iter-time', 'num', 'Time to spend in PBKDF in milliseconds'],
] as const;

export const LUKS: Format = {
  name: 'luks',
  probe: (head) => (MAGIC.every((m, i) => head[i] === m) ? 100 : 0),
  open: openLuks,
  createOptions: [
    { name: 'size', type: 'size', help: 'Virtual disk size' },
    ...CIPHER_OPTIONS.map(([name, type, help]) => ({ name, type, help })),
  ],
  create: createLuks,
  amendOptions: KEY_SLOT_OPTIONS,
};
