/** Types of devices that `-device` and boards make, as data: every list, help text and check derives from these. */
import type { TraceEvents } from '../base/trace.js';
import type { Memory } from '../memory/memory.js';
import type { Clocks } from './clock.js';
import type { Device } from './device.js';
import type { IsaBus } from './isa-bus.js';
import type { PciSlot } from './pci-slot.js';
import type { PropertySpecs, PropertyValues } from './property.js';

/** QEMU's groups in `-device help`. */
export type DeviceCategory =
  | 'Controller/Bridge/Hub devices'
  | 'Storage devices'
  | 'Network devices'
  | 'Input devices'
  | 'Display devices'
  | 'Sound devices'
  | 'Misc devices'
  | 'CPU devices'
  | 'Watchdog devices';

/** What every device may be given, whatever its bus. */
export interface DeviceContext {
  readonly clocks: Clocks;
  readonly memory: Memory;
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

interface Common<P extends PropertySpecs> {
  /** QEMU's name: `isa-serial`. */
  readonly name: string;
  /** QEMU's other names for it, if any: `-vga std` and the like do not count. */
  readonly aliases?: readonly string[];
  readonly description: string;
  readonly category: DeviceCategory;
  readonly properties: P;
  /** Whether `-device` may make it; default true. */
  readonly userCreatable?: boolean;
  readonly trace?: TraceEvents;
}

export interface IsaDeviceType<P extends PropertySpecs = PropertySpecs, C = unknown> extends Common<P> {
  readonly bus: 'ISA';
  create(bus: IsaBus, properties: PropertyValues<P>, context: DeviceContext & C): Device;
}

export interface PciDeviceType<P extends PropertySpecs = PropertySpecs, C = unknown> extends Common<P> {
  readonly bus: 'PCI';
  create(slot: PciSlot, properties: PropertyValues<P>, context: DeviceContext & C): Device;
}

/** On no bus: only boards make it, with arguments of its own. */
export interface SystemDeviceType<P extends PropertySpecs = PropertySpecs> extends Common<P> {
  readonly bus: 'System';
}

export type DeviceType = IsaDeviceType<PropertySpecs, never> | PciDeviceType<PropertySpecs, never> | SystemDeviceType;
