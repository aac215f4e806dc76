/**
 * Power management of the PIIX4: ACPI fixed registers, PM timer, general purpose events, the SMI command port and an
 * SMBus host controller. Intel 82371AB (PIIX4) data sheet (290562-001), chapter 7; ACPI 6.4, 4.8.
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
import { PM1_BYTES, Pm1, Pm1Block } from './pm1.js';
import { SMBUS_BYTES, SmbusHost, type SmbusMemory } from './smbus-host.js';

export const PIIX4_PM_TRACE = traceEvents({
  piix4_pm_sci: 'level %d',
  piix4_pm_smi_command: '0x%02x',
});

/** Where QEMU's PC has them; the ACPI tables say so. */
export const GPE_BASE = 0xafe0;
export const GPE_BYTES = 4;
export const SMI_COMMAND_PORT = 0xb2;
export const ACPI_ENABLE = 0xf1;
export const ACPI_DISABLE = 0xf0;
const CONFIG = [
  { name: 'PMBA', at: 0x40, size: 4, reset: 1, ro: 0xffff_003f },
  { name: 'CNTA', at: 0x44, size: 4 },
  { name: 'CNTB', at: 0x48, size: 4 },
  { name: 'GPICTL', at: 0x4c, size: 4 },
  { name: 'DEVRESD', at: 0x50, size: 4 },
  { name: 'DEVACTA', at: 0x54, size: 4 },
  { name: 'DEVACTB', at: 0x58, size: 4 },
  { name: 'DEVRESA', at: 0x5c, size: 4 },
  { name: 'DEVRESB', at: 0x60, size: 4 },
  { name: 'DEVRESC', at: 0x64, size: 4 },
  { name: 'PMREGMISC', at: 0x80, size: 1, rsvd: 0xfe },
  { name: 'SMBBA', at: 0x90, size: 4, reset: 1, ro: 0xffff_000f },
  { name: 'SMBHSTCFG', at: 0xd2, size: 1, rsvd: 0xf0 },
] as const;
/** DEVACTB: writes to the SMI command port raise SMI. */
const APMC_ENABLE = 1 << 25;

const PM_BYTES = 0x40;
const GPE = defineRegisters(GPE_BYTES, [
  { name: 'GPE0_STS', at: 0, size: 2, w1c: 0xffff },
  { name: 'GPE0_EN', at: 2, size: 2 },
]);

export interface Piix4PmWiring {
  readonly clock: Clock;
  /** System control interrupt: ISA IRQ 9. */
  readonly sci: IrqLine;
  readonly requests: SystemRequests;
  /** Undefined: the processors have no system management mode, and firmware is not to set it up. */
  raiseSmi?(): void;
  /** Bytes of an SMBus memory (a DIMM's SPD) by 7-bit address; undefined: no such device. */
  readonly smbusMemory?: SmbusMemory;
}

export class Piix4Pm implements Device {
  readonly type = 'PIIX4_PM';
  readonly pci: PciFunction<(typeof CONFIG)[number]['name']>;
  readonly pm1: Pm1Block;
  readonly gpe: RegisterFile<(typeof GPE)['registers'][number]['name']>;
  readonly smbus: SmbusHost;
  /** SMI command and status ports. */
  readonly apm = new Uint8Array(2);
  readonly #pmRegion: MemoryRegion;
  readonly #smbusRegion: MemoryRegion;
  #mapped: readonly (number | undefined)[] = [undefined, undefined];
  readonly #state = stateOf<Piix4Pm>(this, 1, ['pci', 'pm1', 'gpe', 'smbus', 'apm'], () => {
    this.#remap();
    this.#update();
  });

  constructor(
    private readonly slot: PciSlot,
    private readonly wiring: Piix4PmWiring,
  ) {
    this.pm1 = new Pm1Block({ clock: wiring.clock, requests: wiring.requests, changed: () => this.#update() });
    this.gpe = new RegisterFile(GPE, {
      written: { GPE0_STS: () => this.#update(), GPE0_EN: () => this.#update() },
    });
    this.smbus = new SmbusHost(wiring.smbusMemory);
    const { memory, ioSpace } = slot;
    this.#pmRegion = memory.container('piix4-pm', PM_BYTES);
    this.#pmRegion.add(memory.io('acpi-pm1', PM1_BYTES, this.pm1.registers), 0);
    this.#smbusRegion = memory.io('piix4-smbus', SMBUS_BYTES, this.smbus);
    ioSpace.add(memory.io('acpi-gpe0', GPE_BYTES, this.gpe), GPE_BASE);
    ioSpace.add(
      memory.io('apm', 2, {
        sizes: { min: 1, max: 1 },
        read: (offset) => this.apm[offset]!,
        write: (offset, _size, value) => this.#apmWrite(offset, value),
      }),
      SMI_COMMAND_PORT,
    );
    this.pci = new PciFunction(
      slot,
      {
        vendorId: 0x8086,
        deviceId: 0x7113,
        revision: 3,
        classCode: 0x068000,
        status: 0x0280,
        interruptPin: 1,
        registers: CONFIG,
      },
      {
        written: {
          PMBA: () => this.#remap(),
          PMREGMISC: () => this.#remap(),
          SMBBA: () => this.#remap(),
          SMBHSTCFG: () => this.#remap(),
        },
      },
    );
    this.reset();
  }

  reset(): void {
    this.pci.reset();
    // As found after someone has set it up already.
    if (!this.wiring.raiseSmi) this.pci.set('DEVACTB', APMC_ENABLE);
    this.pm1.reset();
    this.gpe.reset();
    this.smbus.reset();
    this.apm.fill(0);
    this.#remap();
    this.#update();
  }

  save(): DeviceState {
    return this.#state.save();
  }

  load(state: DeviceState): void {
    this.#state.load(state);
  }

  /** Where firmware, or a direct loader in its place, put the PM registers; undefined while disabled. */
  get pmBase(): number | undefined {
    return this.#mapped[0];
  }

  /** What firmware does: PM registers at `pmBase`, SMBus at `smbusBase`, both enabled. */
  configure(pmBase: number, smbusBase: number): void {
    this.pci.configWrite(0x40, 4, pmBase | 1);
    this.pci.configWrite(0x80, 1, 1);
    this.pci.configWrite(0x90, 4, smbusBase | 1);
    this.pci.configWrite(0xd2, 1, 9);
  }

  /** The power button. */
  pressPowerButton(): void {
    this.pm1.raise(Pm1.powerButton);
  }

  /** A general purpose event, 0 to 15. */
  raiseGpe(event: number): void {
    this.gpe.set('GPE0_STS', this.gpe.get('GPE0_STS') | (1 << event));
    this.#update();
  }

  /** The machine wakes from S3, by the power button. */
  wake(): void {
    this.pm1.raise(Pm1.wake | Pm1.powerButton);
  }

  #update(): void {
    const level = this.pm1.level((this.gpe.get('GPE0_STS') & this.gpe.get('GPE0_EN')) !== 0);
    if (PIIX4_PM_TRACE.piix4_pm_sci.enabled) PIIX4_PM_TRACE.piix4_pm_sci.emit(Number(level));
    this.wiring.sci.set(level);
  }

  #apmWrite(offset: number, value: number): void {
    this.apm[offset] = value;
    if (offset !== 0) return;
    if (PIIX4_PM_TRACE.piix4_pm_smi_command.enabled) PIIX4_PM_TRACE.piix4_pm_smi_command.emit(value);
    if (value === ACPI_ENABLE) this.pm1.acpiEnabled = true;
    if (value === ACPI_DISABLE) this.pm1.acpiEnabled = false;
    if (this.pci.get('DEVACTB') & APMC_ENABLE) this.wiring.raiseSmi?.();
  }

  #remap(): void {
    const pm = this.pci.get('PMREGMISC') & 1 ? this.pci.get('PMBA') & 0xffc0 : 0;
    const smbus = this.pci.get('SMBHSTCFG') & 1 ? this.pci.get('SMBBA') & 0xfff0 : 0;
    const wanted = [pm || undefined, smbus || undefined];
    if (wanted.every((base, i) => base === this.#mapped[i])) return;
    const { memory, ioSpace } = this.slot;
    memory.transaction(() => {
      [this.#pmRegion, this.#smbusRegion].forEach((region, i) => {
        ioSpace.remove(region);
        const base = wanted[i];
        if (base !== undefined) ioSpace.add(region, base);
      });
    });
    this.#mapped = wanted;
  }
}
