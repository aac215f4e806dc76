/** The message-signalled interrupt capability: one message, 64-bit address. PCI Local Bus Specification 3.0, 6.8.1. */
import type { CapabilitySpec, PciFunction } from './pci-function.js';

const MSI = 0x05;
const ENABLE = 1;
const ADDRESS_64 = 0x80;

/** The capability's registers, to be named among a function's `capabilities`; it takes 14 bytes. */
export function msiCapability(at: number): CapabilitySpec {
  return {
    id: MSI,
    at,
    registers: [
      { name: 'MSI_CONTROL', at: 2, size: 2, reset: ADDRESS_64, ro: 0xffff & ~ENABLE },
      { name: 'MSI_ADDRESS', at: 4, size: 4, rsvd: 3 },
      { name: 'MSI_ADDRESS_HIGH', at: 8, size: 4 },
      { name: 'MSI_DATA', at: 12, size: 2 },
    ],
  };
}

/** Interrupts by message when the guest has enabled it; otherwise says that it did not, and INTx is to be used. */
export function sendMsi(pci: PciFunction<string>): boolean {
  const { registers, slot } = pci;
  if (!(registers.get('MSI_CONTROL') & ENABLE)) return false;
  // A message is a bus-master write: without bus mastering it is lost, as any other.
  if (pci.busMaster) {
    const address = registers.get('MSI_ADDRESS') + registers.get('MSI_ADDRESS_HIGH') * 2 ** 32;
    slot.sendMsi(address, registers.get('MSI_DATA'));
  }
  return true;
}
