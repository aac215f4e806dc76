/** The DSDT's content: the machine's devices that no bus enumerates, how PCI interrupts are routed, and power-off. */
import { FOUR_GIB, MICROVM, PC, type PlatformDescription, pciMemoryStart, Q35, type SerialPort } from '../platform.js';
import {
  and,
  arg,
  byteField,
  call,
  createDWordField,
  device,
  dwordField,
  type Expr,
  eisaId,
  int,
  less,
  local,
  method,
  name,
  notify,
  operationRegion,
  or,
  pkg,
  ref,
  ret,
  scope,
  store,
  string,
  type Term,
  when,
} from './aml.js';
import {
  busNumbers,
  dma,
  io,
  ioWindow,
  irq,
  levelInterrupt,
  memory32Fixed,
  memoryWindow,
  memoryWindow64,
  type Resource,
  resourceTemplate,
} from './resources.js';

const PRESENT = 0x0f;
/** Present, enabled and functioning, but not shown to the user. */
const PRESENT_HIDDEN = 0x0b;

const crs = (...resources: Resource[]): Term => name('_CRS', resourceTemplate(...resources));

function isaDevice(seg: string, hid: string, resources: readonly Resource[], ...more: Term[]): Term {
  return device(seg, name('_HID', eisaId(hid)), name('_STA', PRESENT), ...more, crs(...resources));
}

const portDevices = (prefix: string, hid: string, length: number, ports: readonly SerialPort[]): Term[] =>
  ports.map((p, i) => isaDevice(`${prefix}${i + 1}`, hid, [io(p.port, length), irq(p.irq)], name('_UID', i + 1)));

function isaDevices(p: PlatformDescription): Term[] {
  const out = [isaDevice('RTC', 'PNP0B00', [io(0x70, 8), irq(8)])];
  if (p.ps2) {
    out.push(isaDevice('KBD', 'PNP0303', [io(0x60, 1), io(0x64, 1), irq(1)]));
    out.push(isaDevice('MOU', 'PNP0F13', [irq(12)]));
  }
  if (p.floppy) out.push(isaDevice('FDC0', 'PNP0700', [io(0x3f2, 4), io(0x3f7, 1), irq(6), dma(2)]));
  out.push(...portDevices('COM', 'PNP0501', 8, p.serial), ...portDevices('LPT', 'PNP0400', 8, p.parallel));
  return out;
}

/** A link device: which interrupt the bridge sends a PCI interrupt line to, in the register `route`. */
function linkDevice(seg: string, uid: number, route: Expr): Term {
  const DISABLED = 0x80;
  /** Offset of the interrupt number within an Extended Interrupt descriptor. */
  const NUMBER = 5;
  return device(
    seg,
    name('_HID', eisaId('PNP0C0F')),
    name('_UID', uid),
    name('_PRS', resourceTemplate(levelInterrupt(5, 10, 11))),
    method('_STA', 0, false, when(and(route, DISABLED), ret(0x09)), ret(PRESENT_HIDDEN)),
    method('_DIS', 0, false, store(or(route, DISABLED), route)),
    method(
      '_CRS',
      0,
      true,
      name('BUF', resourceTemplate(levelInterrupt(0))),
      createDWordField(ref('BUF'), NUMBER, 'IRQN'),
      when(less(route, DISABLED), store(route, ref('IRQN'))),
      ret(ref('BUF')),
    ),
    method('_SRS', 1, true, createDWordField(arg(0), NUMBER, 'IRQN'), store(ref('IRQN'), route)),
  );
}

/** Link devices of the PIIX3: its configuration registers 0x60..0x63. */
function linkDevices(): Term[] {
  const links = PC.pirqRoutes.map((_, i) => linkDevice(`LNK${'ABCD'[i]}`, i, ref(`PRQ${i}`)));
  // The power-management function's interrupt is wired to the SCI and cannot be moved.
  const sci = device(
    'LNKS',
    name('_HID', eisaId('PNP0C0F')),
    name('_UID', PC.pirqRoutes.length),
    name('_PRS', resourceTemplate(levelInterrupt(PC.sciIrq))),
    name('_STA', PRESENT_HIDDEN),
    method('_DIS', 0, false),
    crs(levelInterrupt(PC.sciIrq)),
    method('_SRS', 1, false),
  );
  return [...links, sci];
}

/** PIIX3 swizzle: pin INTA of slot s is wired to line (s - 1) mod 4, the next pin to the next line. */
export const pirqOf = (slot: number, pin: number): number => (slot + pin + 3) & 3;

/** The ISA bridge's slot; function 3 of it, on pin INTA, is the power-management function. */
const ISA_SLOT = 1;

function interruptRouting(): Expr {
  const rows: Expr[] = [];
  for (let slot = 0; slot < 32; slot++) {
    for (let pin = 0; pin < 4; pin++) {
      const link = slot === ISA_SLOT && pin === 0 ? 'S' : 'ABCD'[pirqOf(slot, pin)];
      rows.push(pkg([int(slot * 0x10000 + 0xffff), int(pin), ref(`\\_SB.PCI0.ISA.LNK${link}`), int(0)]));
    }
  }
  return pkg(rows);
}

/** A window for BARs that do not fit below 4 GiB: behind RAM, as far as 36 address bits reach. */
function highWindow(above4g: number): Resource[] {
  const GIB = 0x4000_0000;
  const start = Math.ceil((FOUR_GIB + above4g) / GIB) * GIB;
  const end = 16 * FOUR_GIB;
  return start < end ? [memoryWindow64(start, end - 1)] : [];
}

/** Links A to H of the ICH9: to the 8259s by their registers, and to inputs 16 to 23 of the I/O APIC. */
function ich9Links(): Term[] {
  return Array.from({ length: 8 }, (_, i) => linkDevice(`LNK${'ABCDEFGH'[i]}`, i, ref(`PRQ${'ABCDEFGH'[i]}`)));
}

/** Which of the eight links pin `pin` (0 to 3) of a slot is wired to; see `Ich9Lpc.pirqOf`. */
export const ich9PirqOf = (slot: number, pin: number): number => (slot >= 25 ? pin : 4 + ((slot + pin) & 3));

/** With the 8259s a link device says where an interrupt goes; with the I/O APIC each has an input of its own. */
function ich9Routing(apic: boolean): Expr {
  const rows: Expr[] = [];
  for (let slot = 0; slot < 32; slot++) {
    for (let pin = 0; pin < 4; pin++) {
      const pirq = ich9PirqOf(slot, pin);
      const target = apic ? [int(0), int(16 + pirq)] : [ref(`\\_SB.PCI0.ISA.LNK${'ABCDEFGH'[pirq]}`), int(0)];
      rows.push(pkg([int(slot * 0x10000 + 0xffff), int(pin), ...target]));
    }
  }
  return pkg(rows);
}

/** Control method `_OSC` of a PCI Express root: grants everything but hot-plug, power management events and errors. */
function operatingSystemCapabilities(): Term {
  const CONTROL = 8;
  const GRANTED = 0x10;
  return method(
    '_OSC',
    4,
    false,
    createDWordField(arg(3), CONTROL, 'CDW3'),
    store(and(ref('CDW3'), GRANTED), ref('CDW3')),
    ret(arg(3)),
  );
}

/** A PCI Express root complex with an ICH9 behind it. */
function expressRoot(p: PlatformDescription): Term {
  const end = Q35.mmconfigBase + Q35.mmconfigBytes;
  return device(
    'PCI0',
    name('_HID', eisaId('PNP0A08')),
    name('_CID', eisaId('PNP0A03')),
    name('_UID', 0),
    operatingSystemCapabilities(),
    crs(
      busNumbers(0, 0xff),
      io(0xcf8, 8),
      ioWindow(0, 0xcf7),
      ioWindow(0xd00, 0xffff),
      memoryWindow(0xa0000, 0xbffff, true),
      memoryWindow(end, PC.pciMemoryEnd - 1),
      ...highWindow(p.ram.above4g),
    ),
    device(
      'PMIO',
      name('_HID', eisaId('PNP0A06')),
      name('_UID', string('PM resources')),
      name('_STA', PRESENT_HIDDEN),
      crs(io(PC.pmBase, 0x80)),
    ),
    device('DRAC', name('_HID', eisaId('PNP0C01')), crs(memory32Fixed(true, Q35.mmconfigBase, Q35.mmconfigBytes))),
    device(
      'ISA',
      name('_ADR', Q35.lpcSlot * 0x10000),
      operationRegion('PIRQ', 'PCI_Config', 0x60, 0x0c),
      byteField('PIRQ', [
        ...['PRQA', 'PRQB', 'PRQC', 'PRQD'],
        ...['RSV0', 'RSV1', 'RSV2', 'RSV3'],
        ...['PRQE', 'PRQF', 'PRQG', 'PRQH'],
      ]),
      ...ich9Links(),
      ...isaDevices(p),
    ),
    name('PRTP', ich9Routing(false)),
    name('PRTA', ich9Routing(true)),
    method('_PRT', 0, false, when(less(ref('\\PICM'), 1), ret(ref('PRTP'))), ret(ref('PRTA'))),
  );
}

/** Slots that devices may be plugged into while the machine runs: all but the host bridge's and the ISA bridge's. */
const HOT_SLOTS = Array.from({ length: 30 }, (_, i) => i + 2);
const slotName = (slot: number): string => `S${slot.toString(16).toUpperCase().padStart(2, '0')}_`;

/** The slots and, in method PCNT, what tells the operating system which of them changed (devices/acpi/pci-hotplug.ts). */
function hotSlots(): Term[] {
  const bit = (slot: number): number => 2 ** slot;
  return [
    operationRegion('PCST', 'SystemIO', PC.pciHotplugBase, 0x10),
    dwordField('PCST', ['PCIU', 'PCID', 'B0EJ', 'PRMV']),
    ...HOT_SLOTS.map((slot) =>
      device(
        slotName(slot),
        name('_ADR', slot * 0x10000),
        name('_SUN', slot),
        method('_EJ0', 1, false, store(int(bit(slot)), ref('B0EJ'))),
      ),
    ),
    method(
      'PCNT',
      0,
      true,
      store(ref('PCIU'), local(0)),
      store(ref('PCID'), local(1)),
      ...HOT_SLOTS.flatMap((slot) => [
        when(and(local(0), bit(slot)), notify(slotName(slot), 1)),
        when(and(local(1), bit(slot)), notify(slotName(slot), 3)),
      ]),
    ),
  ];
}

function pciRoot(p: PlatformDescription): Term {
  return device(
    'PCI0',
    name('_HID', eisaId('PNP0A03')),
    name('_UID', 0),
    crs(
      busNumbers(0, 0xff),
      io(0xcf8, 8),
      ioWindow(0, 0xcf7),
      ioWindow(0xd00, 0xffff),
      memoryWindow(0xa0000, 0xbffff, true),
      memoryWindow(pciMemoryStart(p.ram.below4g), PC.pciMemoryEnd - 1),
      ...highWindow(p.ram.above4g),
    ),
    // Ports of the power-management function, which its BARs do not show.
    device(
      'PMIO',
      name('_HID', eisaId('PNP0A06')),
      name('_UID', string('PM resources')),
      name('_STA', PRESENT_HIDDEN),
      crs(io(PC.gpe0Base, PC.gpe0Length), io(PC.pmBase, 0x40), io(PC.smbusBase, 0x40)),
    ),
    device(
      'ISA',
      name('_ADR', ISA_SLOT * 0x10000),
      operationRegion('PIRQ', 'PCI_Config', 0x60, 4),
      byteField('PIRQ', ['PRQ0', 'PRQ1', 'PRQ2', 'PRQ3']),
      ...linkDevices(),
      ...isaDevices(p),
    ),
    ...hotSlots(),
    name('_PRT', interruptRouting()),
  );
}

function isaRoot(p: PlatformDescription): Term {
  return device('ISA', name('_HID', eisaId('PNP0A00')), name('_UID', 0), ...isaDevices(p));
}

function systemDevices(p: PlatformDescription): Term[] {
  const out: Term[] = [];
  if (p.hpet)
    out.push(
      device(
        'HPET',
        name('_HID', eisaId('PNP0103')),
        name('_UID', 0),
        name('_STA', PRESENT),
        crs(memory32Fixed(false, PC.hpetBase, 0x400)),
      ),
    );
  if (p.fwCfg)
    out.push(device('FWCF', name('_HID', string('QEMU0002')), name('_STA', PRESENT_HIDDEN), crs(io(PC.fwCfgPort, 12))));
  if (p.pvpanicPort !== undefined)
    out.push(
      device(
        'PEVT',
        name('_HID', string('QEMU0001')),
        name('_STA', PRESENT),
        crs(io(p.pvpanicPort, 1)),
        operationRegion('PEOR', 'SystemIO', p.pvpanicPort, 1),
        byteField('PEOR', ['PEPT']),
        method('RDPT', 0, false, ret(ref('PEPT'))),
        method('WRPT', 1, false, store(arg(0), ref('PEPT'))),
      ),
    );
  p.apicIds.forEach((_, i) => {
    const seg = `C${i.toString(16).toUpperCase().padStart(3, '0')}`;
    out.push(device(seg, name('_HID', string('ACPI0007')), name('_UID', i), name('_STA', PRESENT)));
  });
  return out;
}

/** Registers of virtio devices on a machine without PCI. */
const virtioDevices = ({ virtioMmio = [] }: PlatformDescription): Term[] =>
  virtioMmio.map(({ base, irq: line }, i) =>
    device(
      `VR${i.toString(16).toUpperCase().padStart(2, '0')}`,
      name('_HID', string('LNRO0005')),
      name('_UID', i),
      name('_STA', PRESENT),
      crs(memory32Fixed(true, base, MICROVM.virtioBytes), levelInterrupt(line)),
    ),
  );

/** The terms of the whole DSDT. */
export function dsdtTerms(p: PlatformDescription): Term[] {
  if (p.virtioMmio) {
    return [
      scope('\\_SB', ...isaDevices(p), ...virtioDevices(p), ...systemDevices(p)),
      name('\\_S5', pkg([0, 0, 0, 0])),
    ];
  }
  if (!p.pci) return [scope('\\_SB', isaRoot(p), ...systemDevices(p))];
  const q35 = p.chipset === 'q35';
  return [
    // Which interrupt controllers the operating system uses: 0 the 8259s, 1 the I/O APIC.
    ...(q35 ? [name('\\PICM', 0), method('\\_PIC', 1, false, store(arg(0), ref('\\PICM')))] : []),
    scope('\\_SB', q35 ? expressRoot(p) : pciRoot(p), ...systemDevices(p)),
    ...(q35 ? [] : [scope('\\_GPE', method('_E01', 0, false, call('\\_SB.PCI0.PCNT')))]),
    // PIIX4's SLP_TYP value 0 is soft-off. S3 and S4 are not offered: their packages are absent.
    name('\\_S5', pkg([0, 0, 0, 0])),
  ];
}
