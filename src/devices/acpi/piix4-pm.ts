/**
 * Power management of the PIIX4: ACPI fixed registers, PM timer, general purpose events, the SMI command port and an
 * SMBus host controller. Intel 82371AB (PIIX4) data sheet (290562-001), chapter 7; ACPI 6.4, 4.8.
 */
import { guestError, unimplemented } from '../../base/log.js';
import { traceEvents } from '../../base/trace.js';
import type { Clock, Timer } from '../../machine/clock.js';
import type { Device } from '../../machine/device.js';
import type { SystemRequests } from '../../machine/device-type.js';
import type { IrqLine } from '../../machine/irq.js';
import type { PciSlot } from '../../machine/pci-slot.js';
import { defineRegisters, RegisterFile } from '../../machine/register-map.js';
import { type DeviceState, stateOf } from '../../machine/state.js';
import type { MemoryRegion } from '../../memory/region.js';
import { PciFunction } from '../pci/pci-function.js';

export const PIIX4_PM_TRACE = traceEvents({
  piix4_pm_sci: 'level %d',
  piix4_pm_sleep: 'type %d',
  piix4_pm_smi_command: '0x%02x',
});

export const PM_TIMER_HZ = 3_579_545;
const NS_PER_TICK = 1e9 / PM_TIMER_HZ;
const TIMER_BITS = 24;

/** Where QEMU's PC has them; the ACPI tables say so. */
export const GPE_BASE = 0xafe0;
export const GPE_BYTES = 4;
export const SMI_COMMAND_PORT = 0xb2;
export const ACPI_ENABLE = 0xf1;
export const ACPI_DISABLE = 0xf0;
/** SLP_TYP values for the \_Sx packages. */
export const SleepType = { s5: 0, s3: 1, s4: 2 } as const;

export const Pm1 = {
  timer: 0x0001,
  busMaster: 0x0010,
  global: 0x0020,
  powerButton: 0x0100,
  sleepButton: 0x0200,
  rtc: 0x0400,
  wake: 0x8000,
} as const;
const PM1_EVENTS = Pm1.timer | Pm1.global | Pm1.powerButton | Pm1.sleepButton | Pm1.rtc;
const Control = { sciEnable: 0x0001, sleepTypeShift: 10, sleepEnable: 0x2000 } as const;

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

const PM_IO = defineRegisters(0x40, [
  { name: 'PM1_STS', at: 0x00, size: 2, w1c: PM1_EVENTS | Pm1.busMaster | Pm1.wake, rsvd: 0x78ce },
  { name: 'PM1_EN', at: 0x02, size: 2, rsvd: 0xffff & ~PM1_EVENTS },
  { name: 'PM1_CNT', at: 0x04, size: 2, rsvd: 0xc1f8 | Control.sleepEnable },
  { name: 'PM_TMR', at: 0x08, size: 4, ro: 0xffff_ffff },
]);
const GPE = defineRegisters(GPE_BYTES, [
  { name: 'GPE0_STS', at: 0, size: 2, w1c: 0xffff },
  { name: 'GPE0_EN', at: 2, size: 2 },
]);

const SmbStatus = { interrupt: 2, deviceError: 4, busError: 8, failed: 16 } as const;
const SMB_START = 0x40;
const SMBUS = defineRegisters(0x40, [
  { name: 'SMBHSTSTS', at: 0, size: 1, w1c: 0x1e },
  { name: 'SMBSLVSTS', at: 1, size: 1, w1c: 0x3c },
  { name: 'SMBHSTCNT', at: 2, size: 1, rsvd: SMB_START | 0x80 },
  { name: 'SMBHSTCMD', at: 3, size: 1 },
  { name: 'SMBHSTADD', at: 4, size: 1 },
  { name: 'SMBHSTDAT0', at: 5, size: 1 },
  { name: 'SMBHSTDAT1', at: 6, size: 1 },
  { name: 'SMBBLKDAT', at: 7, size: 1 },
  { name: 'SMBSLVCNT', at: 8, size: 1 },
]);

export interface Piix4PmWiring {
  readonly clock: Clock;
  /** System control interrupt: ISA IRQ 9. */
  readonly sci: IrqLine;
  readonly requests: SystemRequests;
  /** Undefined: the processors have no system management mode, and firmware is not to set it up. */
  raiseSmi?(): void;
  /** Bytes of an SMBus memory (a DIMM's SPD) by 7-bit address; undefined: no such device. */
  smbusMemory?(address: number): Uint8Array | undefined;
}

export class Piix4Pm implements Device {
  readonly type = 'PIIX4_PM';
  readonly pci: PciFunction<(typeof CONFIG)[number]['name']>;
  readonly registers: RegisterFile<(typeof PM_IO)['registers'][number]['name']>;
  readonly gpe: RegisterFile<(typeof GPE)['registers'][number]['name']>;
  readonly smbus: RegisterFile<(typeof SMBUS)['registers'][number]['name']>;
  /** SMI command and status ports. */
  readonly apm = new Uint8Array(2);
  /** Virtual time at which the timer's top bit changes next. */
  overflow = 0;

  readonly #timer: Timer;
  readonly #pmRegion: MemoryRegion;
  readonly #smbusRegion: MemoryRegion;
  #mapped: readonly (number | undefined)[] = [undefined, undefined];
  readonly #state = stateOf<Piix4Pm>(this, 1, ['pci', 'registers', 'gpe', 'smbus', 'apm', 'overflow'], () => {
    this.#remap();
    this.#update();
  });

  constructor(
    private readonly slot: PciSlot,
    private readonly wiring: Piix4PmWiring,
  ) {
    this.#timer = wiring.clock.timer('pm timer', () => this.#update());
    this.registers = new RegisterFile(PM_IO, {
      read: {
        PM1_STS: () => {
          this.#catchUp();
          return this.registers.get('PM1_STS');
        },
        PM1_CNT: (stored) => stored & ~Control.sleepEnable,
        PM_TMR: () => this.#ticks() % 2 ** TIMER_BITS,
      },
      written: {
        PM1_STS: (_value, _previous, written) => {
          if (written & Pm1.timer) this.#rearmOverflow();
          this.#update();
        },
        PM1_EN: () => this.#update(),
        PM1_CNT: (value, _previous, written) => {
          this.#update();
          if (written & Control.sleepEnable) this.#sleep((value >> Control.sleepTypeShift) & 7);
        },
      },
    });
    this.gpe = new RegisterFile(GPE, {
      written: { GPE0_STS: () => this.#update(), GPE0_EN: () => this.#update() },
    });
    this.smbus = new RegisterFile(SMBUS, {
      written: { SMBHSTCNT: (_value, _previous, written) => (written & SMB_START ? this.#smbusStart() : undefined) },
    });
    const { memory, ioSpace } = slot;
    this.#pmRegion = memory.io('piix4-pm', 0x40, this.registers);
    this.#smbusRegion = memory.io('piix4-smbus', 0x40, this.smbus);
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
    this.registers.reset();
    this.gpe.reset();
    this.smbus.reset();
    this.apm.fill(0);
    this.#rearmOverflow();
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
    this.#raise(Pm1.powerButton);
  }

  /** A general purpose event, 0 to 15. */
  raiseGpe(event: number): void {
    this.gpe.set('GPE0_STS', this.gpe.get('GPE0_STS') | (1 << event));
    this.#update();
  }

  /** The machine wakes from S3, by the power button. */
  wake(): void {
    this.#raise(Pm1.wake | Pm1.powerButton);
  }

  #raise(bits: number): void {
    this.registers.set('PM1_STS', this.registers.get('PM1_STS') | bits);
    this.#update();
  }

  #ticks(): number {
    return Math.floor((this.wiring.clock.now() + 0.5) / NS_PER_TICK);
  }

  #rearmOverflow(): void {
    const half = 2 ** (TIMER_BITS - 1);
    this.overflow = (Math.floor(this.#ticks() / half) + 1) * half * NS_PER_TICK;
  }

  #catchUp(): void {
    if (this.wiring.clock.now() < this.overflow) return;
    this.registers.set('PM1_STS', this.registers.get('PM1_STS') | Pm1.timer);
    this.#rearmOverflow();
  }

  #update(): void {
    this.#catchUp();
    const enabled = this.registers.get('PM1_EN');
    const fixed = this.registers.get('PM1_STS') & enabled & PM1_EVENTS;
    const general = this.gpe.get('GPE0_STS') & this.gpe.get('GPE0_EN');
    const level = (fixed | general) !== 0 && (this.registers.get('PM1_CNT') & Control.sciEnable) !== 0;
    if (PIIX4_PM_TRACE.piix4_pm_sci.enabled) PIIX4_PM_TRACE.piix4_pm_sci.emit(Number(level));
    this.wiring.sci.set(level);
    if (enabled & Pm1.timer && !(fixed & Pm1.timer)) this.#timer.arm(this.overflow);
    else this.#timer.disarm();
  }

  #sleep(type: number): void {
    if (PIIX4_PM_TRACE.piix4_pm_sleep.enabled) PIIX4_PM_TRACE.piix4_pm_sleep.emit(type);
    if (type === SleepType.s5 || type === SleepType.s4) this.wiring.requests.shutdown('guest-shutdown');
    else if (type === SleepType.s3) this.wiring.requests.suspend();
    else guestError('piix4-pm: sleep type %d', type);
  }

  #apmWrite(offset: number, value: number): void {
    this.apm[offset] = value;
    if (offset !== 0) return;
    if (PIIX4_PM_TRACE.piix4_pm_smi_command.enabled) PIIX4_PM_TRACE.piix4_pm_smi_command.emit(value);
    const control = this.registers.get('PM1_CNT');
    if (value === ACPI_ENABLE) this.registers.set('PM1_CNT', control | Control.sciEnable);
    if (value === ACPI_DISABLE) this.registers.set('PM1_CNT', control & ~Control.sciEnable);
    this.#update();
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

  /** One transaction, done at once. Byte and word reads of a memory; anything else finds no device. */
  #smbusStart(): void {
    const address = this.smbus.get('SMBHSTADD');
    const protocol = (this.smbus.get('SMBHSTCNT') >> 2) & 7;
    const bytes = this.wiring.smbusMemory?.(address >> 1);
    const command = this.smbus.get('SMBHSTCMD');
    const isRead = (address & 1) !== 0;
    if (!bytes) this.smbus.set('SMBHSTSTS', SmbStatus.deviceError);
    else {
      if (protocol > 3) unimplemented('piix4-smbus: protocol %d', protocol);
      if (isRead) this.smbus.set('SMBHSTDAT0', bytes[command] ?? 0xff);
      if (isRead && protocol === 3) this.smbus.set('SMBHSTDAT1', bytes[(command + 1) & 0xff] ?? 0xff);
      this.smbus.set('SMBHSTSTS', SmbStatus.interrupt);
    }
  }
}
