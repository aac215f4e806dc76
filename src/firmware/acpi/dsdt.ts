/** The DSDT's content: the machine's devices that no bus enumerates, how PCI interrupts are routed, and power-off. */
import { FOUR_GIB, PC, type PlatformDescription, pciMemoryStart, type SerialPort } from '../platform.js';
import {
  and,
  arg,
  byteField,
  createDWordField,
  device,
  type Expr,
  eisaId,
  int,
  less,
  method,
  name,
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

/** Link devices: which interrupt PIIX3 sends each PCI interrupt line to, in its configuration registers 0x60..0x63. */
function linkDevices(): Term[] {
  const DISABLED = 0x80;
  /** Offset of the interrupt number within an Extended Interrupt descriptor. */
  const NUMBER = 5;
  const links = PC.pirqRoutes.map((_, i) => {
    const route = ref(`PRQ${i}`);
    return device(
      `LNK${'ABCD'[i]}`,
      name('_HID', eisaId('PNP0C0F')),
      name('_UID', i),
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
  });
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

/** The terms of the whole DSDT. */
export function dsdtTerms(p: PlatformDescription): Term[] {
  if (!p.pci) return [scope('\\_SB', isaRoot(p), ...systemDevices(p))];
  return [
    scope('\\_SB', pciRoot(p), ...systemDevices(p)),
    // PIIX4's SLP_TYP value 0 is soft-off. S3 and S4 are not offered: their packages are absent.
    name('\\_S5', pkg([0, 0, 0, 0])),
  ];
}
