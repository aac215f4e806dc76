/** A PC/AT with an ISA bus and nothing beyond, as QEMU's isapc. */
import { IsaIde } from '../devices/ide/isa-ide.js';
import { IsaBusBridge } from '../devices/misc/isa-bus-bridge.js';
import type { BoardHost, BoardType, BuiltBoard, MachineOptions } from './board.js';
import { buildPcBase, finish, node } from './pc-base.js';

export const isapc: BoardType = {
  name: 'isapc',
  aliases: [],
  description: 'ISA-only PC',
  maxCpus: 1,
  defaultRamBytes: 128 * 2 ** 20,
  create: createIsaPc,
};

function createIsaPc(options: MachineOptions, host: BoardHost): BuiltBoard {
  const base = buildPcBase(
    { board: 'isapc', ioapic: false, hpet: false, firmwareInRam: true, otherMemory: ({ systemRoot }) => systemRoot },
    options,
    host,
  );
  const { machine, memory, systemRoot, smmRoot, isa, isaNode, plugs } = base;
  smmRoot.add(memory.alias('smm-system', systemRoot, 0, systemRoot.size), 0);
  for (const index of [0, 1] as const) {
    const ide = new IsaIde(isa, index);
    const ideNode = { name: `ide.${index}`, type: 'IDE', devices: [] };
    isaNode.devices.push(
      node('isa-ide', ide, { buses: [ideNode], firmwareName: `ide@${index === 0 ? '01f0' : '0170'}` }),
    );
    plugs.addIde(ideNode, ide.channel, index);
  }
  machine.root.devices.push(node('isabus-bridge', new IsaBusBridge(), { buses: [isaNode], firmwareName: 'isa' }));
  return finish(base, { vgaType: 'isa-vga' }, options, host);
}
