/** A machine that stands still to a stream of bytes, and back. */
import { crc32 } from 'node:zlib';
import type { Runtime } from '../../accel/tcg/runtime.js';
import { UserError } from '../../base/errors.js';
import type { RunState } from '../../machine/lifecycle.js';
import {
  type Description,
  type Filled,
  type Progress,
  readDescription,
  readRam,
  type StateSink,
  type StateSource,
  writeState,
} from '../../machine/saved/layout.js';
import { PAGE, type RamBlock } from '../../machine/saved/ram-pages.js';
import { asFields, type DeviceState, type StateValue } from '../../machine/state.js';
import type { MadeBlock } from '../../memory/memory.js';
import type { SavedParts } from './assemble.js';
import { asMachineFacts, difference, differentMemory, machineFacts } from './machine-facts.js';
import { loadParts, type ProcessorAndDeviceState, saveParts } from './machine-state.js';

/** What was under way with the images has come to its end, and they are safe. Throws UserError when that cannot be had. */
export async function settleDrives({ drives }: SavedParts): Promise<void> {
  do {
    await Promise.all(drives.map((drive) => drive.drained()));
    // Devices hear of it, and may go on with the next part of a transfer.
    await new Promise((resolve) => setImmediate(resolve));
  } while (drives.some((drive) => drive.busy));
  const waiting = drives.find((drive) => drive.waiting);
  if (waiting) {
    throw new UserError(
      `drive '${waiting.id}' waits to try again what failed: mend the cause and let the machine go on first`,
    );
  }
  for (const { node } of drives) if (node && !node.readOnly) await node.flush();
}

/** Memory, looked through by the runtime, which is there anyway and fast. */
export function ramBlock({ name, bytes, host }: MadeBlock, runtime: Runtime): RamBlock {
  return {
    name,
    bytes,
    findPage: (from, end, used) =>
      ((runtime.findPage(host + from * PAGE, host + end * PAGE, Number(used)) >>> 0) - host) / PAGE,
    checksum: (from, end, sum) => runtime.checksumPages(host + from * PAGE, host + end * PAGE, sum),
  };
}

/** `run`: what the machine did before it was made to stand still. Gives the bytes that were written. */
export function sendMachine(
  m: SavedParts,
  run: RunState,
  sink: StateSink,
  progress?: Progress,
): Promise<{ readonly total: number; readonly ram: number }> {
  const { drives } = m;
  const value = {
    facts: machineFacts(m),
    run,
    caches: Object.fromEntries(drives.map((drive) => [drive.id, drive.writeCache])),
    state: saveParts(m),
  };
  const blocks = m.machine.memory.ramBlocks.map((block) => ramBlock(block, m.accelerator.runtime));
  return writeState(sink, value as unknown as StateValue, blocks, crc32, progress);
}

/** A saved machine of which all but RAM was read, and which this machine can go on with. */
export interface ReceivedMachine {
  readonly run: RunState;
  readonly caches: Readonly<Record<string, StateValue>>;
  readonly state: ProcessorAndDeviceState;
  readonly description: Description;
}

export const receiveDescription = (source: StateSource): Promise<Description> => readDescription(source, crc32);

/** Changes nothing yet. Throws UserError for what is broken, or does not fit the machine. */
export function receiveMachine(m: SavedParts, description: Description): ReceivedMachine {
  const { facts, run, caches, state } = asFields(description.machine, 'the machine');
  const own = m.machine.memory.ramBlocks.map(({ name, bytes }) => ({ name, bytes: bytes.length }));
  const differs = difference(asMachineFacts(facts), machineFacts(m)) ?? differentMemory(description.ram, own);
  if (differs !== undefined) throw new UserError(differs);
  return {
    run: run === 'running' || run === 'suspended' ? run : 'paused',
    caches: asFields(caches, 'the drives'),
    state: asState(state),
    description,
  };
}

function asState(value: StateValue | undefined): ProcessorAndDeviceState {
  const { virtual, realtime, vcpus, devices } = asFields(value, 'the machine');
  const times = [virtual, realtime].every((time) => typeof time === 'number' && Number.isFinite(time));
  if (!times || !Array.isArray(vcpus)) {
    throw new UserError('the saved state is broken: it has no processors, or no time');
  }
  for (const vcpu of vcpus as readonly StateValue[]) asFields(vcpu, 'a processor');
  return {
    virtual: virtual as number,
    realtime: realtime as number,
    vcpus: vcpus as unknown as ProcessorAndDeviceState['vcpus'],
    devices: asFields(devices, 'the devices') as unknown as Readonly<Record<string, DeviceState>>,
  };
}

/**
 * `fresh`: the machine has not run. `ahead`: blocks of memory that are being filled already. Throws UserError; the machine is of
 * no use then before a reset.
 */
export async function installMachine(
  m: SavedParts,
  { state, caches, description }: ReceivedMachine,
  source: StateSource,
  fresh: boolean,
  ahead: readonly Filled[] = [],
): Promise<void> {
  const { machine, accelerator, drives } = m;
  const blocks = machine.memory.ramBlocks.map((block) => ({
    ...ramBlock(block, accelerator.runtime),
    untouched: fresh && !block.filled,
  }));
  await readRam(source, description, blocks, crc32, ahead);
  for (const { host, bytes } of machine.memory.ramBlocks) accelerator.notifyWrite(host, bytes.length);
  loadParts(m, state);
  for (const drive of drives) {
    const cache = caches[drive.id];
    if (typeof cache === 'boolean') drive.writeCache = cache;
  }
}
