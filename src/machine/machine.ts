/**
 * One machine: what its board wired together, and how to reset, save and describe it. The board fills the tree of buses
 * and devices; `info qtree`, reset and snapshots walk it.
 */
import { UserError } from '../base/errors.js';
import { Event } from '../base/event.js';
import type { AddressSpace } from '../memory/address-space.js';
import type { Memory } from '../memory/memory.js';
import type { SystemBus } from '../memory/system-bus.js';
import type { Device } from './device.js';
import { Lifecycle, type LifecycleOptions } from './lifecycle.js';
import type { MachineClocks } from './machine-clocks.js';
import type { DeviceState } from './state.js';

/** A device in the tree, and the buses that it offers. */
export interface DeviceNode {
  /** QEMU's name of the type. */
  readonly type: string;
  /** The user's `id=`, or ''. */
  readonly id: string;
  readonly device: Device;
  /** Where on its bus it is, when that is not its number: `02.0`. */
  readonly place?: string;
  /** Properties as shown by `info qtree`: name and text. */
  readonly properties: readonly (readonly [name: string, value: string])[];
  /** More lines for `info qtree`, as things are now. */
  readonly details?: () => readonly string[];
  readonly buses: readonly BusNode[];
  /** Its part of an OpenFirmware path: `ide@1,1`. */
  readonly firmwareName?: string;
  /** What firmware may boot from: in which order, and the rest of its path. */
  readonly boot?: readonly { readonly index: number; readonly below: string }[];
}

export interface BusNode {
  readonly name: string;
  /** `System`, `PCI`, `ISA`, `IDE`. */
  readonly type: string;
  readonly devices: DeviceNode[];
}

/** What a machine does to its processors; every accelerator offers it. */
export interface Processors {
  readonly vcpus: readonly { reset(begins?: boolean): void; raiseNmi(): void }[];
  setA20(enabled: boolean): void;
  /** Ends the running slice soon. */
  kick(): void;
  dispose(): void;
}

export interface MachineParts {
  /** The board's name: `pc`. */
  readonly board: string;
  readonly processors: Processors;
  readonly memory: Memory;
  readonly clocks: MachineClocks;
  readonly system: AddressSpace;
  readonly ports: AddressSpace;
  readonly io: SystemBus;
  readonly root: BusNode;
  readonly lifecycle?: LifecycleOptions;
  /** Nothing is there to run: no processor begins. */
  readonly empty?: boolean;
}

export class Machine {
  readonly board: string;
  readonly processors: Processors;
  readonly memory: Memory;
  readonly clocks: MachineClocks;
  /** Guest physical memory and the I/O ports, as a debugger or a loader reaches them. */
  readonly system: AddressSpace;
  readonly ports: AddressSpace;
  /** Port and memory-mapped accesses as the processor makes them. */
  readonly io: SystemBus;
  readonly root: BusNode;
  readonly lifecycle: Lifecycle;
  /** Devices and processors have been reset; whoever boots a kernel without firmware puts it in place now. */
  readonly afterReset = new Event<void>();
  readonly #empty: boolean;

  constructor(parts: MachineParts) {
    this.board = parts.board;
    this.processors = parts.processors;
    this.memory = parts.memory;
    this.clocks = parts.clocks;
    this.system = parts.system;
    this.ports = parts.ports;
    this.io = parts.io;
    this.root = parts.root;
    this.#empty = parts.empty ?? false;
    this.lifecycle = new Lifecycle(
      {
        reset: () => this.reset(),
        setRunning: (running) => {
          if (running) this.clocks.start();
          else this.clocks.stop();
        },
        kick: () => this.processors.kick(),
      },
      parts.lifecycle,
    );
  }

  /** Every device with its path, parents before children. */
  devices(): { readonly path: string; readonly node: DeviceNode }[] {
    const found: { path: string; node: DeviceNode }[] = [];
    const walk = (bus: BusNode, above: string): void => {
      bus.devices.forEach((node, i) => {
        const path = `${above}/${bus.name}/${node.id || `${node.type}[${i}]`}`;
        found.push({ path, node });
        for (const below of node.buses) walk(below, path);
      });
    };
    walk(this.root, '');
    return found;
  }

  /** The bus with this name (`pci.0`); undefined when there is none. */
  bus(name: string): BusNode | undefined {
    const find = (bus: BusNode): BusNode | undefined => {
      if (bus.name === name) return bus;
      for (const node of bus.devices) {
        for (const below of node.buses) {
          const found = find(below);
          if (found) return found;
        }
      }
      return undefined;
    };
    return find(this.root);
  }

  /**
   * Power-on and system reset: devices first, then the processors, then whoever boots without firmware, unless a saved state is
   * loaded next.
   */
  reset(stateFollows = false): void {
    this.memory.transaction(() => {
      for (const { node } of this.devices()) node.device.reset();
    });
    this.processors.setA20(true);
    for (const vcpu of this.processors.vcpus) vcpu.reset(this.#empty ? false : undefined);
    if (!stateFollows) this.afterReset.fire();
  }

  /** Monitor command `nmi`. */
  nmi(): void {
    for (const vcpu of this.processors.vcpus) vcpu.raiseNmi();
  }

  saveDevices(): Readonly<Record<string, DeviceState>> {
    return Object.fromEntries(this.devices().map(({ path, node }) => [path, node.device.save()]));
  }

  loadDevices(states: Readonly<Record<string, DeviceState>>): void {
    this.memory.transaction(() => {
      for (const { path, node } of this.devices()) {
        const state = states[path];
        if (!state) throw new UserError(`the saved machine lacks the device ${node.type} at ${path}`);
        try {
          node.device.load(state);
        } catch (error) {
          if (!(error instanceof UserError)) throw error;
          throw new UserError(`device ${node.type} at ${path}: ${error.message}`);
        }
      }
    });
  }

  dispose(): void {
    for (const { node } of this.devices().reverse()) node.device.dispose?.();
    this.processors.dispose();
  }
}
