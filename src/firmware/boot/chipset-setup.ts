/**
 * The state in which PC firmware leaves the board, as far as operating systems rely on it: shadow RAM open, interrupt
 * controllers and timer programmed, PCI interrupt routes chosen, power management mapped.
 * Sources: Intel 82441FX and 82371AB/82371SB datasheets; 8259A, 8254 and MC146818 datasheets.
 */
import { PC, type PlatformDescription, type PortIo, Q35 } from '../platform.js';
import { assignPciResources, PciConfig, type PciFunction } from './pci-setup.js';

const INTEL = 0x8086;
const Id = {
  q35Mch: 0x29c0,
  ich9Lpc: 0x2918,
  i440fx: 0x1237,
  piix3: 0x7000,
  piix3Ide: 0x7010,
  piix4Pm: 0x7113,
} as const;

const hostBridge = (device: number): number => ((device << 16) | INTEL) >>> 0;

/** Opens 0xc0000..0xfffff for writing (reads and writes go to RAM); `lock` makes the BIOS segment read-only again. */
export function shadowRam(ports: PortIo, mode: 'open' | 'lock'): void {
  const config = new PciConfig(ports);
  const id = config.read(0, 0, 0, 4);
  const pam0 = id === hostBridge(Id.i440fx) ? 0x59 : id === hostBridge(Id.q35Mch) ? 0x90 : undefined;
  if (pam0 === undefined) return;
  config.write(0, 0, pam0, 1, mode === 'open' ? 0x30 : 0x10);
  if (mode === 'lock') return;
  const end = pam0 + 7;
  // Each write makes the memory map anew: as few of them as alignment allows.
  for (let pam = pam0 + 1; pam < end; ) {
    const size = pam % 4 === 0 && pam + 4 <= end ? 4 : pam % 2 === 0 && pam + 2 <= end ? 2 : 1;
    config.write(0, 0, pam, size, 0x3333_3333 >>> (32 - 8 * size));
    pam += size;
  }
}

/** ICW1 to ICW4 of both 8259s as the PC wires them, everything masked but the cascade. */
function interruptControllers(ports: PortIo): void {
  for (const [port, base, cascade] of [
    [0x20, 0x08, 0x04],
    [0xa0, 0x70, 0x02],
  ] as const) {
    ports.write(port, 1, 0x11);
    ports.write(port + 1, 1, base);
    ports.write(port + 1, 1, cascade);
    ports.write(port + 1, 1, 0x01);
  }
  ports.write(0x21, 1, 0xfb);
  ports.write(0xa1, 1, 0xff);
}

/** Channel 0 as the 18.2 Hz tick, channel 1 as the refresh of old, both rate generators. */
function timers(ports: PortIo): void {
  ports.write(0x43, 1, 0x34);
  ports.write(0x40, 1, 0);
  ports.write(0x40, 1, 0);
  ports.write(0x43, 1, 0x54);
  ports.write(0x41, 1, 0x12);
}

/** RTC: oscillator on with the 32768 Hz divider and 1024 Hz rate; binary-coded decimal, 24 hours, no interrupts. */
function clock(ports: PortIo): void {
  const set = (register: number, value: number): void => {
    ports.write(0x70, 1, register);
    ports.write(0x71, 1, value);
  };
  set(0x0a, 0x26);
  set(0x0b, 0x02);
}

/** The routing registers of the links, four from each of `banks` on, and those interrupts to level-triggered. */
function routeLinks(
  ports: PortIo,
  write: (register: number, size: 1 | 2 | 4, value: number) => void,
  banks: readonly number[],
): void {
  let level = 0;
  for (const bank of banks) {
    PC.pirqRoutes.forEach((irq, i) => {
      write(bank + i, 1, irq);
      level |= 1 << irq;
    });
  }
  ports.write(0x4d0, 1, level & 0xff);
  ports.write(0x4d1, 1, level >> 8);
}

function setUpFunction(config: PciConfig, ports: PortIo, f: PciFunction): void {
  if (f.vendor !== INTEL) return;
  const write = (register: number, size: 1 | 2 | 4, value: number): void =>
    config.write(f.slot, f.fn, register, size, value);
  switch (f.device) {
    case Id.piix3:
      routeLinks(ports, write, [0x60]);
      break;
    case Id.q35Mch:
      write(0x64, 4, 0);
      write(0x60, 4, (Q35.mmconfigBase | 1) >>> 0);
      break;
    case Id.ich9Lpc:
      routeLinks(ports, write, [0x60, 0x68]);
      write(0x40, 4, PC.pmBase | 1);
      write(0x44, 1, 0x80); // ACPI_CNTL: decode them
      break;
    case Id.piix3Ide:
      write(0x40, 2, 0x8000); // IDETIM: decode the legacy ports of both channels
      write(0x42, 2, 0x8000);
      break;
    case Id.piix4Pm:
      write(0x3c, 1, PC.sciIrq);
      write(0x40, 4, PC.pmBase | 1);
      write(0x80, 1, 0x01); // PMREGMISC: decode them
      write(0x90, 4, PC.smbusBase | 1);
      write(0xd2, 1, 0x09); // SMBHSTCFG: host controller on, interrupt as IRQ 9
      break;
  }
}

/** 8042: interrupt of the keyboard on, its scan codes translated to set 1, both ports closed until a driver opens them. */
function keyboardController(ports: PortIo): void {
  ports.write(0x64, 1, 0x60);
  ports.write(0x60, 1, 0x75);
}

/** Everything but tables and text console. */
export function setUpChipset(ports: PortIo, p: PlatformDescription): void {
  interruptControllers(ports);
  timers(ports);
  clock(ports);
  if (p.ps2) keyboardController(ports);
  ports.write(0x92, 1, (ports.read(0x92, 1) & 0xfe) | 0x02); // A20 open
  if (!p.pci) return;
  const config = new PciConfig(ports);
  for (const f of assignPciResources(ports, p)) setUpFunction(config, ports, f);
}
