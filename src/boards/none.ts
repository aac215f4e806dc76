/** An empty machine: RAM, and a processor that nothing starts; no devices. */
import { Machine } from '../machine/machine.js';
import { Memory } from '../memory/memory.js';
import { SystemBus } from '../memory/system-bus.js';
import type { BoardHost, BoardType, BuiltBoard, MachineOptions } from './board.js';

export const none: BoardType = {
  name: 'none',
  aliases: [],
  description: 'empty machine',
  maxCpus: 1,
  defaultRamBytes: 0,
  create: createNone,
};

function createNone(options: MachineOptions, { accelerator, clocks, random, wake, ramMade }: BoardHost): BuiltBoard {
  const memory = new Memory(accelerator, ramMade);
  const systemRoot = memory.container('system');
  if (options.ramBytes > 0) systemRoot.add(memory.ram('ram', options.ramBytes), 0);
  const system = memory.addressSpace('memory', systemRoot);
  const ports = memory.addressSpace('I/O', memory.container('io', 0x10000));
  const io = new SystemBus(memory, ports);
  accelerator.connect({
    portRead: (port, size) => io.portRead(port, size),
    portWrite: (port, size, value) => io.portWrite(port, size, value),
    mmioRead: (region, offset, size) => io.mmioRead(region, offset, size),
    mmioWrite: (region, offset, size, value) => io.mmioWrite(region, offset, size, value),
    virtualNow: () => clocks.virtual.now(),
    random,
    picAcknowledge: () => 0,
    ioapicEoi: () => {},
    fpuError: () => {},
    wake,
  });
  accelerator.setFlatView(0, system.ranges);
  accelerator.setFlatView(1, system.ranges);
  const machine = new Machine({
    board: none.name,
    processors: accelerator,
    memory,
    clocks,
    system,
    ports,
    io,
    root: { name: 'main-system-bus', type: 'System', devices: [] },
    lifecycle: options.lifecycle,
    empty: true,
  });
  machine.reset();
  return {
    machine,
    inspection: { pci: () => [], pic: () => [], ioapic: () => undefined, irqCounts: () => [] },
  };
}
