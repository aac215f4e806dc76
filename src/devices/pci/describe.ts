/** PCI functions as plain data: `info pci`, `info qtree`, query-pci. */
import { PciBus } from './pci-bus.js';
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
  256: 'SCSI controller',
  257: 'IDE controller',
  258: 'Floppy controller',
  261: 'ATA controller',
  262: 'SATA controller',
  264: 'NVMe controller',
  384: 'Storage controller',
  512: 'Ethernet controller',
  768: 'VGA controller',
  896: 'Display controller',
  1024: 'Video controller',
  1025: 'Audio controller',
  1280: 'RAM controller',
  1536: 'Host bridge',
  1537: 'ISA bridge',
  1540: 'PCI bridge',
  1664: 'Bridge',
  1792: 'Serial port',
  1793: 'Parallel port',
  2048: 'PIC controller',
  3072: 'Firewire controller',
  3075: 'USB controller',
  3077: 'SMBus',
};

export const className = (classCode: number): string =>
  CLASS_NAMES[classCode] ?? `Class ${String(classCode).padStart(4, '0')}`;

export function describeFunction(bus: number, devfn: number, pci: PciFunction<string>): PciFunctionInfo {
  const classCode = (pci.get('BASECLASS') << 8) | pci.get('SUBCLASS');
  return {
    bus,
    device: devfn >> 3,
    fn: devfn & 7,
    vendorId: pci.get('VID'),
    deviceId: pci.get('DID'),
    subsystemVendorId: pci.spec.bridge ? 0 : pci.get('SVID'),
    subsystemId: pci.spec.bridge ? 0 : pci.get('SID'),
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
  const own = bus
    .functions()
    .flatMap(({ devfn, config }) =>
      config instanceof PciFunction ? [describeFunction(bus.number, devfn, config)] : [],
    );
  const behind = bus.children.flatMap((child) => (child instanceof PciBus ? describeBus(child) : []));
  return [...own, ...behind];
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
