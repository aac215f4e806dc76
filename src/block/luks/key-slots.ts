/** Key slots of a LUKS volume filled and emptied: who may open it changes, the data stays as it is. */
import { UserError } from '../../base/errors.js';
import type { AmendContext, CreateOption, Crypto } from '../format.js';
import { BlockError, type BlockNode } from '../node.js';
import {
  HEADER_BYTES,
  ITERATION_MS,
  iterationsFor,
  type LuksHeader,
  masterKey,
  materialBytes,
  putSlot,
  SLOT_AT,
  SLOT_BYTES,
  type Slot,
  seal,
} from './header.js';

export const KEY_SLOT_OPTIONS: readonly CreateOption[] = [
  { name: 'state', type: 'str', help: 'Select new state of affected keyslots (active/inactive)' },
  { name: 'new-secret', type: 'str', help: 'New secret to set in the matching keyslots. Empty string to erase' },
  { name: 'old-secret', type: 'str', help: 'Select all keyslots that match this password' },
  { name: 'keyslot', type: 'num', help: 'Select a single keyslot to modify explicitly' },
  { name: 'iter-time', type: 'num', help: 'Time to spend in PBKDF in milliseconds' },
];

/** An open volume, and where its header is in the file. */
export interface LuksVolume {
  readonly file: BlockNode;
  readonly offset: number;
  readonly header: LuksHeader;
  readonly master: Uint8Array;
  readonly crypto: Crypto;
}

/** Changes slots as the options say. Throws UserError, and has changed nothing then. */
export async function amendKeySlots(
  volume: LuksVolume,
  option: (name: string) => string | undefined,
  context: AmendContext,
): Promise<void> {
  const state = option('state');
  if (state === undefined) throw new UserError("Parameter 'state' is missing");
  if (state === 'active') await addSlot(volume, option, context);
  else if (state === 'inactive') await eraseSlots(volume, option, context);
  else throw new UserError(`Parameter 'state' does not accept value '${state}'`);
}

function slotNumber(h: LuksHeader, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const last = h.slots.length - 1;
  if (Number(text) > last) throw new UserError(`Invalid keyslot ${text} specified, must be between 0 and ${last}`);
  return Number(text);
}

async function addSlot(
  volume: LuksVolume,
  option: (name: string) => string | undefined,
  context: AmendContext,
): Promise<void> {
  const { file, offset, header, master, crypto } = volume;
  const secret = option('new-secret');
  if (secret === undefined) throw new UserError("'new-secret' is required to activate a keyslot");
  if (option('old-secret') !== undefined)
    throw new UserError("'old-secret' must not be given when activating keyslots");
  const index = slotNumber(header, option('keyslot')) ?? header.slots.findIndex((s) => !s.active);
  if (index < 0) throw new UserError("Can't add a keyslot - all keyslots are in use");
  const slot = header.slots[index]!;
  if (slot.active) throw new UserError(`Refusing to overwrite active keyslot ${index} - please erase it first`);
  checkPlace(header, slot);
  const password = context.secret(secret);
  const ms = Number(option('iter-time') ?? ITERATION_MS);
  const now = (): number => context.host.now?.() ?? 0;
  const iterations = iterationsFor(header.hash, ms, master.length, crypto, now);
  const sealed = seal(header, master, password, iterations, crypto);
  // Until its material is there the slot is not in use.
  await file.write(offset + slot.offset, sealed.material);
  await file.flush();
  await writeEntry(volume, index, sealed);
}

async function eraseSlots(
  volume: LuksVolume,
  option: (name: string) => string | undefined,
  context: AmendContext,
): Promise<void> {
  const { file, offset, header, crypto } = volume;
  for (const name of ['new-secret', 'iter-time']) {
    if (option(name) !== undefined) throw new UserError(`'${name}' must not be given when erasing keyslots`);
  }
  const id = option('old-secret');
  const old = id === undefined ? undefined : context.secret(id);
  const index = slotNumber(header, option('keyslot'));
  const active = header.slots.filter((s) => s.active);
  const opens = async (slot: Slot): Promise<boolean> =>
    (await masterKey(file, offset, header, slot, old!, crypto)) !== null;
  let erased: Slot[];
  if (index !== undefined) {
    const slot = header.slots[index]!;
    if (old && !(await opens(slot)))
      throw new UserError(`Given keyslot ${index} doesn't contain the given old password for erase operation`);
    // With the space that QEMU has there.
    if (!slot.active && !context.force) throw new UserError(`Given keyslot ${index} is already erased (inactive) `);
    if (slot.active && active.length === 1 && !context.force)
      throw new UserError(
        `Attempt to erase the only active keyslot ${index} which will erase all the data in the image irreversibly - refusing operation`,
      );
    erased = [slot];
  } else if (old) {
    erased = [];
    for (const slot of active) if (await opens(slot)) erased.push(slot);
    if (erased.length === 0) throw new UserError('No keyslots match given (old) password for erase operation');
    if (erased.length === active.length && !context.force)
      throw new UserError(
        'All the active keyslots match the (old) password that was given and erasing them will erase all the data in the image irreversibly - refusing operation',
      );
  } else {
    throw new UserError(
      'To erase keyslot(s), either explicit keyslot index or the password currently contained in them must be given',
    );
  }
  for (const slot of erased) checkPlace(header, slot);
  for (const slot of erased) {
    await writeEntry(volume, header.slots.indexOf(slot), null);
    await file.write(offset + slot.offset, crypto.random(materialBytes(header.keyBytes)));
    await file.flush();
  }
}

async function writeEntry(
  { file, offset, header }: LuksVolume,
  index: number,
  sealed: Parameters<typeof putSlot>[3],
): Promise<void> {
  const bytes = new Uint8Array(HEADER_BYTES);
  await file.read(offset, bytes);
  putSlot(bytes, SLOT_AT + SLOT_BYTES * index, header.slots[index]!.offset, sealed);
  await file.write(offset, bytes);
  await file.flush();
}

/** What is written must not hit the header, the data or another slot: a broken header may say anything. */
function checkPlace(h: LuksHeader, slot: Slot): void {
  const bytes = materialBytes(h.keyBytes);
  const clear = (s: Slot): boolean => s === slot || s.offset + bytes <= slot.offset || slot.offset + bytes <= s.offset;
  // In a qcow2 image the data is elsewhere, and the header says where it would be.
  if (slot.offset < HEADER_BYTES || slot.offset + bytes > h.payloadOffset || !h.slots.every(clear)) {
    throw new BlockError('EINVAL', 'the LUKS header is broken: its key slots overlap');
  }
}
