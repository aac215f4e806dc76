/**
 * A PCI Express root port: a bridge to a bus with room for one device. PCI Express Base Specification 3.0, 7.8; PCI-to-PCI
 * Bridge Architecture Specification 1.2. What the windows of the bridge let through is not checked: BARs behind it are mapped
 * where they say. Slots are not hot-pluggable.
 */
import { UserError } from '../../base/errors.js';
import type { Device } from '../../machine/device.js';
import type { OfferedBus, OffersBuses } from '../../machine/device-bus.js';
import type { PciDeviceType } from '../../machine/device-type.js';
import type { PciSlot } from '../../machine/pci-slot.js';
import { prop } from '../../machine/property.js';
import { type DeviceState, stateOf } from '../../machine/state.js';
import { PciBus } from './pci-bus.js';
import { type CapabilitySpec, PciFunction } from './pci-function.js';
import { PCI_PLACE, placeAt } from './pci-place.js';

const EXPRESS = 0x10;
const EXPRESS_AT = 0x54;
/** Version 2, root port, with a slot. */
const ROOT_PORT = 0x0142;
/** 2.5 GT/s, one lane. */
const LINK = 0x11;
const SLOT_PRESENT = 0x40;
const ALL = 0xffff_ffff;

type Register = 'SECONDARY_BUS' | 'SUBORDINATE_BUS' | 'SLTSTA';

function expressCapability(port: number, chassis: number): CapabilitySpec {
  return {
    id: EXPRESS,
    at: EXPRESS_AT,
    registers: [
      { name: 'PCIECAP', at: 0x02, size: 2, reset: ROOT_PORT, ro: ALL },
      { name: 'DEVCAP', at: 0x04, size: 4, reset: 0x8000, ro: ALL },
      { name: 'DEVCTL', at: 0x08, size: 2 },
      { name: 'DEVSTA', at: 0x0a, size: 2, w1c: 0x0f, ro: 0xfff0 },
      { name: 'LNKCAP', at: 0x0c, size: 4, reset: (port << 24) | LINK, ro: ALL },
      { name: 'LNKCTL', at: 0x10, size: 2 },
      { name: 'LNKSTA', at: 0x12, size: 2, reset: LINK, ro: ALL },
      { name: 'SLTCAP', at: 0x14, size: 4, reset: chassis << 19, ro: ALL },
      { name: 'SLTCTL', at: 0x18, size: 2 },
      { name: 'SLTSTA', at: 0x1a, size: 2, w1c: 0x1f, ro: 0xffe0 },
      { name: 'RTCTL', at: 0x1c, size: 2 },
      { name: 'RTSTA', at: 0x20, size: 4, ro: ALL },
      { name: 'DEVCAP2', at: 0x24, size: 4, ro: ALL },
      { name: 'DEVCTL2', at: 0x28, size: 2 },
      { name: 'LNKCAP2', at: 0x2c, size: 4, reset: 2, ro: ALL },
      { name: 'LNKCTL2', at: 0x30, size: 2, reset: 1 },
    ],
  };
}

export class PcieRootPort implements Device, OffersBuses {
  readonly type = 'pcie-root-port';
  readonly pci: PciFunction<Register>;
  readonly bus: PciBus;
  readonly buses: readonly OfferedBus[];
  readonly #state = stateOf<PcieRootPort>(this, 1, ['pci'], () => this.#renumber());

  constructor(slot: PciSlot, options: { readonly port: number; readonly slotNumber: number }) {
    const { memory, dma, memorySpace, ioSpace } = slot;
    this.bus = new PciBus({
      memory,
      dma,
      memorySpace,
      ioSpace,
      // The one device behind has number 0, so its pins keep their names.
      setIntx: (_device, pin, level) => slot.setIntx(pin, level),
      sendMsi: (address, data) => slot.sendMsi(address, data),
    });
    const renumber = (): void => this.#renumber();
    this.pci = new PciFunction<Register>(
      slot,
      {
        vendorId: 0x1b36,
        deviceId: 0x000c,
        classCode: 0x060400,
        bridge: true,
        capabilities: [expressCapability(options.port, options.slotNumber)],
      },
      { written: { SECONDARY_BUS: renumber, SUBORDINATE_BUS: renumber } },
    );
    slot.bridge(this.bus);
    this.buses = [
      {
        name: 'pcie',
        namedById: true,
        type: 'PCI',
        place: { ...PCI_PLACE, addr: prop.str('slot and function number: 00.0 is all there is') },
        hasRoom: () => this.bus.functionAt(0) === undefined,
        slot: (type, place): PciSlot => {
          const asked = String(place['addr']);
          if (!/^((0x)?0{1,2}(\.0)?)?$/i.test(asked)) {
            throw new UserError(`PCI: slot ${asked} not available for ${type}: a root port has slot 0 only`);
          }
          if (this.bus.functionAt(0)) throw new UserError(`PCI: slot 0 function 0 not available for ${type}, in use`);
          return placeAt(this.bus, 0, place);
        },
      },
    ];
  }

  reset(): void {
    this.pci.reset();
    this.#renumber();
  }

  save(): DeviceState {
    return this.#state.save();
  }

  load(state: DeviceState): void {
    this.#state.load(state);
  }

  #renumber(): void {
    this.bus.number = this.pci.get('SECONDARY_BUS');
    this.bus.subordinate = this.pci.get('SUBORDINATE_BUS');
    if (this.bus.functionAt(0)) this.pci.set('SLTSTA', this.pci.get('SLTSTA') | SLOT_PRESENT);
  }
}

const properties = {
  port: prop.uint8(0, 'port number'),
  chassis: prop.uint8(0, 'chassis of the slot'),
  slot: prop.uint16(0, 'number of the slot'),
};

export const pcieRootPort: PciDeviceType<typeof properties> = {
  name: 'pcie-root-port',
  description: 'PCI Express root port',
  category: 'Controller/Bridge/Hub devices',
  bus: 'PCI',
  properties,
  create: (slot, v) => new PcieRootPort(slot, { port: v.port, slotNumber: v.slot }),
};
