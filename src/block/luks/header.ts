/**
 * LUKS version 1: a header with eight slots, each of which holds the master key, encrypted with a passphrase and spread over
 * many stripes. All numbers are big-endian.
 */
import { UserError } from '../../base/errors.js';
import { getU16be, getU32be, putU16be, putU32be, roundUp } from '../big-endian.js';
import type { Crypto, HashName, InfoValue } from '../format.js';
import { BlockError, type BlockNode } from '../node.js';
import { HASHES, parseMode, SectorCipher } from './sector-cipher.js';

export const MAGIC = [0x4c, 0x55, 0x4b, 0x53, 0xba, 0xbe];
export const HEADER_BYTES = 592;
const SLOTS = 8;
export const SLOT_AT = 208;
export const SLOT_BYTES = 48;
const ENABLED = 0x00ac71f3;
const DISABLED = 0x0000dead;
const STRIPES = 4000;
const DIGEST_BYTES = 20;
export const SALT_BYTES = 32;
export const SECTOR = 512;
const ALIGN = 4096;
/** More would keep the host busy for minutes. */
const MAX_ITERATIONS = 20_000_000;
const MAX_KEY = 64;
const MIN_ITERATIONS = 1000;
/** That a passphrase takes by itself. */
export const ITERATION_MS = 2000;

export interface Slot {
  readonly active: boolean;
  readonly iterations: number;
  readonly salt: Uint8Array;
  readonly offset: number;
  readonly stripes: number;
}

export interface LuksHeader {
  readonly cipher: string;
  readonly mode: string;
  readonly hash: HashName;
  readonly payloadOffset: number;
  readonly keyBytes: number;
  readonly digest: Uint8Array;
  readonly digestSalt: Uint8Array;
  readonly digestIterations: number;
  readonly uuid: string;
  readonly slots: readonly Slot[];
}

const text = (bytes: Uint8Array, at: number, length: number): string =>
  String.fromCharCode(...bytes.subarray(at, at + length)).replace(/\0.*$/s, '');

/** `offset`: where the header begins in the file. */
export async function readLuksHeader(file: BlockNode, offset: number): Promise<LuksHeader> {
  const b = new Uint8Array(HEADER_BYTES);
  await file.read(offset, b);
  if (!MAGIC.every((m, i) => b[i] === m)) throw new UserError('Volume is not in LUKS format');
  if (getU16be(b, 6) !== 1) throw new BlockError('ENOTSUP', `LUKS version ${getU16be(b, 6)} is not supported`);
  const hash = text(b, 72, 32);
  if (!HASHES.includes(hash)) throw new BlockError('ENOTSUP', `the hash ${hash} is not supported`);
  const slots = Array.from({ length: SLOTS }, (_, i): Slot => {
    const at = SLOT_AT + SLOT_BYTES * i;
    return {
      active: getU32be(b, at) === ENABLED,
      iterations: getU32be(b, at + 4),
      salt: b.slice(at + 8, at + 8 + SALT_BYTES),
      offset: getU32be(b, at + 40) * SECTOR,
      stripes: getU32be(b, at + 44),
    };
  });
  const header: LuksHeader = {
    cipher: text(b, 8, 32),
    mode: text(b, 40, 32),
    hash: hash as HashName,
    payloadOffset: getU32be(b, 104) * SECTOR,
    keyBytes: getU32be(b, 108),
    digest: b.slice(112, 112 + DIGEST_BYTES),
    digestSalt: b.slice(132, 132 + SALT_BYTES),
    digestIterations: getU32be(b, 164),
    uuid: text(b, 168, 40),
    slots,
  };
  const bad = slots.some((s) => s.active && (s.iterations > MAX_ITERATIONS || s.stripes !== STRIPES));
  if (bad || header.keyBytes === 0 || header.keyBytes > MAX_KEY || header.digestIterations > MAX_ITERATIONS) {
    throw new BlockError('EINVAL', 'the LUKS header is broken');
  }
  return header;
}

/** The cipher of the data, from a passphrase. Throws UserError when none of the slots takes it. */
export async function unlock(
  file: BlockNode,
  offset: number,
  h: LuksHeader,
  password: Uint8Array,
  crypto: Crypto,
): Promise<SectorCipher> {
  const spec = parseMode(h.cipher, h.mode);
  for (const slot of h.slots) {
    const master = await masterKey(file, offset, h, slot, password, crypto);
    if (master) return new SectorCipher(crypto, spec, master);
  }
  throw new UserError('Invalid password, cannot unlock any keyslot');
}

/** What a slot holds; null when it is not in use or the passphrase is not its own. */
export async function masterKey(
  file: BlockNode,
  offset: number,
  h: LuksHeader,
  slot: Slot,
  password: Uint8Array,
  crypto: Crypto,
): Promise<Uint8Array | null> {
  if (!slot.active) return null;
  const key = crypto.pbkdf2(h.hash, password, slot.salt, Math.max(1, slot.iterations), h.keyBytes);
  const material = new Uint8Array(materialBytes(h.keyBytes));
  await file.read(offset + slot.offset, material);
  new SectorCipher(crypto, parseMode(h.cipher, h.mode), key).decrypt(0, material);
  const master = merge(crypto, h.hash, material, h.keyBytes, slot.stripes);
  const digest = crypto.pbkdf2(h.hash, master, h.digestSalt, Math.max(1, h.digestIterations), DIGEST_BYTES);
  return digest.every((d, i) => d === h.digest[i]) ? master : null;
}

/** Of a slot, in the file. */
export const materialBytes = (keyBytes: number): number => roundUp(keyBytes * STRIPES, SECTOR);

export interface Sealed {
  readonly iterations: number;
  readonly salt: Uint8Array;
  readonly material: Uint8Array;
}

/** Locks the master key with a passphrase. */
export function seal(
  h: Pick<LuksHeader, 'cipher' | 'mode' | 'hash'>,
  master: Uint8Array,
  password: Uint8Array,
  iterations: number,
  crypto: Crypto,
): Sealed {
  const salt = crypto.random(SALT_BYTES);
  const key = crypto.pbkdf2(h.hash, password, salt, iterations, master.length);
  const material = split(crypto, h.hash, master, STRIPES);
  return {
    iterations,
    salt,
    material: new SectorCipher(crypto, parseMode(h.cipher, h.mode), key).encrypt(0, material),
  };
}

/** Writes a slot's entry; without `sealed` it is not in use. */
export function putSlot(header: Uint8Array, at: number, offset: number, sealed: Sealed | null): void {
  header.fill(0, at, at + SLOT_BYTES);
  putU32be(header, at, sealed ? ENABLED : DISABLED);
  if (sealed) {
    putU32be(header, at + 4, sealed.iterations);
    header.set(sealed.salt, at + 8);
  }
  putU32be(header, at + 8 + SALT_BYTES, offset / SECTOR);
  putU32be(header, at + 12 + SALT_BYTES, STRIPES);
}

/** The anti-forensic splitter's diffusion: each digest-sized piece is hashed with its number. */
function diffuse(crypto: Crypto, hash: HashName, block: Uint8Array): void {
  const size = crypto.hash(hash, new Uint8Array(0)).length;
  for (let i = 0; i * size < block.length; i++) {
    const part = block.subarray(i * size, (i + 1) * size);
    const numbered = new Uint8Array(4 + part.length);
    putU32be(numbered, 0, i);
    numbered.set(part, 4);
    part.set(crypto.hash(hash, numbered).subarray(0, part.length));
  }
}

function merge(crypto: Crypto, hash: HashName, material: Uint8Array, bytes: number, stripes: number): Uint8Array {
  const block = new Uint8Array(bytes);
  for (let s = 0; s < stripes; s++) {
    for (let i = 0; i < bytes; i++) block[i]! ^= material[s * bytes + i]!;
    if (s + 1 < stripes) diffuse(crypto, hash, block);
  }
  return block;
}

function split(crypto: Crypto, hash: HashName, key: Uint8Array, stripes: number): Uint8Array {
  const bytes = key.length;
  const material = new Uint8Array(roundUp(bytes * stripes, SECTOR));
  material.set(crypto.random(bytes * (stripes - 1)));
  const block = new Uint8Array(bytes);
  for (let s = 0; s + 1 < stripes; s++) {
    for (let i = 0; i < bytes; i++) block[i]! ^= material[s * bytes + i]!;
    diffuse(crypto, hash, block);
  }
  for (let i = 0; i < bytes; i++) material[(stripes - 1) * bytes + i] = block[i]! ^ key[i]!;
  return material;
}

export interface LuksChoices {
  readonly algorithm: string;
  readonly mode: string;
  readonly hash: HashName;
  /** Milliseconds that trying a passphrase should take. */
  readonly iterationTime: number;
}

/** What QEMU knows; not all of it is here. */
const QEMU_CIPHERS = [
  ...['aes-128', 'aes-192', 'aes-256', 'des', '3des', 'cast5-128'],
  ...['serpent-128', 'serpent-192', 'serpent-256', 'twofish-128', 'twofish-192', 'twofish-256'],
] as const;
const QEMU_MODES = ['ecb', 'cbc', 'xts', 'ctr'] as const;
const QEMU_VECTORS = ['plain', 'plain64', 'essiv'] as const;
const QEMU_HASHES = ['md5', 'sha1', 'sha224', 'sha256', 'sha384', 'sha512', 'ripemd160'] as const;

/** The options of `create`, with or without `encrypt.` in front. Throws UserError. */
export function luksChoices(option: (name: string) => string | undefined): LuksChoices {
  const mode = option('cipher-mode') ?? 'xts';
  const ivgen = option('ivgen-alg') ?? 'plain64';
  const ivHash = option('ivgen-hash-alg') ?? 'sha256';
  const hash = option('hash-alg') ?? 'sha256';
  const algorithm = option('cipher-alg') ?? 'aes-256';
  for (const [name, value, values] of [
    ['cipher-alg', algorithm, QEMU_CIPHERS],
    ['cipher-mode', mode, QEMU_MODES],
    ['ivgen-alg', ivgen, QEMU_VECTORS],
    ['ivgen-hash-alg', ivHash, QEMU_HASHES],
    ['hash-alg', hash, QEMU_HASHES],
  ] as const) {
    if (!(values as readonly string[]).includes(value))
      throw new UserError(`Parameter '${name}' does not accept value '${value}'`);
  }
  if (!/^aes-(128|256)$/.test(algorithm))
    throw new UserError(`the cipher '${algorithm}' is not supported: use aes-128 or aes-256`);
  if (!HASHES.includes(hash))
    throw new UserError(`the hash '${hash}' is not supported: use one of ${HASHES.join(', ')}`);
  return {
    algorithm,
    mode: `${mode}-${ivgen}${ivgen === 'essiv' ? `:${ivHash}` : ''}`,
    hash: hash as HashName,
    iterationTime: Number(option('iter-time') ?? ITERATION_MS),
  };
}

const keyBytesOf = ({ algorithm, mode }: LuksChoices): number =>
  (Number(algorithm.slice(4)) / 8) * (parseMode('aes', mode).mode === 'xts' ? 2 : 1);

/** What is before the data: header and key material. */
export const luksPayloadOffset = (choices: LuksChoices): number =>
  ALIGN + SLOTS * roundUp(keyBytesOf(choices) * STRIPES, ALIGN);

/** Header and key material, with a new master key in the first slot. */
export function makeLuks(
  choices: LuksChoices,
  password: Uint8Array,
  crypto: Crypto,
  now: () => number,
): { readonly bytes: Uint8Array; readonly cipher: SectorCipher } {
  const keyBytes = keyBytesOf(choices);
  const master = crypto.random(keyBytes);
  const slotBytes = roundUp(keyBytes * STRIPES, ALIGN);
  const payload = luksPayloadOffset(choices);
  const bytes = new Uint8Array(payload);
  const put = (at: number, value: string): void => bytes.set(new TextEncoder().encode(value), at);
  bytes.set(MAGIC);
  putU16be(bytes, 6, 1);
  put(8, 'aes');
  put(40, choices.mode);
  put(72, choices.hash);
  putU32be(bytes, 104, payload / SECTOR);
  putU32be(bytes, 108, keyBytes);
  const iterations = iterationsFor(choices.hash, choices.iterationTime, keyBytes, crypto, now);
  const digestSalt = crypto.random(SALT_BYTES);
  const digestIterations = Math.max(MIN_ITERATIONS, Math.floor(iterations / 8));
  bytes.set(crypto.pbkdf2(choices.hash, master, digestSalt, digestIterations, DIGEST_BYTES), 112);
  bytes.set(digestSalt, 132);
  putU32be(bytes, 164, digestIterations);
  put(168, uuid(crypto.random(16)));
  const sealed = seal({ cipher: 'aes', mode: choices.mode, hash: choices.hash }, master, password, iterations, crypto);
  for (let i = 0; i < SLOTS; i++) {
    putSlot(bytes, SLOT_AT + SLOT_BYTES * i, ALIGN + i * slotBytes, i === 0 ? sealed : null);
  }
  bytes.set(sealed.material, ALIGN);
  return { bytes, cipher: new SectorCipher(crypto, parseMode('aes', choices.mode), master) };
}

/** How often a passphrase is to be hashed so that trying it takes so many ms here. */
export function iterationsFor(hash: HashName, ms: number, keyBytes: number, crypto: Crypto, now: () => number): number {
  const sample = 20_000;
  const started = now();
  crypto.pbkdf2(hash, new Uint8Array(16), new Uint8Array(SALT_BYTES), sample, keyBytes);
  const seconds = Math.max(1e-4, now() - started);
  return Math.min(MAX_ITERATIONS, Math.max(MIN_ITERATIONS, Math.round(((sample / seconds) * ms) / 1000)));
}

function uuid(bytes: Uint8Array): string {
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

export function luksInfo(h: LuksHeader, inside: boolean): { readonly [name: string]: InfoValue } {
  const spec = parseMode(h.cipher, h.mode);
  return {
    'ivgen-alg': spec.ivgen,
    ...(spec.ivHash && { 'ivgen-hash-alg': spec.ivHash }),
    'hash-alg': h.hash,
    'cipher-alg': `aes-${(h.keyBytes * 8) / (spec.mode === 'xts' ? 2 : 1)}`,
    uuid: h.uuid,
    ...(inside && { format: 'luks' }),
    'cipher-mode': spec.mode,
    slots: h.slots.map((s) => ({
      active: s.active,
      ...(s.active && { iters: s.iterations }),
      'key-offset': s.offset,
      ...(s.active && { stripes: s.stripes }),
    })),
    'payload-offset': h.payloadOffset,
    'master-key-iters': h.digestIterations,
  };
}
