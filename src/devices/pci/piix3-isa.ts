/**
 * The PIIX3's PCI to ISA bridge: routes the four PCI interrupts to ISA interrupts, and resets the machine (port CF9h).
 * Intel 82371SB (PIIX3) data sheet (290550-002), 2.1 and 2.7.
 */
import type { Device } from '../../machine/device.js';
import type { SystemRequests } from '../../machine/device-type.js';
import type { IrqLine } from '../../machine/irq.js';
import type { PciSlot } from '../../machine/pci-slot.js';
import { type DeviceState, stateOf } from '../../machine/state.js';
import { PciFunction } from './pci-function.js';

const CONFIG = [
  { name: 'IORT', at: 0x4c, size: 1, reset: 0x4d },
  { name: 'XBCS', at: 0x4e, size: 2, reset: 0x0003 },
  { name: 'PIRQRCA', at: 0x60, size: 1, reset: 0x80, rsvd: 0x70 },
  { name: 'PIRQRCB', at: 0x61, size: 1, reset: 0x80, rsvd: 0x70 },
  { name: 'PIRQRCC', at: 0x62, size: 1, reset: 0x80, rsvd: 0x70 },
  { name: 'PIRQRCD', at: 0x63, size: 1, reset: 0x80, rsvd: 0x70 },
  { name: 'TOM', at: 0x69, size: 1, reset: 0x02 },
  { name: 'MSTAT', at: 0x6a, size: 2 },
  { name: 'MBIRQ0', at: 0x70, size: 1, reset: 0x80 },
  { name: 'MBIRQ1', at: 0x71, size: 1, reset: 0x80 },
  { name: 'MBDMA0', at: 0x76, size: 1, reset: 0x0c },
  { name: 'MBDMA1', at: 0x77, size: 1, reset: 0x0c },
  { name: 'APICBASE', at: 0x80, size: 1 },
  { name: 'DLC', at: 0x82, size: 1 },
  { name: 'SMICNTL', at: 0xa0, size: 1, reset: 0x08 },
  { name: 'SMIEN', at: 0xa2, size: 2 },
  { name: 'SEE', at: 0xa4, size: 4 },
  { name: 'FTMR', at: 0xa8, size: 1, reset: 0x0f },
  { name: 'SMIREQ', at: 0xaa, size: 2 },
  { name: 'CTLTMR', at: 0xac, size: 1 },
  { name: 'CTHTMR', at: 0xae, size: 1 },
] as const;
const ROUTES = ['PIRQRCA', 'PIRQRCB', 'PIRQRCC', 'PIRQRCD'] as const;
const ROUTE_DISABLED = 0x80;
const RESET_CONTROL_PORT = 0xcf9;
const RESET_CPU = 4;

export interface Piix3Wiring {
  /** ISA interrupts 0..15, as drivers of this bridge's own. */
  readonly isa: readonly IrqLine[];
  readonly requests: SystemRequests;
}

export class Piix3Isa implements Device {
  readonly type = 'PIIX3';
  readonly pci: PciFunction<(typeof CONFIG)[number]['name']>;
  /** How many device pins drive each PIRQ: bit sets by device and pin. */
  readonly pirqDrivers = new Uint32Array(4);
  resetControl = 0;
  readonly #state = stateOf<Piix3Isa>(this, 1, ['pci', 'pirqDrivers', 'resetControl'], () => this.#route());

  constructor(
    slot: PciSlot,
    private readonly wiring: Piix3Wiring,
  ) {
    const route = (): void => this.#route();
    this.pci = new PciFunction(
      slot,
      {
        vendorId: 0x8086,
        deviceId: 0x7000,
        classCode: 0x060100,
        multifunction: true,
        command: { reset: 0x0007, writable: 0x0008 },
        status: 0x0200,
        registers: CONFIG,
      },
      { written: { PIRQRCA: route, PIRQRCB: route, PIRQRCC: route, PIRQRCD: route } },
    );
    slot.ioSpace.add(
      slot.memory.io('piix3-reset-control', 1, {
        sizes: { min: 1, max: 1 },
        read: () => this.resetControl,
        write: (_offset, _size, value) => {
          if (value & RESET_CPU) this.wiring.requests.reset('guest-reset');
          this.resetControl = value & 2;
        },
      }),
      RESET_CONTROL_PORT,
      1,
    );
  }

  /** Which PIRQ (0..3) pin `pin` (1..4) of a device drives: the board's slots rotate by one each. */
  static pirqOf(device: number, pin: number): number {
    return (device - 1 + pin - 1) & 3;
  }

  setIntx(device: number, pin: number, level: boolean): void {
    const pirq = Piix3Isa.pirqOf(device, pin);
    // A device drives each PIRQ with at most one of its pins, so one bit a device will do.
    const bit = 1 << device;
    const before = this.pirqDrivers[pirq]!;
    const after = (level ? before | bit : before & ~bit) >>> 0;
    this.pirqDrivers[pirq] = after;
    if ((before === 0) !== (after === 0)) this.#route();
  }

  reset(): void {
    this.pci.reset();
    this.resetControl = 0;
    this.#route();
  }

  save(): DeviceState {
    return this.#state.save();
  }

  load(state: DeviceState): void {
    this.#state.load(state);
  }

  /** What firmware does, or a direct loader in its place: PIRQ A..D to these ISA interrupts. */
  configureRoutes(irqs: readonly number[]): void {
    irqs.forEach((irq, i) => {
      this.pci.configWrite(0x60 + i, 1, irq);
    });
  }

  #route(): void {
    let raised = 0;
    ROUTES.forEach((name, i) => {
      const route = this.pci.get(name);
      if (!(route & ROUTE_DISABLED) && this.pirqDrivers[i]) raised |= 1 << (route & 15);
    });
    this.wiring.isa.forEach((line, irq) => {
      line.set((raised & (1 << irq)) !== 0);
    });
  }
}
