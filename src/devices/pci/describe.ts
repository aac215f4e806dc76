/** PCI functions as plain data: `info pci`, `info qtree`, query-pci. */
import type { PciBus } from './pci-bus.js';
import { type BarSpec, PciFunction } from './pci-function.js';

export interface BarInfo {
  readonly index: BarSpec['index'];
  readonly kind: BarSpec['kind'];
  readonly prefetchable: boolean;
  readonly size: number;
  /** Undefined while it is not mapped. */
  readonly address: number | undefined;
}

export interface PciFunctionInfo {
  readonly bus: number;
  readonly device: number;
  readonly fn: number;
  readonly vendorId: number;
  readonly deviceId: number;
  readonly subsystemVendorId: number;
  readonly subsystemId: number;
  /** Class and subclass. */
  readonly classCode: number;
  readonly className: string;
  /** What firmware or the guest stored; 0 and 1..4 for INTA..INTD. */
  readonly interruptLine: number;
  readonly interruptPin: number;
  readonly bars: readonly BarInfo[];
}

/** Names of classes and subclasses. PCI Code and ID Assignment Specification 1.11, chapter 1. */
const CLASS_NAMES: Readonly<Record<number, string>> = {
  0x0100: 'SCSI controller',
  0x0101: 'IDE controller',
  0x0102: 'Floppy controller',
  0x0105: 'ATA controller',
  0x0106: 'SATA controller',
  0x0108: 'NVMe controller',
  0x0180: 'Storage controller',
  0x0200: 'Ethernet controller',
  0x0300: 'VGA controller',
  0x0380: 'Display controller',
  0x0400: 'Video controller',
  0x0401: 'Audio controller',
  0x0500: 'RAM controller',
  0x0600: 'Host bridge',
  0x0601: 'ISA bridge',
  0x0604: 'PCI bridge',
  0x0680: 'Bridge',
  0x0700: 'Serial port',
  0x0701: 'Parallel port',
  0x0800: 'PIC controller',
  0x0c00: 'Firewire controller',
  0x0c03: 'USB controller',
  0x0c05: 'SMBus controller',
};

export const className = (classCode: number): string =>
  CLASS_NAMES[classCode] ?? `Class ${classCode.toString(16).padStart(4, '0')}`;

export function describeFunction(bus: number, devfn: number, pci: PciFunction<string>): PciFunctionInfo {
  const classCode = (pci.get('BASECLASS') << 8) | pci.get('SUBCLASS');
  return {
    bus,
    device: devfn >> 3,
    fn: devfn & 7,
    vendorId: pci.get('VID'),
    deviceId: pci.get('DID'),
    subsystemVendorId: pci.get('SVID'),
    subsystemId: pci.get('SID'),
    classCode,
    className: className(classCode),
    interruptLine: pci.get('INTERRUPT_LINE'),
    interruptPin: pci.get('INTERRUPT_PIN'),
    bars: pci.describeBars().map(({ spec, address }) => ({
      index: spec.index,
      kind: spec.kind,
      prefetchable: spec.prefetchable ?? false,
      size: spec.region.size,
      address,
    })),
  };
}

export function describeBus(bus: PciBus): readonly PciFunctionInfo[] {
  return bus
    .functions()
    .flatMap(({ devfn, config }) =>
      config instanceof PciFunction ? [describeFunction(bus.number, devfn, config)] : [],
    );
}

const hex = (n: number, digits: number): string => n.toString(16).padStart(digits, '0');

/** The lines that `info qtree` has for a PCI function. */
export function qtreeLines(info: PciFunctionInfo): string[] {
  const { bus, device, fn, vendorId, deviceId, subsystemVendorId, subsystemId } = info;
  return [
    `class ${info.className}, addr ${hex(bus, 2)}:${hex(device, 2)}.${fn}, pci id ${hex(vendorId, 4)}:${hex(deviceId, 4)} (sub ${hex(subsystemVendorId, 4)}:${hex(subsystemId, 4)})`,
    ...info.bars.map(({ index, kind, address, size }) => {
      const at = address === undefined ? 0xffff_ffff : address;
      const number = index === 'rom' ? 6 : index;
      return `bar ${number}: ${kind === 'io' ? 'i/o' : 'mem'} at 0x${hex(at, 0)} [0x${hex((at + size - 1) % 2 ** 32, 0)}]`;
    }),
  ];
}
