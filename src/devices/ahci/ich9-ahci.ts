/** The AHCI controller of Intel's ICH9: six ports for ATA and ATAPI devices. Serial ATA AHCI 1.3.1; ICH9 data sheet, chapter 15. */
import { getSized } from '../../base/bytes.js';
import { UserError } from '../../base/errors.js';
import type { Device } from '../../machine/device.js';
import type { OfferedBus, OffersBuses } from '../../machine/device-bus.js';
import type { PciDeviceType } from '../../machine/device-type.js';
import type { PciSlot } from '../../machine/pci-slot.js';
import { prop } from '../../machine/property.js';
import { type DeviceState, stateOf } from '../../machine/state.js';
import type { AccessSize, IoHandler } from '../../memory/io.js';
import type { IdeSlot } from '../ide/ide-slot.js';
import { msiCapability, sendMsi } from '../pci/msi.js';
import { PciFunction } from '../pci/pci-function.js';
import { AHCI_TRACE, AhciPort, type AhciPortHost } from './ahci-port.js';
import { Cap, Ghc, Hba, PORT_BYTES, PORTS_AT, VERSION } from './registers.js';

const PORTS = 6;
const ABAR_BYTES = 0x1000;
/** Ports through which 16-bit software reaches the memory registers: index at 10h, data at 14h. */
const INDEX_BYTES = 32;
const INDEX_AT = 0x10;
const DATA_AT = 0x14;

export class Ich9Ahci implements Device, AhciPortHost, OffersBuses {
  readonly type: string;
  readonly ports: readonly AhciPort[];
  readonly buses: readonly OfferedBus[];
  readonly pci: PciFunction;
  control = Ghc.ahciEnable as number;
  interruptStatus = 0;
  index = 0;
  readonly #state = stateOf<Ich9Ahci>(this, 1, ['pci', 'ports', 'control', 'interruptStatus', 'index'], () =>
    this.#driveIntx(),
  );

  constructor(slot: PciSlot, type = 'ich9-ahci') {
    this.type = type;
    this.ports = Array.from({ length: PORTS }, (_, i) => new AhciPort(i, this));
    this.buses = this.ports.map(offeredBus);
    const { memory } = slot;
    this.pci = new PciFunction(slot, {
      vendorId: 0x8086,
      deviceId: 0x2922,
      revision: 2,
      classCode: 0x010601,
      interruptPin: 1,
      bars: [
        { index: 4, kind: 'io', region: memory.io('ahci-idp', INDEX_BYTES, this.#indexPorts()) },
        { index: 5, kind: 'memory32', region: memory.io('ahci', ABAR_BYTES, this.#registers()) },
      ],
      capabilities: [
        msiCapability(0x80),
        {
          id: 0x12,
          at: 0xa8,
          registers: [
            { name: 'SATACR0', at: 2, size: 2, reset: 0x0010, ro: 0xffff },
            // Index and data are at 10h of BAR 4.
            { name: 'SATACR1', at: 4, size: 4, reset: 0x48, ro: 0xffff_ffff },
          ],
        },
      ],
    });
  }

  get dma(): PciFunction['dma'] {
    return this.pci.dma;
  }

  interruptChanged(port: number, raised: boolean): void {
    if (raised) {
      this.interruptStatus |= 1 << port;
      if (this.control & Ghc.interruptEnable && sendMsi(this.pci)) return;
    }
    this.#driveIntx();
  }

  reset(): void {
    this.pci.reset();
    this.#resetHba();
    this.index = 0;
  }

  save(): DeviceState {
    return this.#state.save();
  }

  load(state: DeviceState): void {
    this.#state.load(state);
  }

  #resetHba(): void {
    this.control = Ghc.ahciEnable;
    this.interruptStatus = 0;
    for (const port of this.ports) port.reset();
    this.#driveIntx();
  }

  #driveIntx(): void {
    const messages = (this.pci.registers.get('MSI_CONTROL') & 1) !== 0;
    this.pci.intx.set(!messages && this.interruptStatus !== 0 && (this.control & Ghc.interruptEnable) !== 0);
  }

  #registers(): IoHandler {
    return {
      sizes: { min: 4, max: 4 },
      read: (offset) => this.#read(offset),
      write: (offset, _size, value) => this.#write(offset, value),
    };
  }

  #read(offset: number): number {
    if (offset >= PORTS_AT) {
      const port = this.ports[Math.floor((offset - PORTS_AT) / PORT_BYTES)];
      return port?.read((offset - PORTS_AT) % PORT_BYTES) ?? 0;
    }
    switch (offset) {
      case Hba.CAP:
        return (Cap.s64a | Cap.nativeQueuing | Cap.ahciOnly | Cap.gen1 | Cap.slots | (PORTS - 1)) >>> 0;
      case Hba.GHC:
        return this.control >>> 0;
      case Hba.IS:
        return this.interruptStatus;
      case Hba.PI:
        return 2 ** PORTS - 1;
      case Hba.VS:
        return VERSION;
      default:
        return 0;
    }
  }

  #write(offset: number, value: number): void {
    if (offset >= PORTS_AT) {
      this.ports[Math.floor((offset - PORTS_AT) / PORT_BYTES)]?.write((offset - PORTS_AT) % PORT_BYTES, value);
    } else if (offset === Hba.GHC) {
      if (value & Ghc.reset) this.#resetHba();
      else {
        this.control = (Ghc.ahciEnable | (value & Ghc.interruptEnable)) >>> 0;
        this.#driveIntx();
      }
    } else if (offset === Hba.IS) {
      this.interruptStatus &= ~value;
      // A port with something left raises its bit again.
      for (const port of this.ports) if (port.interruptPending) this.interruptStatus |= 1 << port.number;
      this.#driveIntx();
    }
  }

  #indexPorts(): IoHandler {
    const word = new Uint8Array(4);
    return {
      read: (offset, size: AccessSize) => {
        if (offset < INDEX_AT) return 0;
        const value = offset < DATA_AT ? this.index : this.#read(this.index);
        for (let i = 0; i < 4; i++) word[i] = value >>> (8 * i);
        const lane = offset & 3;
        return lane + size <= 4 ? getSized(word, lane, size) : 0;
      },
      write: (offset, size, value) => {
        if (size !== 4) return;
        if (offset === INDEX_AT) this.index = value & (ABAR_BYTES - 4);
        else if (offset === DATA_AT) this.#write(this.index, value);
      },
    };
  }
}

/** A port takes one device, as unit 0. */
function offeredBus(port: AhciPort): OfferedBus {
  return {
    name: 'ide',
    type: 'IDE',
    place: { unit: prop.int32(-1, 'unit on the port: 0') },
    hasRoom: () => port.device === null,
    slot: (_type, place): IdeSlot => {
      const unit = Math.max(0, Number(place['unit']));
      if (unit > 0) throw new UserError(`Can't create IDE unit ${unit}, bus supports only 1 units`);
      if (port.device) throw new UserError(`IDE unit ${unit} is in use`);
      return { index: 2 * port.number, attach: (device) => port.attach(device) };
    },
  };
}

export const ich9Ahci: PciDeviceType<Record<string, never>> = {
  name: 'ich9-ahci',
  aliases: ['ahci'],
  description: 'AHCI controller with six ports',
  category: 'Storage devices',
  bus: 'PCI',
  properties: {},
  trace: AHCI_TRACE,
  create: (slot) => new Ich9Ahci(slot),
};
