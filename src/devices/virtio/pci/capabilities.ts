/** Where a modern driver finds a virtio device: capabilities that point into BAR 4. VIRTIO 1.2, 4.1.4. */
import type { CapabilitySpec } from '../../pci/pci-function.js';

const VENDOR = 0x09;
const CfgType = { common: 1, notify: 2, isr: 3, device: 4, pci: 5 } as const;

export const MODERN_BAR = 4;
export const MSIX_BAR = 1;
export const MSIX_AT = 0x98;
const PAGE = 0x1000;
/** What BAR 4 holds, a page each. */
export const Window = { common: 0, isr: PAGE, device: 2 * PAGE, notify: 3 * PAGE, bytes: 4 * PAGE } as const;
/** Queue n is notified at `n * NOTIFY_MULTIPLIER`. */
export const NOTIFY_MULTIPLIER = 4;

const ALL = 0xffff_ffff;

function pointer(name: keyof typeof CfgType, at: number, length: number, offset: number): CapabilitySpec {
  const prefix = `VIRTIO_${name.toUpperCase()}`;
  const registers = [
    { name: `${prefix}_LEN`, at: 2, size: 1, reset: name === 'notify' ? 20 : 16, ro: ALL },
    { name: `${prefix}_TYPE`, at: 3, size: 1, reset: CfgType[name], ro: ALL },
    { name: `${prefix}_BAR`, at: 4, size: 1, reset: MODERN_BAR, ro: ALL },
    { name: `${prefix}_OFFSET`, at: 8, size: 4, reset: offset, ro: ALL },
    { name: `${prefix}_LENGTH`, at: 12, size: 4, reset: length, ro: ALL },
  ] as const;
  const multiplier = { name: `${prefix}_MULTIPLIER`, at: 16, size: 4, reset: NOTIFY_MULTIPLIER, ro: ALL } as const;
  return { id: VENDOR, at, registers: name === 'notify' ? [...registers, multiplier] : registers };
}

/** The window through configuration space, for whoever cannot reach the BAR. */
const THROUGH_CONFIGURATION: CapabilitySpec = {
  id: VENDOR,
  at: 0x84,
  registers: [
    { name: 'VIRTIO_PCI_LEN', at: 2, size: 1, reset: 20, ro: ALL },
    { name: 'VIRTIO_PCI_TYPE', at: 3, size: 1, reset: CfgType.pci, ro: ALL },
    { name: 'CFG_BAR', at: 4, size: 1 },
    { name: 'CFG_OFFSET', at: 8, size: 4 },
    { name: 'CFG_LENGTH', at: 12, size: 4 },
    { name: 'CFG_DATA', at: 16, size: 4 },
  ],
};

/** In the order in which they are linked. */
export const MODERN_CAPABILITIES: readonly CapabilitySpec[] = [
  THROUGH_CONFIGURATION,
  pointer('notify', 0x70, PAGE, Window.notify),
  pointer('device', 0x60, PAGE, Window.device),
  pointer('isr', 0x50, PAGE, Window.isr),
  pointer('common', 0x40, PAGE, Window.common),
];
