/** Types of devices that `-device` and boards make, as data: every list, help text and check derives from these. */
import type { TraceEvents } from '../base/trace.js';
import type { Memory } from '../memory/memory.js';
import type { Clocks } from './clock.js';
import type { Device } from './device.js';
import type { IsaBus } from './isa-bus.js';
import type { PciSlot } from './pci-slot.js';
import type { PropertySpecs, PropertyValues } from './property.js';

/** QEMU's groups in `-device help`, in its order. */
export const DEVICE_CATEGORIES = [
  'Controller/Bridge/Hub devices',
  'USB devices',
  'Storage devices',
  'Network devices',
  'Input devices',
  'Display devices',
  'Sound devices',
  'Misc devices',
  'CPU devices',
  'Watchdog devices',
  'Uncategorized devices',
] as const;
export type DeviceCategory = (typeof DEVICE_CATEGORIES)[number];

/** What every device may be given, whatever its bus. */
export interface DeviceContext {
  readonly clocks: Clocks;
  readonly memory: Memory;
  /** How many processors the machine has: devices that have a queue for each want to know. */
  readonly cpus: number;
  /** RAM in bytes. */
  readonly ramBytes: number;
  /** 32 random bits. */
  random(): number;
  /** The machine's requests: reset, power off and the like, from devices that have such a line. */
  readonly requests: SystemRequests;
}

/** Lines into the machine's lifecycle. They take effect between slices of guest code. */
export interface SystemRequests {
  reset(cause: 'guest-reset' | 'host-qmp-system-reset'): void;
  shutdown(cause: 'guest-shutdown' | 'guest-panic' | 'host-qmp-quit', exitCode?: number): void;
  suspend(): void;
  panicked(action: 'pause' | 'run'): void;
}

/** What is known of a type without making one. */
export interface DeviceTypeInfo<P extends PropertySpecs = PropertySpecs> {
  /** QEMU's name: `isa-serial`. */
  readonly name: string;
  /** QEMU's other names for it, if any: `-vga std` and the like do not count. */
  readonly aliases?: readonly string[];
  readonly description: string;
  readonly category: DeviceCategory;
  /** The kind of bus it plugs into: `ISA`, `PCI`, `IDE`, `System` (only boards make those). */
  readonly bus: string;
  readonly properties: P;
  /** Whether `-device` may make it; default true. */
  readonly userCreatable?: boolean;
  readonly trace?: TraceEvents;
}

/**
 * A type whose devices plug into a bus of kind `B`, which gives them an `S`. `C`: what they need besides (character
 * backends, drives).
 */
export interface BusDeviceType<B extends string, S, P extends PropertySpecs = PropertySpecs, C = unknown>
  extends DeviceTypeInfo<P> {
  readonly bus: B;
  create(slot: S, properties: PropertyValues<P>, context: DeviceContext & C): Device;
}

export type IsaDeviceType<P extends PropertySpecs = PropertySpecs, C = unknown> = BusDeviceType<'ISA', IsaBus, P, C>;
export type PciDeviceType<P extends PropertySpecs = PropertySpecs, C = unknown> = BusDeviceType<'PCI', PciSlot, P, C>;
