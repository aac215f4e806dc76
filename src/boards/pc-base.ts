/** What `pc` and `isapc` have in common: memory, interrupt and timer chips, keyboard, the ISA bus. */
import { UserError } from '../base/errors.js';
import { SERIAL_PORTS } from '../devices/char/isa-serial.js';
import { PARALLEL_PORTS } from '../devices/char/parallel.js';
import { VgaIsa } from '../devices/display/vga-isa.js';
import { VgaPci } from '../devices/display/vga-pci.js';
import { FwCfg } from '../devices/firmware/fw-cfg.js';
import { I8042 } from '../devices/input/i8042.js';
import { Ps2Keyboard } from '../devices/input/ps2-keyboard.js';
import { Ps2Mouse } from '../devices/input/ps2-mouse.js';
import { I8259Pair } from '../devices/intc/i8259.js';
import { IOAPIC_BASE, IOAPIC_BYTES, Ioapic } from '../devices/intc/ioapic.js';
import { Debugcon } from '../devices/misc/debugcon.js';
import { I8237Pair } from '../devices/misc/i8237.js';
import { Port92 } from '../devices/misc/port92.js';
import { ADDRESS_BYTES } from '../devices/pci/config-mechanism1.js';
import { describeBus } from '../devices/pci/describe.js';
import type { PciBus } from '../devices/pci/pci-bus.js';
import { driveFor, type FloppyType } from '../devices/storage/floppy-drive.js';
import { HPET_BASE, HPET_BYTES, HPET_TIMERS, Hpet } from '../devices/timer/hpet.js';
import { I8254 } from '../devices/timer/i8254.js';
import { Mc146818 } from '../devices/timer/mc146818.js';
import type { GraphicConsole } from '../display/console.js';
import { directBoot } from '../firmware/boot/direct.js';
import { BOOT_ORDER, bootOrderFile, pcFwCfg } from '../firmware/fw-cfg-contents.js';
import type { PlatformDescription, PortIo } from '../firmware/platform.js';
import type { Clock } from '../machine/clock.js';
import type { Device } from '../machine/device.js';
import type { SystemRequests } from '../machine/device-type.js';
import { fanOut, IrqInput, type IrqLine, NO_IRQ, SwitchedLine, WiredOr } from '../machine/irq.js';
import { IsaBusHub } from '../machine/isa-bus-hub.js';
import { type BusNode, type DeviceNode, Machine } from '../machine/machine.js';
import { CONFIG_ADDRESS_PORT } from '../machine/pci-presence.js';
import { Memory } from '../memory/memory.js';
import type { MemoryRegion } from '../memory/region.js';
import { SystemBus } from '../memory/system-bus.js';
import { MirroredChips } from './accelerator-chips.js';
import type { BoardHost, BuiltBoard, DeviceRequest, IdeDriveRequest, Inspection, MachineOptions } from './board.js';
import { bootOrder } from './boot-order.js';
import { fillCmos } from './cmos.js';
import { Plugs } from './plugs.js';

const MIB = 2 ** 20;
const FOUR_GIB = 2 ** 32;
const PORTS = 0x10000;
const SMALLEST_RAM = MIB;
/** Of RAM that reaches it, the part from here on lies above 4 GiB. */
const LOWMEM_LIMIT = 0xe000_0000;
const ISA_BIOS_BYTES = 128 * 1024;
const FIRMWARE_GRANULE = 64 * 1024;
const GSI_COUNT = 24;
const TIMER_GSI = 2;
const EXTINT_PIN = 0;
const FPU_IRQ = 13;
const RTC_INDEX = 0x70;
/** CRT controller; colours. */
const VGA_PICTURE_PORTS = [
  [0x3d4, 2],
  [0x3c8, 2],
] as const;
const VGA_WINDOW = { start: 0xa0000, bytes: 0x20000 } as const;

export interface PcBase {
  readonly machine: Machine;
  readonly memory: Memory;
  readonly systemRoot: MemoryRegion;
  readonly smmRoot: MemoryRegion;
  readonly ioRoot: MemoryRegion;
  readonly ram: MemoryRegion;
  readonly below4g: number;
  readonly above4g: number;
  readonly isa: IsaBusHub;
  /** Interrupt inputs 0..23 of the board: both 8259s and the I/O APIC. */
  readonly gsis: readonly IrqLine[];
  readonly pic: I8259Pair;
  readonly ioapic: Ioapic | undefined;
  /** Brings `pic` and `ioapic` up to date when the accelerator has these chips. */
  fetchChips(): void;
  /** How often each interrupt input rose, when the accelerator has these chips. */
  readonly rises: Uint32Array | undefined;
  readonly keyboard: Ps2Keyboard;
  readonly mouse: Ps2Mouse;
  readonly rtc: Mc146818;
  readonly pit: I8254;
  readonly hpet: Hpet | undefined;
  readonly isaNode: BusNode;
  readonly plugs: Plugs;
  readonly requests: SystemRequests;
}

/** What differs between the boards in what tables say. */
export interface PcExtras {
  /** The PCI bus, on boards that have one. */
  readonly bus?: PciBus;
  /** The type of device that `-vga std` means. */
  readonly vgaType: string;
  /** What tables call the chipset, if not i440fx. */
  readonly chipset?: PlatformDescription['chipset'];
  /** Instead of PCI: transports of virtio devices. */
  readonly virtioMmio?: PlatformDescription['virtioMmio'];
  /** Where drive `index` of `-hda` and its like goes; default two to a channel. */
  ideBus?(index: number): { readonly bus: string; readonly unit: number };
  /** No floppy controller without a drive. */
  readonly floppyOnDemand?: boolean;
}

export interface PcBaseSpec {
  readonly board: string;
  readonly ioapic: boolean;
  readonly hpet: boolean;
  /** Without keyboard controller, floppy controller and DMA users of old: what starts fast. */
  readonly lean?: boolean;
  /** Firmware is in RAM, where nothing can shadow it: firmware keeps variables below 1 MiB. */
  readonly firmwareInRam?: boolean;
  /** Of so much RAM, how much lies below 4 GiB; the rest is above. */
  lowRam?(ramBytes: number): number;
  /** Everything that is not RAM is put here; the system root itself on a board without PCI. */
  otherMemory(base: { memory: Memory; systemRoot: MemoryRegion }): MemoryRegion;
}

export function node(type: string, device: Device, more: Partial<DeviceNode> = {}): DeviceNode {
  return { type, id: '', device, properties: [], buses: [], ...more };
}

export function buildPcBase(spec: PcBaseSpec, options: MachineOptions, host: BoardHost): PcBase {
  const { accelerator, clocks } = host;
  if (options.ramBytes < SMALLEST_RAM) throw new UserError(`a PC needs at least 1 MiB of RAM: raise -m`);
  const memory = new Memory(accelerator, host.ramMade);
  // Until the machine is whole (`finish`): a view of each state in between costs more than all devices.
  memory.begin();
  const systemRoot = memory.container('system');
  const smmRoot = memory.container('memory-smm');
  const ioRoot = memory.container('io', PORTS);

  const below4g = spec.lowRam?.(options.ramBytes) ?? Math.min(options.ramBytes, LOWMEM_LIMIT);
  const above4g = options.ramBytes - below4g;
  const ram = memory.ram('pc.ram', options.ramBytes);
  systemRoot.add(memory.alias('ram-below-4g', ram, 0, below4g), 0);
  if (above4g > 0) systemRoot.add(memory.alias('ram-above-4g', ram, below4g, above4g), FOUR_GIB);

  const system = memory.addressSpace('memory', systemRoot);
  const smm = memory.addressSpace('cpu-smm', smmRoot);
  const ports = memory.addressSpace('I/O', ioRoot);
  const io = new SystemBus(memory, ports);

  const root: BusNode = { name: 'main-system-bus', type: 'System', devices: [] };
  const machine = new Machine({
    board: spec.board,
    processors: accelerator,
    memory,
    clocks,
    system,
    ports,
    io,
    root,
    lifecycle: options.lifecycle,
  });
  const requests = machine.lifecycle;
  const otherMemory = spec.otherMemory({ memory, systemRoot });
  if (options.firmware) {
    const fill = mapFirmware(memory, otherMemory, options.firmware, spec.firmwareInRam ?? false);
    if (spec.firmwareInRam) machine.lifecycle.resetDone.subscribe(fill);
  }

  const ioapic = spec.ioapic ? new Ioapic((message) => accelerator.deliverApic(message)) : undefined;
  if (ioapic) otherMemory.add(memory.io('ioapic', IOAPIC_BYTES, ioapic), IOAPIC_BASE, 1);
  // The 8259s need ports before there is an ISA bus, whose interrupts need the 8259s.
  const early = new IsaBusHub({ memory, ioSpace: ioRoot, memorySpace: otherMemory, irqs: [] });
  const boot = accelerator.vcpus[0]!;
  const chips = accelerator.chips && new MirroredChips(accelerator.chips);
  // Besides the processor's pin the 8259s drive pin 0 of the I/O APIC, for entries that say ExtINT.
  const intr = new IrqInput((level) => {
    boot.setInterruptLine(level);
    ioapic?.pins[EXTINT_PIN]?.set(level);
  });
  const pic = new I8259Pair(early, chips ? NO_IRQ : intr);
  const gsis = chips?.inputs ?? gsiLines(pic, ioapic);
  const picDevice = chips?.pic(pic);
  const ioapicDevice = ioapic && chips?.ioapic(ioapic);
  const isa = new IsaBusHub({ memory, ioSpace: ioRoot, memorySpace: otherMemory, irqs: gsis.slice(0, 16) });

  const fpuError = isa.irq(FPU_IRQ);
  isa.mapPorts('fpu-error', 0xf0, 1, {
    sizes: { min: 1, max: 1 },
    read: () => 0xff,
    write: () => fpuError.set(false),
  });
  accelerator.connect({
    portRead: (port, size) => io.portRead(port, size),
    portWrite: (port, size, value) => io.portWrite(port, size, value),
    mmioRead: (region, offset, size) => io.mmioRead(region, offset, size),
    mmioWrite: (region, offset, size, value) => io.mmioWrite(region, offset, size, value),
    virtualNow: () => clocks.virtual.now(),
    random: () => host.random(),
    picAcknowledge: () => pic.acknowledge(),
    ioapicEoi: (vector) => ioapic?.eoi(vector),
    fpuError: (level) => fpuError.set(level),
    wake: () => host.wake(),
  });
  accelerator.setFlatView(0, system.ranges);
  accelerator.setFlatView(1, smm.ranges);
  system.changed.subscribe((ranges) => accelerator.setFlatView(0, ranges));
  smm.changed.subscribe((ranges) => accelerator.setFlatView(1, ranges));
  accelerator.setPortView?.(ports.ranges);
  ports.changed.subscribe((ranges) => accelerator.setPortView?.(ranges));

  const a20: IrqLine = { set: (level) => accelerator.setA20(level) };
  const dma = new I8237Pair(isa, clocks.virtual, system);
  isa.connectDma(dma.channels);
  const pitIrq = new SwitchedLine(isa.irq(0));
  const pit = new I8254(isa, clocks.virtual, chips ? NO_IRQ : pitIrq);
  const rtcIrq = new SwitchedLine(isa.irq(8));
  const clock = rtcClock(options, host);
  const start = options.rtc.startMs;
  const rtc = new Mc146818(
    isa,
    clock,
    rtcIrq,
    start === undefined ? rtcDrift(options, host) : start - clock.now() / 1e6,
  );
  // The index of the real-time clock means nothing until its data port is used.
  accelerator.coalesceWrites?.('port', RTC_INDEX, 1);
  const keyboard = new Ps2Keyboard();
  const mouse = new Ps2Mouse();
  const i8042 = new I8042({
    keyboardIrq: isa.irq(1),
    mouseIrq: isa.irq(12),
    keyboard,
    mouse,
    a20,
    requestReset: () => requests.reset('guest-reset'),
  });
  if (!spec.lean) {
    isa.mapPorts('i8042-data', 0x60, 1, i8042);
    isa.mapPorts('i8042-cmd', 0x64, 1, {
      sizes: { min: 1, max: 1 },
      read: (offset, size) => i8042.read(4 + offset, size),
      write: (offset, size, value) => i8042.write(4 + offset, size, value),
    });
  }
  const port92 = new Port92(isa, { a20, requests });

  const hpet = spec.hpet
    ? new Hpet({
        clock: clocks.virtual,
        gsis,
        irq0: isa.irq(0),
        irq8: isa.irq(8),
        legacyReplacement(on) {
          pitIrq.closed = !on;
          accelerator.chips?.replaceTimer(on);
          rtcIrq.closed = !on;
        },
      })
    : undefined;
  if (hpet) {
    otherMemory.add(memory.io('hpet', HPET_BYTES, hpet), HPET_BASE, 1);
    root.devices.push(node('hpet', hpet, { properties: [['timers', `${HPET_TIMERS} (0x${HPET_TIMERS})`]] }));
  }
  if (ioapic) root.devices.push(node('ioapic', ioapicDevice ?? ioapic, { properties: [['version', '32 (0x20)']] }));
  const isaNode: BusNode = { name: 'isa.0', type: 'ISA', devices: [] };
  isaNode.devices.push(
    node('isa-i8259', picDevice ?? pic),
    node('isa-pit', chips?.pit(pit, clocks.virtual) ?? pit, { properties: [['iobase', '64 (0x40)']] }),
    node('mc146818rtc', rtc, {
      properties: [
        ['iobase', '112 (0x70)'],
        ['irq', '8 (0x8)'],
      ],
    }),
    node('i8237', dma),
    ...(spec.lean ? [] : [node('i8042', i8042)]),
    node('port92', port92),
  );
  const plugs = new Plugs(
    {
      clocks,
      memory,
      requests,
      cpus: options.cpus,
      ramBytes: options.ramBytes,
      random: () => host.random(),
      chardev: (id) => host.chardev(id),
      drive: (id) => host.drive(id),
      folder: (id) => host.folder(id),
      generator: (id) => host.generator(id),
      isIoThread: (id) => host.isIoThread(id),
      firmwareImage: (name) => host.firmwareImage(name),
    },
    options.globals,
  );
  plugs.addIsa(isaNode, isa);
  return {
    machine,
    memory,
    systemRoot,
    smmRoot,
    ioRoot,
    ram,
    below4g,
    above4g,
    isa,
    gsis,
    pic,
    ioapic,
    rises: chips?.rises,
    fetchChips() {
      picDevice?.fetch();
      ioapicDevice?.fetch();
    },
    keyboard,
    mouse,
    rtc,
    pit,
    hpet,
    isaNode,
    plugs,
    requests,
  };
}

/** The serial and parallel ports that every PC has unless the user does without. */
function plugPorts(plugs: Plugs, { serials, parallels }: MachineOptions): void {
  const plug = (type: string, chardevs: readonly (string | undefined)[], most: number): void => {
    if (chardevs.length > most) {
      throw new UserError(`a PC has at most ${most} ports of type ${type}: remove some -serial or -parallel options`);
    }
    chardevs.forEach((chardev, index) => {
      if (chardev !== undefined) plugs.plug({ type, id: '', properties: { index: String(index), chardev } });
    });
  };
  plug('isa-serial', serials, SERIAL_PORTS.length);
  plug('isa-parallel', parallels, PARALLEL_PORTS.length);
}

const UNSET = 0xffff_ffff;
const chosen = (value: unknown, otherwise: number): number => (value === UNSET ? otherwise : Number(value));

/** What tables say about the ports: those of the user's own `-device` too. */
function describePorts(plugs: Plugs): Pick<PlatformDescription, 'serial' | 'parallel' | 'pvpanicPort'> {
  const serial = plugs.plugged('isa-serial').map(({ index, iobase, irq }) => {
    const fixed = SERIAL_PORTS[chosen(index, 0)]!;
    return { port: chosen(iobase, fixed[0]), irq: chosen(irq, fixed[1]) };
  });
  const parallel = plugs.plugged('isa-parallel').map(({ index, iobase, irq }) => ({
    port: chosen(iobase, PARALLEL_PORTS[chosen(index, 0)]!),
    irq: Number(irq),
  }));
  const panic = plugs.plugged('pvpanic')[0];
  return { serial, parallel, ...(panic && { pvpanicPort: Number(panic['ioport']) }) };
}

function floppyTypes(plugs: Plugs, host: BoardHost): (FloppyType | undefined)[] {
  const [fdc] = plugs.plugged('isa-fdc');
  if (!fdc) return [];
  return (['A', 'B'] as const).map((letter) => {
    const drive = String(fdc[`drive${letter}`]);
    const asked = String(fdc[`fdtype${letter}`]);
    if (drive === '') return undefined;
    return asked === 'auto' ? driveFor(host.drive(drive).length) : (asked as FloppyType);
  });
}

function ideDriveRequest({ index, drive, media }: IdeDriveRequest, extra: PcExtras): DeviceRequest {
  const place = extra.ideBus?.(index) ?? { bus: `ide.${index >> 1}`, unit: index & 1 };
  const properties = { drive, bus: place.bus, unit: String(place.unit) };
  return { type: media === 'cdrom' ? 'ide-cd' : 'ide-hd', id: '', properties };
}

/**
 * Plugs in the devices that every PC has by default and those that the user asks for, tells firmware about the machine,
 * and powers it on: resets it and, when a kernel is to be started without firmware, puts that in place.
 */
export function finish(base: PcBase, extra: PcExtras, options: MachineOptions, host: BoardHost): BuiltBoard {
  const { machine, plugs, isa, keyboard, mouse } = base;
  if (options.vga === 'std') plugs.plug({ type: extra.vgaType, id: '', properties: {} });
  plugPorts(plugs, options);
  const [driveA = '', driveB = ''] = options.floppies;
  const hasFloppy = !extra.virtioMmio && (!extra.floppyOnDemand || driveA !== '' || driveB !== '');
  if (hasFloppy && !options.devices.some(({ type }) => type === 'isa-fdc')) {
    // What is empty does not stand in the way of -global.
    const properties = { ...(driveA !== '' && { driveA }), ...(driveB !== '' && { driveB }) };
    plugs.plug({ type: 'isa-fdc', id: '', properties });
  }
  for (const request of options.ideDrives) plugs.plug(ideDriveRequest(request, extra));
  for (const request of options.devices) plugs.plug(request);
  const display = machine
    .devices()
    .map(({ node }) => node.device)
    .find(isConsole);
  // The address says which register the data port is; the byte that resets the machine may wait a moment.
  if (extra.bus) host.accelerator.coalesceWrites?.('port', CONFIG_ADDRESS_PORT, ADDRESS_BYTES);
  // Nobody can tell when a debug console's byte comes out.
  for (const { port } of debugConsoles(machine)) host.accelerator.coalesceWrites?.('port', port, 1);
  if (display) {
    host.accelerator.coalesceWrites?.('memory', VGA_WINDOW.start, VGA_WINDOW.bytes);
    // Cursor, start address and colours: what only the picture shows. Others say what is in the window.
    for (const [port, bytes] of VGA_PICTURE_PORTS) host.accelerator.coalesceWrites?.('port', port, bytes);
  }
  if (host.accelerator.windowReads && (display instanceof VgaPci || display instanceof VgaIsa)) {
    display.vga.publish(host.accelerator.windowReads);
  }
  const floppies = floppyTypes(plugs, host);
  const tellBootOrder = (bootOrder: string): void =>
    fillCmos(base.rtc, {
      below4g: base.below4g,
      above4g: base.above4g,
      cpus: options.cpus,
      bootOrder,
      floppies,
    });
  tellBootOrder(options.bootOnce ?? options.bootOrder);
  if (options.bootOnce !== undefined) machine.lifecycle.resetDone.subscribe(() => tellBootOrder(options.bootOrder));
  const platform: PlatformDescription = {
    ...options.identity,
    ram: {
      below4g: base.below4g,
      above4g: base.above4g,
      ...(host.accelerator.reserved && { reserved: host.accelerator.reserved }),
    },
    apicIds: options.apicIds ?? Array.from({ length: options.cpus }, (_, i) => i),
    ioApicId: 0,
    ...describePorts(plugs),
    hpet: base.hpet !== undefined,
    floppy: floppies.some(Boolean),
    ps2: !extra.virtioMmio,
    ...(extra.virtioMmio && { virtioMmio: extra.virtioMmio }),
    fwCfg: true,
    vga: display !== undefined,
    pci: extra.bus !== undefined,
    ...(extra.chipset && { chipset: extra.chipset }),
  };
  const fwCfg = new FwCfg(isa, machine.system, () => pcFwCfg(platform, options.fwCfg));
  machine.root.devices.push(node('fw_cfg_io', fwCfg));
  machine.afterReset.subscribe(() => fwCfg.setFile(BOOT_ORDER, bootOrderFile(bootOrder(machine.root))));

  const { kernel } = options;
  if (kernel) {
    const ports: PortIo = {
      read: (port, size) => machine.io.portRead(port, size),
      write: (port, size, value) => machine.io.portWrite(port, size, value),
    };
    let awaitsState = options.awaitsState ?? false;
    machine.afterReset.subscribe(() => {
      if (awaitsState) {
        awaitsState = false;
        return;
      }
      const { image, modules, commandLine, longMode } = kernel;
      host.enter(
        directBoot({ memory: machine.system, ports, platform, kernel: image, modules, commandLine, longMode }),
      );
    });
  }
  base.memory.commit();
  machine.reset();
  return {
    machine,
    platform,
    keyboard,
    pointer: mouse,
    inspection: inspect(base, extra.bus),
    hotplug: plugs,
    ...(display && { display }),
  };
}

const PIC_INPUTS = 16;

function inspect({ pic, ioapic, fetchChips, rises }: PcBase, bus: PciBus | undefined): Inspection {
  return {
    pci: () => (bus ? describeBus(bus) : []),
    pic: () => {
      fetchChips();
      return pic.describe();
    },
    ioapic: () => {
      fetchChips();
      return ioapic?.describe();
    },
    irqCounts: () => [
      { controller: 'isa-i8259', counts: rises ? [...rises.subarray(0, PIC_INPUTS)] : pic.counts() },
      ...(ioapic ? [{ controller: 'ioapic', counts: [...(rises ?? ioapic.counts)] }] : []),
    ],
  };
}

/** A display adapter among the devices. */
const debugConsoles = (machine: Machine): Debugcon[] =>
  machine
    .devices()
    .map(({ node }) => node.device)
    .filter((device) => device instanceof Debugcon);

const isConsole = (device: Device): device is Device & GraphicConsole => 'refresh' in device && 'text' in device;

/** Interrupt inputs by number. 0 is the timer: 8259 input 0, but I/O APIC input 2, as the MADT's override says. */
function gsiLines(pic: I8259Pair, ioapic: Ioapic | undefined): IrqLine[] {
  const pins = ioapic?.pins.map((pin) => new WiredOr(pin));
  return Array.from({ length: GSI_COUNT }, (_, gsi) => {
    const lines: IrqLine[] = [];
    if (gsi < 16 && gsi !== TIMER_GSI) lines.push(pic.inputs[gsi]!);
    if (pins) lines.push(pins[gsi === 0 ? TIMER_GSI : gsi]!.input());
    return fanOut(...lines);
  });
}

function rtcClock(options: MachineOptions, { clocks }: BoardHost): Clock {
  return { host: clocks.host, rt: clocks.realtime, vm: clocks.virtual }[options.rtc.clock];
}

/** What brings a clock that does not count from 1970 to UTC. */
function rtcDrift(options: MachineOptions, host: BoardHost): number {
  return (host.clocks.host.now() - rtcClock(options, host).now()) / 1e6;
}

/** Firmware ends at 4 GiB, and its last 128 KiB are seen below 1 MiB too. What it gives puts the image there again. */
function mapFirmware(memory: Memory, space: MemoryRegion, image: Uint8Array, writable: boolean): () => void {
  const size = Math.ceil(image.length / FIRMWARE_GRANULE) * FIRMWARE_GRANULE;
  if (image.length === 0 || size > 16 * MIB) {
    throw new UserError('the firmware image must be between 1 byte and 16 MiB long: check -bios');
  }
  const bios = writable ? memory.ram('pc.bios', size) : memory.rom('pc.bios', size);
  const { bytes, host } = bios.ram!;
  const fill = (): void => {
    // The reset vector is at the image's end, so a short image is padded in front.
    bytes.set(image, size - image.length);
    memory.source.notifyWrite(host, size);
  };
  fill();
  space.add(bios, FOUR_GIB - size, 1);
  const low = Math.min(size, ISA_BIOS_BYTES);
  space.add(memory.alias('isa-bios', bios, size - low, low), MIB - low, 1);
  return fill;
}
