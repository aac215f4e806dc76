/** Standard PC (i440FX + PIIX, 1996): the layout of QEMU's pc-i440fx machines. */
import { AcpiPciHotplug } from '../devices/acpi/pci-hotplug.js';
import { Piix4Pm } from '../devices/acpi/piix4-pm.js';
import { PiixIde } from '../devices/ide/piix-ide.js';
import { ConfigMechanism1 } from '../devices/pci/config-mechanism1.js';
import { I440fx } from '../devices/pci/i440fx.js';
import { PciBus } from '../devices/pci/pci-bus.js';
import { Piix3Isa } from '../devices/pci/piix3-isa.js';
import { decodeMsi } from '../machine/apic-message.js';
import type { BusNode } from '../machine/machine.js';
import type { MemoryRegion } from '../memory/region.js';
import type { BoardHost, BoardType, BuiltBoard, MachineOptions } from './board.js';
import { PCI_ROOT } from './boot-order.js';
import { buildPcBase, finish, node } from './pc-base.js';
import { pciDetails } from './plugs.js';

const FIRST_FREE_DEVICE = 2;
/** The general purpose event that the ACPI tables connect with hot plugging. */
const PCI_HOTPLUG_EVENT = 1;
const devfn = (device: number, fn: number): number => 8 * device + fn;

export const pc: BoardType = {
  name: 'pc',
  aliases: ['pc-i440fx-7.2'],
  description: 'Standard PC (i440FX + PIIX, 1996)',
  maxCpus: 8,
  defaultRamBytes: 128 * 2 ** 20,
  create: createPc,
};

function createPc(options: MachineOptions, host: BoardHost): BuiltBoard {
  let pciMemory!: MemoryRegion;
  const base = buildPcBase(
    {
      board: 'pc',
      ioapic: true,
      hpet: options.hpet,
      otherMemory: ({ memory }) => {
        pciMemory = memory.container('pci');
        return pciMemory;
      },
    },
    options,
    host,
  );
  const { machine, memory, isa, ioRoot, isaNode, requests } = base;
  let piix3: Piix3Isa | undefined;
  const bus = new PciBus({
    memory,
    dma: machine.system,
    memorySpace: pciMemory,
    ioSpace: ioRoot,
    setIntx: (device, pin, level) => piix3?.setIntx(device, pin, level),
    sendMsi: (address, data) => host.accelerator.deliverApic(decodeMsi(address, data)),
  });
  const configPorts = new ConfigMechanism1('i440FX-pcihost', bus, memory, ioRoot);
  if (host.accelerator.pciPresence) configPorts.publish(host.accelerator.pciPresence);
  const hostBridge = new I440fx({
    memory,
    bus,
    system: base.systemRoot,
    smm: base.smmRoot,
    pciMemory,
    ram: base.ram,
  });
  piix3 = new Piix3Isa(bus.slot(devfn(1, 0)), {
    isa: Array.from({ length: 16 }, (_, irq) => isa.irq(irq)),
    requests,
  });
  const ide = new PiixIde(bus.slot(devfn(1, 1)), isa);
  const pm = new Piix4Pm(bus.slot(devfn(1, 3)), {
    clock: host.clocks.virtual,
    sci: isa.irq(9),
    requests,
    ...(host.accelerator.smm && { raiseSmi: () => host.accelerator.vcpus[0]!.raiseSmi() }),
  });
  const hotplug = new AcpiPciHotplug(memory, ioRoot, {
    notify: () => pm.raiseGpe(PCI_HOTPLUG_EVENT),
    ejected: (slot) => base.plugs.ejected(slot),
  });
  machine.lifecycle.powerdownRequested.subscribe(() => pm.pressPowerButton());
  machine.lifecycle.wakeupRequested.subscribe(() => pm.wake());

  const ideNodes: BusNode[] = ['ide.0', 'ide.1'].map((name) => ({ name, type: 'IDE', devices: [] }));
  const pciNode: BusNode = {
    name: 'pci.0',
    type: 'PCI',
    devices: [
      node('i440FX', hostBridge, { details: pciDetails(bus, devfn(0, 0)) }),
      node('PIIX3', piix3, { firmwareName: 'isa@1', details: pciDetails(bus, devfn(1, 0)), buses: [isaNode] }),
      node('piix3-ide', ide, { firmwareName: 'ide@1,1', details: pciDetails(bus, devfn(1, 1)), buses: ideNodes }),
      node('PIIX4_PM', pm, { details: pciDetails(bus, devfn(1, 3)) }),
    ],
  };
  machine.root.devices.push(node('i440FX-pcihost', configPorts, { firmwareName: PCI_ROOT, buses: [pciNode] }));
  machine.root.devices.push(node('acpi-pci-hotplug', hotplug));
  base.plugs.addPci(pciNode, bus, FIRST_FREE_DEVICE, hotplug);
  ideNodes.forEach((ideNode, i) => {
    base.plugs.addIde(ideNode, ide.channels[i as 0 | 1], i);
  });
  return finish(base, { bus, vgaType: 'VGA' }, options, host);
}
