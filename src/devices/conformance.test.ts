/** The conformance suite over serial ports, keyboard controller, disk controllers and displays. */

import { Drive } from '../block/drive.js';
import { MemoryNode } from '../block/memory.js';
import { NullBackend } from '../char/null.js';
import type { FwCfgContents } from '../firmware/fw-cfg-contents.js';
import type { Device } from '../machine/device.js';
import { NO_IRQ } from '../machine/irq.js';
import type { MachineClocks } from '../machine/machine-clocks.js';
import { stateOf } from '../machine/state.js';
import { type ConformanceSubject, conformance } from '../machine/testing/conformance.js';
import { FlatMemory } from '../machine/testing/flat-memory.js';
import { ManualTime } from '../machine/testing/manual-time.js';
import { ProbeBus, throughRegion } from '../machine/testing/probe-bus.js';
import { ParallelPort } from './char/parallel.js';
import { Uart16550 } from './char/uart16550.js';
import { VgaIsa } from './display/vga-isa.js';
import { VgaPci } from './display/vga-pci.js';
import { FwCfg } from './firmware/fw-cfg.js';
import { AtaDisk } from './ide/ata.js';
import { AtapiCdrom } from './ide/atapi.js';
import { PiixIde } from './ide/piix-ide.js';
import { I8042 } from './input/i8042.js';
import { Ps2Keyboard } from './input/ps2-keyboard.js';
import { Ps2Mouse } from './input/ps2-mouse.js';
import { I8237Pair } from './misc/i8237.js';
import { PcTestdev } from './misc/pc-testdev.js';
import { FloppyDrive } from './storage/floppy-drive.js';
import { I82078 } from './storage/i82078.js';

function subject(make: (bus: ProbeBus, clocks: MachineClocks) => Device): ConformanceSubject {
  const time = new ManualTime();
  const clocks = time.clocks();
  const bus = new ProbeBus();
  const device = make(bus, clocks);
  device.reset();
  return { device, regions: bus.regions(), advance: (ns) => time.advance(clocks, ns) };
}

/** A device with others that belong to its state. */
function together(type: string, parts: { readonly [name: string]: Device }): Device {
  return {
    type,
    ...stateOf(parts, 1),
    reset() {
      for (const part of Object.values(parts)) part.reset();
    },
  };
}

conformance('isa-serial', () =>
  subject((bus, clocks) => {
    const uart = new Uart16550({ irq: NO_IRQ, clock: clocks.virtual, backend: new NullBackend() });
    bus.isa.mapPorts('serial', 0x3f8, Uart16550.PORTS, uart);
    return uart;
  }),
);

conformance('i8042', () =>
  subject((bus) => {
    const chip = new I8042({
      keyboardIrq: NO_IRQ,
      mouseIrq: NO_IRQ,
      keyboard: new Ps2Keyboard(),
      mouse: new Ps2Mouse(),
      a20: NO_IRQ,
      requestReset() {},
    });
    bus.isa.mapPorts('i8042', 0x60, 5, chip);
    return chip;
  }),
);

conformance('piix3-ide', () =>
  subject((bus) => {
    const ide = new PiixIde(bus.slot, bus.isa);
    const disk = new AtaDisk(new Drive(new MemoryNode(1 << 20), { id: 'hd' }), {
      model: 'M',
      serial: 'S',
      firmware: 'F',
    });
    ide.channels[0].attach(0, disk);
    return together('ide', { ide, disk });
  }),
);

conformance('ide-cd', () =>
  subject((bus) => {
    const ide = new PiixIde(bus.slot, bus.isa);
    const cd = new AtapiCdrom(new Drive(new MemoryNode(1 << 20, 'cd', true), { id: 'cd' }), {
      vendor: 'V',
      model: 'M',
      serial: 'S',
      firmware: 'F',
    });
    ide.channels[0].attach(0, cd);
    return together('ide', { ide, cd });
  }),
);

conformance('isa-fdc', () =>
  subject((bus, clocks) => {
    const dma = new I8237Pair(bus.isa, clocks.virtual, bus.system);
    bus.isa.connectDma(dma.channels);
    const drives = [new FloppyDrive('144', new Drive(new MemoryNode(1474560), { id: 'a' })), null];
    const fdc = new I82078({ irq: NO_IRQ, dma: bus.isa.dma(2), drives });
    bus.isa.mapPorts('fdc', I82078.FIRST_PORT, 8, fdc);
    return together('fdc', { dma, fdc });
  }),
);

/** The window at a0000h is in a container, which the guest reaches through. */
function withWindow(make: (bus: ProbeBus, clocks: MachineClocks) => VgaPci | VgaIsa): ConformanceSubject {
  let window: ReturnType<typeof throughRegion> | undefined;
  const found = subject((bus, clocks) => {
    const device = make(bus, clocks);
    window = throughRegion(device.vga.window.subRegions.find(({ region }) => region.kind === 'io')!.region);
    return device;
  });
  return { ...found, regions: [...found.regions, window!] };
}

const preferred = { width: 1280, height: 800 };
conformance('VGA', () =>
  withWindow((bus, clocks) => new VgaPci(bus.slot, clocks.virtual, { vramBytes: 1 << 20, rom: null, preferred })),
);
conformance('isa-vga', () => withWindow((bus, clocks) => new VgaIsa(bus.isa, bus.memory, clocks.virtual, 1 << 20)));

conformance('isa-parallel', () =>
  subject((bus) => {
    const port = new ParallelPort(NO_IRQ, new NullBackend());
    bus.isa.mapPorts('parallel', 0x378, ParallelPort.PORTS, port);
    return port;
  }),
);

conformance('pc-testdev', () => subject((bus) => new PcTestdev(bus.isa, bus.memory)));

const CONTENTS: FwCfgContents = {
  keys: new Map([[5, new Uint8Array([1, 0])]]),
  files: new Map([['etc/test', { bytes: new Uint8Array(16).fill(0x5a) }]]),
};
conformance('fw_cfg_io', () => subject((bus) => new FwCfg(bus.isa, new FlatMemory(4096), () => CONTENTS)));
