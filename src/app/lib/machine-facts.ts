/** What a saved machine and the one that goes on in its place must have in common. */
import { UserError } from '../../base/errors.js';
import { FEATURE_WORDS } from '../../guest/x86/features.js';
import { X86 } from '../../guest/x86/state.js';
import type { BusNode, DeviceNode } from '../../machine/machine.js';
import { asFields, type StateValue } from '../../machine/state.js';
import type { SavedParts } from './assemble.js';

interface DeviceFacts {
  readonly type: string;
  readonly id: string;
  readonly bus: string;
  /** Where on the bus; '' when it has no places. */
  readonly place: string;
}

export interface MachineFacts {
  readonly board: string;
  readonly ramBytes: number;
  readonly cpus: number;
  /** CPUID's feature words. */
  readonly features: Uint32Array;
  readonly devices: readonly DeviceFacts[];
  /** Fixed media by their drives' ids. */
  readonly disks: Readonly<Record<string, number>>;
}

export function machineFacts(m: SavedParts): MachineFacts {
  const { machine, accelerator, registers } = m;
  const devices: DeviceFacts[] = [];
  const walk = (bus: BusNode): void => {
    for (const node of bus.devices) {
      devices.push(deviceFacts(node, bus));
      for (const below of node.buses) walk(below);
    }
  };
  walk(machine.root);
  return {
    board: machine.board,
    ramBytes: m.ramBytes,
    cpus: registers.length,
    features: new Uint32Array(
      new Uint8Array(
        accelerator.memory.buffer,
        registers[0]!.state + X86.at['features']!,
        4 * FEATURE_WORDS.length,
      ).slice().buffer,
    ),
    devices,
    disks: Object.fromEntries(m.drives.filter((d) => d.user?.removable === false).map((d) => [d.id, d.length])),
  };
}

const deviceFacts = ({ type, id, place = '' }: DeviceNode, bus: BusNode): DeviceFacts => ({
  type,
  id,
  bus: bus.name,
  place,
});

/** Throws UserError unless the value is what `machineFacts` gives. */
export function asMachineFacts(value: StateValue | undefined): MachineFacts {
  const f = asFields(value, 'the machine') as unknown as Partial<MachineFacts>;
  const { board, ramBytes, cpus, features, devices, disks } = f;
  const whole =
    typeof board === 'string' &&
    typeof ramBytes === 'number' &&
    typeof cpus === 'number' &&
    features instanceof Uint32Array &&
    Array.isArray(devices) &&
    typeof disks === 'object';
  if (!whole) throw new UserError('the saved state is broken: it does not say what machine it is of');
  return f as MachineFacts;
}

const mebibytes = (bytes: number): string => `${bytes / 2 ** 20} MiB`;

/** What the saved machine has that this one has not, or the other way round: one line, or undefined when it fits. */
export function difference(saved: MachineFacts, own: MachineFacts): string | undefined {
  if (saved.board !== own.board) {
    return `the saved machine is of type '${saved.board}', this one '${own.board}': give -machine ${saved.board}`;
  }
  if (saved.ramBytes !== own.ramBytes) {
    const mib = saved.ramBytes / 2 ** 20;
    return `the saved machine has ${mebibytes(saved.ramBytes)} of RAM, this one ${mebibytes(own.ramBytes)}: give -m ${mib}`;
  }
  if (saved.cpus !== own.cpus) {
    return `the saved machine has ${saved.cpus} processor(s), this one ${own.cpus}: give -smp ${saved.cpus}`;
  }
  const lacking = missingFeatures(saved.features, own.features);
  if (lacking.length > 0) {
    return `the saved machine's processors have features that this one's lack (${lacking.join(', ')}): give the same -cpu`;
  }
  return differentDevices(saved, own) ?? differentDisks(saved, own);
}

function missingFeatures(saved: Uint32Array, own: Uint32Array): string[] {
  return FEATURE_WORDS.flatMap(({ names }, word) => {
    const missing = (saved[word] ?? 0) & ~(own[word] ?? 0);
    return names.filter((name, bit) => name !== '' && (missing >>> bit) & 1);
  });
}

const told = ({ type, id, bus, place }: DeviceFacts): string =>
  `${type}${id && ` (id ${id})`} on ${bus}${place && ` at ${place}`}`;

function differentDevices(saved: MachineFacts, own: MachineFacts): string | undefined {
  const theirs = saved.devices.map(told);
  const ours = own.devices.map(told);
  const without = (these: readonly string[], those: readonly string[]): string | undefined => {
    const left = [...those];
    return these.find((device) => {
      const at = left.indexOf(device);
      if (at >= 0) left.splice(at, 1);
      return at < 0;
    });
  };
  const missing = without(theirs, ours);
  if (missing !== undefined) {
    return `the saved machine has a device that this one lacks: ${missing}: give the same -device, -drive and like options`;
  }
  const more = without(ours, theirs);
  if (more === undefined) return undefined;
  return `this machine has a device that the saved one lacks: ${more}: give the same -device, -drive and like options`;
}

function differentDisks(saved: MachineFacts, own: MachineFacts): string | undefined {
  for (const [id, bytes] of Object.entries(saved.disks)) {
    const here = own.disks[id];
    if (here === undefined)
      return `the saved machine has a drive '${id}' that this one lacks: give the same -drive options`;
    if (here !== bytes)
      return `drive '${id}' of the saved machine has ${bytes} bytes, here it has ${here}: give the same image`;
  }
  return undefined;
}

interface Block {
  readonly name: string;
  readonly bytes: number;
}

/** The same for the parts of memory. */
export function differentMemory(saved: readonly Block[], own: readonly Block[]): string | undefined {
  const named = (blocks: readonly Block[]): string[] => blocks.map(({ name, bytes }) => `${name} of ${bytes} bytes`);
  const theirs = named(saved);
  const ours = named(own);
  const at = theirs.findIndex((block, i) => block !== ours[i]);
  if (at < 0 && theirs.length === ours.length) return undefined;
  const which = at < 0 ? theirs.length : at;
  return `the saved machine has the memory ${theirs[which] ?? 'nothing'} where this one has ${ours[which] ?? 'nothing'}: give the same options and firmware`;
}
