/**
 * The LPC bridge of Intel's ICH9: routes PCI interrupts, manages power, and resets the machine.
 * Intel I/O Controller Hub 9 data sheet (316972-004), chapter 13.
 */
import { traceEvents } from '../../base/trace.js';
import type { Clock } from '../../machine/clock.js';
import type { Device } from '../../machine/device.js';
import type { SystemRequests } from '../../machine/device-type.js';
import type { IrqLine } from '../../machine/irq.js';
import type { PciSlot } from '../../machine/pci-slot.js';
import { defineRegisters, RegisterFile } from '../../machine/register-map.js';
import { type DeviceState, stateOf } from '../../machine/state.js';
import type { MemoryRegion } from '../../memory/region.js';
import { PciFunction } from '../pci/pci-function.js';
import { Ich9Tco, TCO_BYTES } from './ich9-tco.js';
import { PM1_BYTES, Pm1, Pm1Block } from './pm1.js';

export const ICH9_LPC_TRACE = traceEvents({
  ich9_pm_sci: 'level %d',
  ich9_smi_command: '0x%02x',
});

const PIRQ_ROUTES = ['PIRQA', 'PIRQB', 'PIRQC', 'PIRQD', 'PIRQE', 'PIRQF', 'PIRQG', 'PIRQH'] as const;
const ROUTE_DISABLED = 0x80;

const CONFIG = [
  { name: 'PMBASE', at: 0x40, size: 4, reset: 1, ro: 0xffff_007f },
  { name: 'ACPI_CNTL', at: 0x44, size: 1, rsvd: 0x78 },
  { name: 'PIRQA', at: 0x60, size: 1, reset: 0x80, rsvd: 0x70 },
  { name: 'PIRQB', at: 0x61, size: 1, reset: 0x80, rsvd: 0x70 },
  { name: 'PIRQC', at: 0x62, size: 1, reset: 0x80, rsvd: 0x70 },
  { name: 'PIRQD', at: 0x63, size: 1, reset: 0x80, rsvd: 0x70 },
  { name: 'PIRQE', at: 0x68, size: 1, reset: 0x80, rsvd: 0x70 },
  { name: 'PIRQF', at: 0x69, size: 1, reset: 0x80, rsvd: 0x70 },
  { name: 'PIRQG', at: 0x6a, size: 1, reset: 0x80, rsvd: 0x70 },
  { name: 'PIRQH', at: 0x6b, size: 1, reset: 0x80, rsvd: 0x70 },
  { name: 'LPC_IO_DEC', at: 0x80, size: 2 },
  { name: 'LPC_EN', at: 0x82, size: 2 },
  { name: 'GEN_PMCON_1', at: 0xa0, size: 2 },
  { name: 'GEN_PMCON_2', at: 0xa2, size: 1 },
  { name: 'GEN_PMCON_3', at: 0xa4, size: 1 },
  { name: 'RCBA', at: 0xf0, size: 4, rsvd: 0x3ffe },
] as const;
const ACPI_ENABLE_BIT = 0x80;
const RCBA_ENABLE = 1;
const RCRB_BYTES = 0x4000;
/** GCS: the watchdog does not reset the machine. */
const NO_REBOOT = 0x20;
/** Chipset configuration: which pin of its own functions drives which PIRQ, and the like. */
const RCRB = defineRegisters(RCRB_BYTES, [
  { name: 'D31IP', at: 0x3100, size: 4, reset: 0x0324_3200 },
  { name: 'D31IR', at: 0x3140, size: 2, reset: 0x3210 },
  { name: 'D29IR', at: 0x3144, size: 2, reset: 0x3210 },
  { name: 'D28IR', at: 0x3146, size: 2, reset: 0x3210 },
  { name: 'D27IR', at: 0x3148, size: 2, reset: 0x3210 },
  { name: 'D26IR', at: 0x314c, size: 2, reset: 0x3210 },
  { name: 'D25IR', at: 0x3150, size: 2, reset: 0x3210 },
  { name: 'OIC', at: 0x31ff, size: 1 },
  { name: 'GCS', at: 0x3410, size: 4, reset: NO_REBOOT },
]);

const PM_BYTES = 0x80;
const GPE_AT = 0x20;
const GPE_BYTES = 0x10;
const SMI_AT = 0x30;
const TCO_AT = 0x60;
const GPE = defineRegisters(GPE_BYTES, [
  { name: 'GPE0_STS', at: 0, size: 4, w1c: 0xffff_ffff },
  { name: 'GPE0_STS_HIGH', at: 4, size: 4, w1c: 0xffff_ffff },
  { name: 'GPE0_EN', at: 8, size: 4 },
  { name: 'GPE0_EN_HIGH', at: 12, size: 4 },
]);
const SMI = defineRegisters(8, [
  { name: 'SMI_EN', at: 0, size: 4, reset: 2 },
  { name: 'SMI_STS', at: 4, size: 4, w1c: 0xffff_ffff },
]);
const SmiEnable = { global: 1, apmc: 0x20 } as const;
const SMI_COMMAND_PORT = 0xb2;
export const ICH9_ACPI_ENABLE = 2;
export const ICH9_ACPI_DISABLE = 3;
const RESET_CONTROL_PORT = 0xcf9;
const RESET_CPU = 4;
/** Devices from here on are the chipset's own: INTA to INTD are PIRQ A to D. Those of slots rotate over E to H. */
const FIRST_OWN_DEVICE = 25;

export interface Ich9LpcWiring {
  readonly clock: Clock;
  /** ISA interrupts 0..15, as drivers of this bridge's own. */
  readonly isa: readonly IrqLine[];
  /** Inputs 16 to 23 of the I/O APIC: PIRQ A to H. */
  readonly pirqs: readonly IrqLine[];
  /** System control interrupt: ISA IRQ 9. */
  readonly sci: IrqLine;
  readonly requests: SystemRequests;
  /** Undefined: the processors have no system management mode, and firmware is not to set it up. */
  raiseSmi?(): void;
}

export class Ich9Lpc implements Device {
  readonly type = 'ICH9-LPC';
  readonly pci: PciFunction<(typeof CONFIG)[number]['name']>;
  readonly pm1: Pm1Block;
  readonly gpe: RegisterFile<(typeof GPE)['registers'][number]['name']>;
  readonly smi: RegisterFile<(typeof SMI)['registers'][number]['name']>;
  readonly rcrb: RegisterFile;
  readonly tco: Ich9Tco;
  readonly apm = new Uint8Array(2);
  /** Which devices drive each PIRQ: a bit a device. */
  readonly pirqDrivers = new Uint32Array(8);
  resetControl = 0;
  readonly #pmRegion: MemoryRegion;
  readonly #rcrbRegion: MemoryRegion;
  #mapped: readonly (number | undefined)[] = [undefined, undefined];
  readonly #state = stateOf<Ich9Lpc>(
    this,
    2,
    ['pci', 'pm1', 'gpe', 'smi', 'rcrb', 'tco', 'apm', 'pirqDrivers', 'resetControl'],
    () => {
      this.#remap();
      this.#route();
      this.#update();
    },
  );

  constructor(
    private readonly slot: PciSlot,
    private readonly wiring: Ich9LpcWiring,
  ) {
    const { memory, ioSpace } = slot;
    this.pm1 = new Pm1Block({ clock: wiring.clock, requests: wiring.requests, changed: () => this.#update() });
    const update = (): void => this.#update();
    this.gpe = new RegisterFile(GPE, { written: { GPE0_STS: update, GPE0_EN: update } });
    this.smi = new RegisterFile(SMI);
    this.rcrb = new RegisterFile<string>(RCRB);
    this.tco = new Ich9Tco({
      clock: wiring.clock,
      expired: () => {
        if (!(this.rcrb.get('GCS') & NO_REBOOT)) wiring.requests.reset('guest-reset');
      },
    });
    this.#pmRegion = memory.container('ich9-pm', PM_BYTES);
    this.#pmRegion.add(memory.io('acpi-pm1', PM1_BYTES, this.pm1.registers), 0);
    this.#pmRegion.add(memory.io('acpi-gpe0', GPE_BYTES, this.gpe), GPE_AT);
    this.#pmRegion.add(memory.io('acpi-smi', 8, this.smi), SMI_AT);
    this.#pmRegion.add(memory.io('acpi-tco', TCO_BYTES, this.tco.registers), TCO_AT);
    this.#rcrbRegion = memory.io('lpc-rcrb-mmio', RCRB_BYTES, this.rcrb);
    ioSpace.add(
      memory.io('apm', 2, {
        sizes: { min: 1, max: 1 },
        read: (offset) => this.apm[offset]!,
        write: (offset, _size, value) => this.#apmWrite(offset, value),
      }),
      SMI_COMMAND_PORT,
    );
    ioSpace.add(
      memory.io('lpc-reset-control', 1, {
        sizes: { min: 1, max: 1 },
        read: () => this.resetControl,
        write: (_offset, _size, value) => {
          if (value & RESET_CPU) wiring.requests.reset('guest-reset');
          this.resetControl = value & 0x0a;
        },
      }),
      RESET_CONTROL_PORT,
      1,
    );
    const route = (): void => this.#route();
    const remap = (): void => this.#remap();
    this.pci = new PciFunction(
      slot,
      {
        vendorId: 0x8086,
        deviceId: 0x2918,
        revision: 2,
        classCode: 0x060100,
        multifunction: true,
        command: { reset: 0x0007, writable: 0x0108 },
        status: 0x0200,
        registers: CONFIG,
      },
      {
        written: {
          PMBASE: remap,
          ACPI_CNTL: remap,
          RCBA: remap,
          PIRQA: route,
          PIRQB: route,
          PIRQC: route,
          PIRQD: route,
          PIRQE: route,
          PIRQF: route,
          PIRQG: route,
          PIRQH: route,
        },
      },
    );
    this.reset();
  }

  /** Which PIRQ (0..7) pin `pin` (1..4) of a device drives. */
  static pirqOf(device: number, pin: number): number {
    return device >= FIRST_OWN_DEVICE ? pin - 1 : 4 + ((device + pin - 1) & 3);
  }

  setIntx(device: number, pin: number, level: boolean): void {
    const pirq = Ich9Lpc.pirqOf(device, pin);
    // A device drives each PIRQ with at most one of its pins, so one bit a device will do.
    const bit = 1 << device;
    const before = this.pirqDrivers[pirq]!;
    this.pirqDrivers[pirq] = level ? before | bit : before & ~bit;
    if ((before === 0) !== (this.pirqDrivers[pirq] === 0)) this.#route();
  }

  reset(): void {
    this.pci.reset();
    this.pm1.reset();
    this.gpe.reset();
    this.smi.reset();
    // As found after someone has set it up already.
    if (!this.wiring.raiseSmi) this.smi.set('SMI_EN', this.smi.get('SMI_EN') | SmiEnable.apmc);
    this.rcrb.reset();
    this.tco.reset();
    this.apm.fill(0);
    this.resetControl = 0;
    this.#remap();
    this.#route();
    this.#update();
  }

  save(): DeviceState {
    return this.#state.save();
  }

  load(state: DeviceState): void {
    this.#state.load(state);
  }

  pressPowerButton(): void {
    this.pm1.raise(Pm1.powerButton);
  }

  /** The machine wakes from S3, by the power button. */
  wake(): void {
    this.pm1.raise(Pm1.wake | Pm1.powerButton);
  }

  /** A general purpose event, 0 to 31. */
  raiseGpe(event: number): void {
    this.gpe.set('GPE0_STS', this.gpe.get('GPE0_STS') | (1 << event));
    this.#update();
  }

  #update(): void {
    const level = this.pm1.level((this.gpe.get('GPE0_STS') & this.gpe.get('GPE0_EN')) !== 0);
    if (ICH9_LPC_TRACE.ich9_pm_sci.enabled) ICH9_LPC_TRACE.ich9_pm_sci.emit(Number(level));
    this.wiring.sci.set(level);
  }

  #apmWrite(offset: number, value: number): void {
    this.apm[offset] = value;
    if (offset !== 0) return;
    if (ICH9_LPC_TRACE.ich9_smi_command.enabled) ICH9_LPC_TRACE.ich9_smi_command.emit(value);
    if (value === ICH9_ACPI_ENABLE) this.pm1.acpiEnabled = true;
    if (value === ICH9_ACPI_DISABLE) this.pm1.acpiEnabled = false;
    const wanted = SmiEnable.global | SmiEnable.apmc;
    if ((this.smi.get('SMI_EN') & wanted) === wanted) this.wiring.raiseSmi?.();
  }

  /** A routed PIRQ is seen by the 8259s; the I/O APIC has an input for each in any case. */
  #route(): void {
    let raised = 0;
    PIRQ_ROUTES.forEach((name, i) => {
      const driven = this.pirqDrivers[i] !== 0;
      this.wiring.pirqs[i]!.set(driven);
      const route = this.pci.get(name);
      if (driven && !(route & ROUTE_DISABLED)) raised |= 1 << (route & 15);
    });
    this.wiring.isa.forEach((line, irq) => {
      line.set((raised & (1 << irq)) !== 0);
    });
  }

  #remap(): void {
    const pm = this.pci.get('ACPI_CNTL') & ACPI_ENABLE_BIT ? this.pci.get('PMBASE') & 0xff80 : 0;
    const rcba = this.pci.get('RCBA');
    const wanted = [pm || undefined, rcba & RCBA_ENABLE ? rcba - (rcba % RCRB_BYTES) : undefined];
    if (wanted.every((base, i) => base === this.#mapped[i])) return;
    const { memory, ioSpace, memorySpace } = this.slot;
    memory.transaction(() => {
      ioSpace.remove(this.#pmRegion);
      memorySpace.remove(this.#rcrbRegion);
      if (wanted[0] !== undefined) ioSpace.add(this.#pmRegion, wanted[0]);
      if (wanted[1] !== undefined) memorySpace.add(this.#rcrbRegion, wanted[1], 1);
    });
    this.#mapped = wanted;
  }
}
