/** Standard PC (Q35 + ICH9, 2009): PCI Express, AHCI; the layout of QEMU's pc-q35 machines. */
import { Ich9Lpc } from '../devices/acpi/ich9-lpc.js';
import { Ich9Smbus } from '../devices/acpi/ich9-smbus.js';
import { Ich9Ahci } from '../devices/ahci/ich9-ahci.js';
import { ConfigMechanism1 } from '../devices/pci/config-mechanism1.js';
import { PciBus } from '../devices/pci/pci-bus.js';
import { Q35Mch } from '../devices/pci/q35-mch.js';
import { decodeMsi } from '../machine/apic-message.js';
import type { BusNode } from '../machine/machine.js';
import type { MemoryRegion } from '../memory/region.js';
import type { BoardHost, BoardType, BuiltBoard, MachineOptions } from './board.js';
import { PCI_ROOT } from './boot-order.js';
import { buildPcBase, finish, node } from './pc-base.js';
import { pciDetails } from './plugs.js';

const devfn = (device: number, fn: number): number => 8 * device + fn;
const FIRST_FREE_DEVICE = 1;
const FIRST_PIRQ_GSI = 16;
/** RAM that reaches this far is cut at 2 GiB, so that what is above 4 GiB comes in whole gigabytes. */
const LOW_RAM_LIMIT = 0xb000_0000;
const LOW_RAM_CUT = 0x8000_0000;

export const q35: BoardType = {
  name: 'q35',
  aliases: ['pc-q35-7.2'],
  description: 'Standard PC (Q35 + ICH9, 2009)',
  maxCpus: 8,
  defaultRamBytes: 128 * 2 ** 20,
  sata: true,
  create: createQ35,
};

function createQ35(options: MachineOptions, host: BoardHost): BuiltBoard {
  let pciMemory!: MemoryRegion;
  const base = buildPcBase(
    {
      board: 'q35',
      ioapic: true,
      hpet: options.hpet,
      lowRam: (bytes) => (bytes >= LOW_RAM_LIMIT ? LOW_RAM_CUT : bytes),
      otherMemory: ({ memory }) => {
        pciMemory = memory.container('pci');
        return pciMemory;
      },
    },
    options,
    host,
  );
  const { machine, memory, isa, ioRoot, isaNode, requests, plugs } = base;
  let lpc: Ich9Lpc | undefined;
  const bus = new PciBus({
    memory,
    dma: machine.system,
    memorySpace: pciMemory,
    ioSpace: ioRoot,
    setIntx: (device, pin, level) => lpc?.setIntx(device, pin, level),
    sendMsi: (address, data) => host.accelerator.deliverApic(decodeMsi(address, data)),
  });
  const configPorts = new ConfigMechanism1('q35-pcihost', bus, memory, ioRoot);
  if (host.accelerator.pciPresence) configPorts.publish(host.accelerator.pciPresence);
  const mch = new Q35Mch({
    memory,
    bus,
    system: base.systemRoot,
    smm: base.smmRoot,
    pciMemory,
    ram: base.ram,
  });
  lpc = new Ich9Lpc(bus.slot(devfn(31, 0)), {
    clock: host.clocks.virtual,
    isa: Array.from({ length: 16 }, (_, irq) => isa.irq(irq)),
    pirqs: base.gsis.slice(FIRST_PIRQ_GSI),
    sci: isa.irq(9),
    requests,
    ...(host.accelerator.smm && { raiseSmi: () => host.accelerator.vcpus[0]!.raiseSmi() }),
  });
  const power = lpc;
  const ahci = new Ich9Ahci(bus.slot(devfn(31, 2)));
  const smbus = new Ich9Smbus(bus.slot(devfn(31, 3)));
  machine.lifecycle.powerdownRequested.subscribe(() => power.pressPowerButton());
  machine.lifecycle.wakeupRequested.subscribe(() => power.wake());

  const pciNode: BusNode = {
    name: 'pcie.0',
    type: 'PCIE',
    devices: [
      node('mch', mch, { details: pciDetails(bus, devfn(0, 0)) }),
      node('ICH9-LPC', lpc, { firmwareName: 'isa@1f', details: pciDetails(bus, devfn(31, 0)), buses: [isaNode] }),
      node('ich9-ahci', ahci, {
        firmwareName: 'pci8086,2922@1f,2',
        details: pciDetails(bus, devfn(31, 2)),
        buses: ahci.buses.map((port, i) => plugs.offer(port, '', i)),
      }),
      node('ICH9-SMB', smbus, { details: pciDetails(bus, devfn(31, 3)) }),
    ],
  };
  machine.root.devices.push(node('q35-pcihost', configPorts, { firmwareName: PCI_ROOT, buses: [pciNode] }));
  plugs.addPci(pciNode, bus, FIRST_FREE_DEVICE);
  return finish(
    base,
    {
      bus,
      vgaType: 'VGA',
      chipset: 'q35',
      ideBus: (index) => ({ bus: `ide.${index}`, unit: 0 }),
      floppyOnDemand: true,
    },
    options,
    host,
  );
}
