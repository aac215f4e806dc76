/**
 * A machine with little more than virtio devices, for the fastest start: QEMU's microvm. No PCI, no firmware of its own choice:
 * kernels are started directly and find the devices by ACPI.
 */
import { PlainPm } from '../devices/acpi/plain-pm.js';
import { IsaBusBridge } from '../devices/misc/isa-bus-bridge.js';
import { VIRTIO_MMIO_BYTES, VirtioMmio } from '../devices/virtio/mmio/virtio-mmio.js';
import { MICROVM, PC } from '../firmware/platform.js';
import type { MemoryRegion } from '../memory/region.js';
import type { BoardHost, BoardType, BuiltBoard, MachineOptions } from './board.js';
import { buildPcBase, finish, node } from './pc-base.js';

export const microvm: BoardType = {
  name: 'microvm',
  aliases: [],
  description: 'microvm (i386)',
  maxCpus: 8,
  defaultRamBytes: 128 * 2 ** 20,
  virtioDevices: true,
  create: createMicrovm,
};

function createMicrovm(options: MachineOptions, host: BoardHost): BuiltBoard {
  let other!: MemoryRegion;
  const base = buildPcBase(
    {
      board: 'microvm',
      ioapic: true,
      hpet: false,
      lean: true,
      otherMemory: ({ memory, systemRoot }) => {
        other = memory.container('other');
        systemRoot.add(other, 0, -1);
        return other;
      },
    },
    options,
    host,
  );
  const { machine, memory, isa, isaNode, requests, plugs } = base;
  base.smmRoot.add(memory.alias('smm-system', base.systemRoot, 0, base.systemRoot.size), 0);
  const pm = new PlainPm(memory, base.ioRoot, PC.pmBase, {
    clock: host.clocks.virtual,
    sci: isa.irq(PC.sciIrq),
    requests,
  });
  machine.lifecycle.powerdownRequested.subscribe(() => pm.pressPowerButton());
  const places = Array.from({ length: MICROVM.virtioTransports }, (_, i) => ({
    base: MICROVM.virtioBase + i * MICROVM.virtioBytes,
    irq: MICROVM.virtioFirstIrq + i,
  }));
  machine.root.devices.push(node('acpi-pm', pm));
  for (const { base: at, irq } of places) {
    const transport = new VirtioMmio(machine.system, base.gsis[irq]!, host.clocks);
    other.add(memory.io('virtio-mmio', VIRTIO_MMIO_BYTES, transport), at, 1);
    const buses = transport.buses.map((bus, i) => plugs.offer(bus, '', i));
    const firmwareName = `virtio-mmio@${at.toString(16).padStart(16, '0')}`;
    machine.root.devices.push(node('virtio-mmio', transport, { buses, firmwareName }));
  }
  machine.root.devices.push(node('isabus-bridge', new IsaBusBridge(), { buses: [isaNode], firmwareName: 'isa' }));
  return finish(base, { vgaType: 'isa-vga', virtioMmio: places }, options, host);
}
