/** The trace events of every chip, for `-trace` and the monitor: those that boards make, and those that users plug in. */
import type { TraceEvents } from '../base/trace.js';
import { ICH9_LPC_TRACE } from './acpi/ich9-lpc.js';
import { PIIX4_PM_TRACE } from './acpi/piix4-pm.js';
import { PM1_TRACE } from './acpi/pm1.js';
import { AHCI_TRACE } from './ahci/ahci-port.js';
import { trace as uart16550 } from './char/uart16550.js';
import { trace as vga } from './display/vga.js';
import { FW_CFG_TRACE } from './firmware/fw-cfg.js';
import { trace as ata } from './ide/ata.js';
import { trace as atapi } from './ide/atapi.js';
import { trace as busMaster } from './ide/bus-master.js';
import { trace as ideChannel } from './ide/ide-channel.js';
import { trace as i8042 } from './input/i8042.js';
import { I8259_TRACE } from './intc/i8259.js';
import { IOAPIC_TRACE } from './intc/ioapic.js';
import { I8237_TRACE } from './misc/i8237.js';
import { PVPANIC_TRACE } from './misc/pvpanic.js';
import { NVME_TRACE } from './nvme/nvme.js';
import { PCI_TRACE } from './pci/pci-bus.js';
import { SCSI_TRACE } from './scsi/scsi-unit.js';
import { trace as i82078 } from './storage/i82078.js';
import { HPET_TRACE } from './timer/hpet.js';
import { I8254_TRACE } from './timer/i8254.js';
import { MC146818_TRACE } from './timer/mc146818.js';
import { VIRTIO_BLK_TRACE } from './virtio/blk/virtio-blk.js';
import { VIRTIO_SERIAL_TRACE } from './virtio/console/virtio-serial.js';
import { VIRTIO_TRACE } from './virtio/core/virtio-device.js';

export const DEVICE_TRACES: readonly TraceEvents[] = [
  AHCI_TRACE,
  ata,
  atapi,
  busMaster,
  FW_CFG_TRACE,
  HPET_TRACE,
  I8237_TRACE,
  I8254_TRACE,
  I8259_TRACE,
  i8042,
  i82078,
  ideChannel,
  IOAPIC_TRACE,
  MC146818_TRACE,
  NVME_TRACE,
  PCI_TRACE,
  ICH9_LPC_TRACE,
  PIIX4_PM_TRACE,
  PM1_TRACE,
  PVPANIC_TRACE,
  uart16550,
  vga,
  SCSI_TRACE,
  VIRTIO_BLK_TRACE,
  VIRTIO_SERIAL_TRACE,
  VIRTIO_TRACE,
];
