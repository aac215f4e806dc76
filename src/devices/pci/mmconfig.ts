/** Enhanced configuration access: 4 KiB of memory for each function of 256 buses. PCI Express Base Specification 3.0, 7.2.2. */
import type { IoHandler } from '../../memory/io.js';
import type { PciBus } from './pci-bus.js';

const ALL_ONES = 0xffff_ffff;
/** Of one bus. */
export const MMCONFIG_BUS_BYTES = 1 << 20;

export function mmconfig(root: PciBus): IoHandler {
  return {
    read: (offset, size) =>
      root.find(Math.floor(offset / MMCONFIG_BUS_BYTES))?.configRead((offset >> 12) & 0xff, offset & 0xfff, size) ??
      ALL_ONES,
    write: (offset, size, value) =>
      root
        .find(Math.floor(offset / MMCONFIG_BUS_BYTES))
        ?.configWrite((offset >> 12) & 0xff, offset & 0xfff, size, value),
  };
}
