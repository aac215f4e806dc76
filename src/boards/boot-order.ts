/** The order in which firmware tries devices (`bootindex=`), as OpenFirmware paths: what QEMU and SeaBIOS agree upon. */
import { UserError } from '../base/errors.js';
import type { DeviceTypeInfo } from '../machine/device-type.js';
import type { BusNode, DeviceNode } from '../machine/machine.js';

/** The root of PCI, by its port of addresses. */
export const PCI_ROOT = 'pci@i0cf8';

/** Firmware looks at the numbers alone, but at bridges. */
const PCI_NAMES: Readonly<Record<string, string>> = {
  'virtio-blk-pci': 'scsi',
  'virtio-scsi-pci': 'scsi',
  'pcie-root-port': 'pci-bridge',
};
/** What is behind a device that has its medium itself. */
const BELOW: Readonly<Record<string, string>> = {
  'virtio-blk-pci': '/disk@0,0',
  'virtio-blk-device': '/disk@0,0',
  nvme: '/namespace@1,0',
};
/** Properties with an index, and what of the device they are about. */
const INDEXES = { bootindex: '', bootindexA: '/floppy@0', bootindexB: '/floppy@1' } as const;

interface Place {
  readonly devfn: number;
  /** IDE: two a channel. */
  readonly index: number;
  readonly target: number;
  readonly lun: number;
}

/** What the tree keeps for `bootOrder` of a device in a slot of its bus. */
export function firmwarePlace(
  { name, bus }: DeviceTypeInfo,
  slot: unknown,
  values: Readonly<Record<string, unknown>>,
): Pick<DeviceNode, 'firmwareName' | 'boot'> {
  const firmwareName = nameOf(name, bus, slot as Place);
  const boot = Object.entries(INDEXES).flatMap(([property, part]) => {
    const index = values[property];
    return typeof index === 'number' && index >= 0 ? [{ index, below: part + (BELOW[name] ?? '') }] : [];
  });
  return { ...(firmwareName !== undefined && { firmwareName }), boot };
}

/** Throws UserError when one of the indexes is that of another device. */
export function refuseUsedIndexes(boot: DeviceNode['boot'], others: readonly DeviceNode[]): void {
  const used = new Set(others.flatMap((other) => (other.boot ?? []).map(({ index }) => index)));
  for (const { index } of boot ?? []) {
    if (used.has(index)) throw new UserError(`The bootindex ${index} has already been used`);
    used.add(index);
  }
}

function nameOf(type: string, bus: string, place: Place): string | undefined {
  switch (bus) {
    case 'PCI': {
      const { devfn } = place;
      return `${PCI_NAMES[type] ?? type}@${(devfn >> 3).toString(16)}${devfn & 7 ? `,${devfn & 7}` : ''}`;
    }
    case 'IDE':
      return `disk@${place.index & 1}`;
    case 'SCSI':
      return `channel@0/disk@${place.target.toString(16)},${place.lun.toString(16)}`;
    default:
      return type === 'isa-fdc' ? 'fdc@03f0' : undefined;
  }
}

/** Paths of the devices with an index, the lowest first. */
export function bootOrder(root: BusNode): string[] {
  const paths = new Map<number, string>();
  const visit = (bus: BusNode, above: string): void => {
    for (const { firmwareName, boot, buses } of bus.devices) {
      const path = firmwareName === undefined ? above : `${above}/${firmwareName}`;
      for (const { index, below } of boot ?? []) paths.set(index, path + below);
      for (const [i, each] of buses.entries()) visit(each, each.type === 'IDE' ? `${path}/drive@${i}` : path);
    }
  };
  visit(root, '');
  return [...paths].sort(([a], [b]) => a - b).map(([, path]) => path);
}
