/** Plugs devices into a board's buses: those that the board has by default and those that the user asks for. */
import { UserError } from '../base/errors.js';
import type { AcpiPciHotplug } from '../devices/acpi/pci-hotplug.js';
import type { IdeChannel } from '../devices/ide/ide-channel.js';
import type { IdeSlot } from '../devices/ide/ide-slot.js';
import {
  DEVICE_TYPES,
  type DeviceResources,
  type DeviceType,
  findDeviceType,
  namesOf,
  presetOf,
} from '../devices/index.js';
import { describeFunction, qtreeLines } from '../devices/pci/describe.js';
import type { PciBus } from '../devices/pci/pci-bus.js';
import { PciFunction } from '../devices/pci/pci-function.js';
import { PCI_PLACE, placeAt } from '../devices/pci/pci-place.js';
import { SCSI_PLACE } from '../devices/scsi/scsi-bus.js';
import { SERIAL_PLACE } from '../devices/virtio/console/ports.js';
import type { Device } from '../machine/device.js';
import { type HotBus, type OfferedBus, offersBuses } from '../machine/device-bus.js';
import { DEVICE_CATEGORIES, type DeviceContext } from '../machine/device-type.js';
import type { IsaBus } from '../machine/isa-bus.js';
import type { BusNode, DeviceNode } from '../machine/machine.js';
import type { PciSlot } from '../machine/pci-slot.js';
import { describeProperties, type PropertySpecs, parseProperties, prop } from '../machine/property.js';
import type { DeviceRequest, GlobalProperty } from './board.js';
import { firmwarePlace, refuseUsedIndexes } from './boot-order.js';

/** A bus that takes devices, and its place in the tree. */
interface Plug extends Omit<OfferedBus, 'name'> {
  readonly node: BusNode;
  /** Where the slot that was given last is. */
  where?(): string;
  /** A device was made for the slot that was given last. */
  made?(device: Device): void;
}

const IDE_PLACE = {
  unit: prop.int32(-1, 'unit on the channel: 0 or 1'),
};
const FIRST_FREE_PCI_DEVICE = 2;

export class Plugs {
  readonly #plugs: Plug[] = [];
  /** Devices that the guest was asked to let go of, by PCI slot: what to do then. */
  readonly #leaving = new Map<number, () => void>();
  readonly #plugged: { readonly type: string; readonly values: Readonly<Record<string, unknown>> }[] = [];

  constructor(
    private readonly context: DeviceContext & DeviceResources,
    private readonly globals: readonly GlobalProperty[],
  ) {}

  addIsa(node: BusNode, bus: IsaBus): void {
    this.#plugs.push({
      node,
      type: 'ISA',
      place: {},
      hasRoom: () => true,
      slot: (): IsaBus => bus,
    });
  }

  /** Devices without an address go to `firstFree` or behind. */
  addPci(node: BusNode, bus: PciBus, firstFree = FIRST_FREE_PCI_DEVICE, hotplug?: AcpiPciHotplug): void {
    let last = 0;
    const slots = new Map<Device, number>();
    const hot: HotBus | undefined = hotplug && {
      added: (device) => hotplug.plugged(slots.get(device)!),
      remove: (device, gone) => {
        const slot = slots.get(device)!;
        this.#leaving.set(slot, gone);
        hotplug.requestUnplug(slot);
      },
    };
    this.#plugs.push({
      node,
      type: 'PCI',
      place: PCI_PLACE,
      details: () => pciDetails(bus, last),
      where: () => `${(last >> 3).toString(16).padStart(2, '0')}.${last & 7}`,
      hasRoom: () => bus.freeDevice(firstFree) !== undefined,
      slot: (type, place): PciSlot => {
        last = pciAddress(bus, type, String(place['addr']), firstFree);
        return placeAt(bus, last, place);
      },
      ...(hot && { hot }),
      made: (device) => {
        slots.set(device, last >> 3);
        if (hotplug && device.unplug) hotplug.removable = (hotplug.removable | (1 << (last >> 3))) >>> 0;
      },
    });
  }

  /** Channel `index` (0 or 1) of the board's IDE controller. */
  addIde(node: BusNode, channel: IdeChannel, index: number): void {
    const free = (): number => channel.devices.indexOf(null);
    let last = 0;
    this.#plugs.push({
      node,
      type: 'IDE',
      place: IDE_PLACE,
      where: () => `unit ${last}`,
      hasRoom: () => free() >= 0,
      slot: (_type, place): IdeSlot => {
        const asked = Number(place['unit']);
        const unit = asked < 0 ? free() : asked;
        if (unit < 0 || unit > 1) throw new UserError(`Can't create IDE unit ${unit}, bus supports only 2 units`);
        if (channel.devices[unit]) throw new UserError(`IDE unit ${unit} is in use`);
        last = unit;
        return {
          index: 2 * index + unit,
          attach: (device) => channel.attach(unit as 0 | 1, device),
        };
      },
    });
  }

  /** Plugs a device into the running machine. Throws UserError. */
  add(request: DeviceRequest): void {
    const { id } = request;
    if (this.#isUsed(id)) throw new UserError(`Duplicate device ID '${id}'`);
    const type = findDeviceType(request.type);
    if (type) {
      const plug = this.#find(type, request.properties['bus']);
      if (!plug.hot) throw new UserError(`Bus '${plug.node.name}' does not support hotplugging`);
    }
    const device = this.#make(request);
    device.reset();
    const { plug, node } = this.#nodes().find((n) => n.node.device === device)!;
    for (const below of node.buses) for (const each of below.devices) each.device.reset();
    plug.hot!.added(device);
  }

  /** Unplugs the device with this id as soon as the guest lets it go. Throws UserError. */
  remove(id: string): void {
    const found = this.#nodes().find(({ node }) => node.id === id);
    if (!found) throw new UserError(`Device '${id}' not found`);
    const { plug, node } = found;
    if (!plug.hot || !node.device.unplug) {
      throw new UserError(`Bus '${plug.node.name}' does not support hotplugging`);
    }
    plug.hot.remove(node.device, () => {
      const at = plug.node.devices.indexOf(node);
      if (at < 0) return;
      plug.node.devices.splice(at, 1);
      this.#takeOut(node);
    });
  }

  /** The guest has let go of a PCI slot. */
  ejected(slot: number): void {
    const gone = this.#leaving.get(slot);
    this.#leaving.delete(slot);
    gone?.();
  }

  #takeOut(node: DeviceNode): void {
    for (const bus of node.buses) {
      for (const below of bus.devices) this.#takeOut(below);
      const at = this.#plugs.findIndex((p) => p.node === bus);
      if (at >= 0) this.#plugs.splice(at, 1);
    }
    node.device.unplug?.();
    node.device.dispose?.();
  }

  #isUsed(id: string): boolean {
    return id !== '' && this.#nodes().some(({ node }) => node.id === id);
  }

  /** Every device that was plugged in, with its bus. */
  #nodes(): { readonly plug: Plug; readonly node: DeviceNode }[] {
    return this.#plugs.flatMap((plug) => plug.node.devices.map((node) => ({ plug, node })));
  }

  /** Makes what a request names; throws UserError in QEMU's words for a wrong type, bus, property or value. */
  plug(request: DeviceRequest): Device {
    try {
      if (this.#isUsed(request.id)) throw new UserError(`Duplicate ID '${request.id}' for device`);
      return this.#make(request);
    } catch (error) {
      if (request.origin && error instanceof UserError) throw new UserError(`${request.origin}: ${error.message}`);
      throw error;
    }
  }

  #make(request: DeviceRequest): Device {
    const type = findDeviceType(request.type);
    if (!type || type.userCreatable === false) {
      throw new UserError(`'${request.type}' is not a valid device model name`);
    }
    const { bus: busName, ...given } = request.properties;
    const plug = this.#find(type, busName);
    const all: Record<string, string> = {};
    for (const { driver, property, value } of this.globals) if (driver === type.name) all[property] = value;
    Object.assign(all, presetOf(request.type), given);
    const values = parseProperties(type.name, { ...plug.place, ...type.properties }, all);
    const slot = plug.slot(type.name, pick(values, placeOf(type, plug.place)));
    const place = firmwarePlace(type, slot, values);
    refuseUsedIndexes(
      place.boot,
      this.#nodes().map(({ node }) => node),
    );
    const device = create(type, slot, pick(values, type.properties), this.context);
    plug.made?.(device);
    this.#plugged.push({ type: type.name, values });
    const properties = Object.entries(type.properties).map(([name, spec]) => [name, spec.show(values[name])] as const);
    plug.node.devices.push({
      type: type.name,
      id: request.id,
      device,
      ...(plug.where && { place: plug.where() }),
      properties,
      buses: offersBuses(device) ? device.buses.map((bus, i) => this.offer(bus, request.id, i)) : [],
      ...(plug.details && { details: plug.details() }),
      ...place,
    });
    return device;
  }

  /** A bus that a device offers is named after the device's id, or by its kind and a running number. */
  offer(bus: OfferedBus, id: string, index: number): BusNode {
    const number = this.#plugs.filter((p) => p.node.name.startsWith(`${bus.name}.`)).length;
    const node: BusNode = {
      name: id ? (bus.namedById ? id : `${id}.${index}`) : `${bus.name}.${number}`,
      type: bus.type,
      devices: [],
    };
    this.#plugs.push({
      node,
      type: bus.type,
      place: bus.place,
      hasRoom: () => bus.hasRoom(),
      slot: (type, place) => bus.slot(type, place),
      ...(bus.hot && { hot: bus.hot }),
      ...(bus.details && { details: () => bus.details!() }),
    });
    return node;
  }

  /** Properties of the devices of a type that were plugged in, in order. */
  plugged(type: string): readonly Readonly<Record<string, unknown>>[] {
    return this.#plugged.filter((p) => p.type === type).map((p) => p.values);
  }

  #find(type: DeviceType, name: string | undefined): Plug {
    if (name !== undefined) {
      const plug = this.#plugs.find((p) => p.node.name === name);
      if (!plug) throw new UserError(`Bus '${name}' not found`);
      if (plug.type !== type.bus) throw new UserError(`Device '${type.name}' can't go on ${plug.node.type} bus`);
      return plug;
    }
    const fitting = this.#plugs.filter((p) => p.type === type.bus);
    const plug = fitting.find((p) => p.hasRoom());
    if (plug) return plug;
    throw new UserError(
      fitting.length > 0
        ? `No '${type.bus}' bus with room found for device '${type.name}'`
        : `No '${type.bus}' bus found for device '${type.name}'`,
    );
  }
}

/** The type fits the slot: `Plugs` has matched the kinds of bus. */
function create(
  type: DeviceType,
  slot: unknown,
  own: Readonly<Record<string, unknown>>,
  context: DeviceContext & DeviceResources,
): Device {
  const make = type.create as (slot: unknown, own: Readonly<Record<string, unknown>>, context: DeviceContext) => Device;
  return make.call(type, slot, own, context);
}

/** Without what the type means otherwise: a device with an option ROM names it itself. */
const placeOf = (type: DeviceType, place: PropertySpecs): PropertySpecs =>
  Object.fromEntries(Object.entries(place).filter(([name]) => !(name in type.properties)));

function pick(values: Readonly<Record<string, unknown>>, specs: PropertySpecs): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.keys(specs).map((name) => [name, values[name]]));
}

/** The lines of `info qtree` about the function at `devfn`. */
export function pciDetails(bus: PciBus, devfn: number): () => readonly string[] {
  return () => {
    const pci = bus.functionAt(devfn);
    return pci instanceof PciFunction ? qtreeLines(describeFunction(bus.number, devfn, pci)) : [];
  };
}

/** `06`, `06.1`, `0x6.1`: hexadecimal, as QEMU reads it; '' takes the next free device. */
function pciAddress(bus: PciBus, type: string, text: string, firstFree: number): number {
  if (text === '') {
    const device = bus.freeDevice(firstFree);
    if (device === undefined)
      throw new UserError(`PCI: no slot/function available for ${type}, all in use or reserved`);
    return 8 * device;
  }
  const match = /^(?:0x)?([0-9a-f]{1,2})(?:\.([0-7]))?$/i.exec(text);
  const devfn = match ? 8 * Number.parseInt(match[1]!, 16) + Number(match[2] ?? 0) : 256;
  if (devfn > 255) throw new UserError(`Property '${type}.addr' doesn't take value '${text}'`);
  if (bus.functionAt(devfn)) {
    throw new UserError(
      `PCI: slot ${devfn >> 3} function ${devfn & 7} not available for ${type}, in use: choose another addr`,
    );
  }
  return devfn;
}

/** The lines of `-device help`. */
export function describeDeviceTypes(): string[] {
  return DEVICE_CATEGORIES.flatMap((category) => {
    const types = DEVICE_TYPES.filter((t) => t.category === category && t.userCreatable !== false);
    if (types.length === 0) return [];
    const lines = types.flatMap((t) =>
      namesOf(t).map((name) => `name "${name}", bus ${t.bus}, desc "${t.description}"`),
    );
    return [`${category}:`, ...lines.sort(), ''];
  });
}

/** Properties of a device's place, by the kind of bus. */
const PLACES: Readonly<Record<string, PropertySpecs>> = {
  IDE: IDE_PLACE,
  PCI: PCI_PLACE,
  SCSI: SCSI_PLACE,
  'virtio-serial-bus': SERIAL_PLACE,
};

/** The lines of `-device type,help`; undefined for an unknown type. */
export function describeDeviceType(name: string): string[] | undefined {
  const type = findDeviceType(name);
  if (!type) return undefined;
  const properties = { ...PLACES[type.bus], ...type.properties };
  const fixed = presetOf(name);
  const shown = Object.entries(properties).filter(([property]) => !(property in fixed));
  return [`${name} options:`, ...describeProperties(Object.fromEntries(shown))];
}
