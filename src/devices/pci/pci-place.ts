/** What every device on a PCI bus may be given about its place there. */
import { UserError } from '../../base/errors.js';
import type { PciSlot } from '../../machine/pci-slot.js';
import { type PropertyValues, prop } from '../../machine/property.js';
import type { PciBus } from './pci-bus.js';

export const PCI_PLACE = {
  addr: prop.str('slot and optional function number, example: 06.0 or 06'),
  multifunction: prop.bool(false, 'further functions may be put at the same slot'),
  romfile: prop.str('option ROM: none of these devices has one, so empty'),
  rombar: prop.uint32(1, 'whether the option ROM has a BAR; changes nothing without a ROM'),
} as const;

const HEADER_TYPE = 0x0e;
const MULTIFUNCTION = 0x80;

const isMultifunction = (bus: PciBus, devfn: number): boolean =>
  (bus.functionAt(devfn)!.configRead(HEADER_TYPE, 1) & MULTIFUNCTION) !== 0;

/** The slot at `devfn`, which is free. Throws UserError where the device does not go with what is there. */
export function placeAt(bus: PciBus, devfn: number, place: Readonly<Record<string, unknown>>): PciSlot {
  const { multifunction, romfile = '' } = place as Partial<PropertyValues<typeof PCI_PLACE>>;
  if (romfile !== '') {
    throw new UserError(
      `failed to find romfile "${romfile}": the devices here have no option ROM: leave romfile empty`,
    );
  }
  const number = (fn: number): string => `${(devfn >> 3).toString(16)}.${fn}`;
  const first = devfn & ~7;
  if (devfn !== first && bus.functionAt(first) && !isMultifunction(bus, first)) {
    throw new UserError(
      `PCI: single function device can't be populated in function ${number(devfn & 7)}: give the device at ${number(0)} multifunction=on`,
    );
  }
  for (let fn = 1; devfn === first && !multifunction && fn < 8; fn++) {
    if (!bus.functionAt(first + fn)) continue;
    throw new UserError(
      `PCI: ${number(0)} indicates single function, but ${number(fn)} is already populated: add multifunction=on`,
    );
  }
  return bus.slot(devfn, multifunction);
}
