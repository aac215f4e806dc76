/**
 * Linux/x86 boot protocol 2.02 and later (kernel documentation, arch/x86/boot): entry at the 64-bit entry point where kernel
 * and processor have one, else at the 32-bit entry point.
 */
import { UserError } from '../../base/errors.js';
import { type BootState, Cr0, Cr4, Efer, flatSegments } from './boot-state.js';
import { cString, type LoadRequest, malformed, requireRam } from './image.js';
import { e820, Low, memoryMap, tablesBase } from './memory-map.js';

/** Offsets in the image's first sectors, and so in boot_params. */
const Header = {
  setupSects: 0x1f1,
  bootFlag: 0x1fe,
  jumpLength: 0x201,
  magic: 0x202,
  version: 0x206,
  typeOfLoader: 0x210,
  loadFlags: 0x211,
  code32Start: 0x214,
  ramdiskImage: 0x218,
  ramdiskSize: 0x21c,
  commandLine: 0x228,
  initrdAddressMax: 0x22c,
  kernelAlignment: 0x230,
  relocatable: 0x234,
  xloadFlags: 0x236,
  commandLineSize: 0x238,
  prefAddress: 0x258,
  initSize: 0x260,
} as const;

/** Offsets in boot_params ("zero page"). */
const Params = {
  size: 0x1000,
  screenInfo: 0,
  acpiRsdp: 0x70,
  altMemK: 0x1e0,
  e820Entries: 0x1e8,
  header: 0x1f1,
  e820Table: 0x2d0,
} as const;

const HDRS = 0x53726448;
const LoadFlags = { loadedHigh: 1, canUseHeap: 0x80 } as const;
const XLF_KERNEL_64 = 1;
/** An undefined loader: 0xff, no id was ever assigned to us. */
const LOADER_ID = 0xff;
const ENTRY_64 = 0x200;
const CLASSIC_LOAD_ADDRESS = 0x100000;
const CLASSIC_INITRD_MAX = 0x37ffffff;
const CLASSIC_COMMAND_LINE_SIZE = 255;
const SECTOR = 512;
const PAGE = 0x1000;

export function isBzImage(bytes: Uint8Array): boolean {
  return bytes.length > Header.version + 2 && viewOf(bytes).getUint32(Header.magic, true) === HDRS;
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Writes kernel, initrd, command line and boot_params into RAM and says how to enter. */
export function loadBzImage(r: LoadRequest): BootState {
  const { bytes } = r.kernel;
  const header = viewOf(bytes);
  const setupSectors = bytes[Header.setupSects] || 4;
  const setupSize = (setupSectors + 1) * SECTOR;
  if (header.getUint16(Header.bootFlag, true) !== 0xaa55) throw malformed(r.kernel, 'the boot sector lacks its mark');
  const version = header.getUint16(Header.version, true);
  const loadFlags = bytes[Header.loadFlags]!;
  if (version < 0x202 || !(loadFlags & LoadFlags.loadedHigh))
    throw malformed(r.kernel, 'a zImage or a kernel from before Linux 2.4 is not supported, use a bzImage');
  if (bytes.length <= setupSize) throw malformed(r.kernel, 'the file is truncated, fetch it again');
  const protectedSize = header.getUint32(0x1f4, true) * 16;
  const body = bytes.subarray(setupSize);
  // The last paragraph may be cut short.
  if (version >= 0x204 && body.length + 15 < protectedSize)
    throw malformed(r.kernel, 'the file is truncated, fetch it again');

  const load = loadAddress(header, version);
  const initSize = version >= 0x20a ? Math.max(header.getUint32(Header.initSize, true), body.length) : body.length;
  requireRam(r, load + initSize);
  r.memory.write(load, body);

  const params = new Uint8Array(Params.size);
  const p = viewOf(params);
  const headerEnd = Math.min(Header.magic + bytes[Header.jumpLength]!, Params.e820Table);
  params.set(bytes.subarray(Params.header, headerEnd), Params.header);
  params[Header.typeOfLoader] = LOADER_ID;
  params[Header.loadFlags] = loadFlags & ~LoadFlags.canUseHeap;
  p.setUint32(Header.code32Start, load, true);

  const limit = version >= 0x206 ? header.getUint32(Header.commandLineSize, true) : CLASSIC_COMMAND_LINE_SIZE;
  const commandLine = cString(r.commandLine);
  if (commandLine.length - 1 > limit)
    throw new UserError(`the kernel takes command lines of at most ${limit} bytes: shorten -append`);
  r.memory.write(Low.commandLine, commandLine);
  p.setUint32(Header.commandLine, Low.commandLine, true);

  placeInitrd(r, p, version, load + initSize);

  const map = memoryMap(r.ram);
  params.set(e820(map), Params.e820Table);
  params[Params.e820Entries] = map.length;
  p.setUint32(Params.altMemK, Math.max(0, tablesBase(r.ram) - CLASSIC_LOAD_ADDRESS) / 1024, true);
  p.setUint32(Params.acpiRsdp, r.rsdp, true);
  if (r.textConsole) describeTextConsole(p);
  r.memory.write(Low.info, params);

  const is64 = version >= 0x20c && (header.getUint16(Header.xloadFlags, true) & XLF_KERNEL_64) !== 0;
  return enter(r, is64 && r.longMode, load);
}

/** Where the protected-mode part goes: where the kernel prefers to run, to save it moving itself. */
function loadAddress(header: DataView, version: number): number {
  if (version < 0x20a) return CLASSIC_LOAD_ADDRESS;
  const preferred = header.getUint32(Header.prefAddress, true);
  return header.getUint32(Header.prefAddress + 4, true) === 0 && preferred >= CLASSIC_LOAD_ADDRESS
    ? preferred
    : CLASSIC_LOAD_ADDRESS;
}

/** The initrd goes as high as kernel and RAM allow, so that it never meets the kernel's own growth. */
function placeInitrd(r: LoadRequest, params: DataView, version: number, kernelEnd: number): void {
  const [initrd, second] = r.modules;
  if (!initrd) return;
  if (second) throw new UserError('a Linux kernel takes one -initrd file: concatenate the archives');
  const max = version >= 0x203 ? params.getUint32(Header.initrdAddressMax, true) : CLASSIC_INITRD_MAX;
  const top = Math.min(max + 1, tablesBase(r.ram));
  const start = Math.floor((top - initrd.bytes.length) / PAGE) * PAGE;
  if (start < kernelEnd)
    throw new UserError(
      `initrd '${initrd.path}' (${Math.ceil(initrd.bytes.length / 1024)} KiB) does not fit above the kernel: raise -m`,
    );
  r.memory.write(start, initrd.bytes);
  params.setUint32(Header.ramdiskImage, start, true);
  params.setUint32(Header.ramdiskSize, initrd.bytes.length, true);
}

/** screen_info: VGA text mode 3, 80 by 25, 16 lines a glyph, cursor at the top left. */
function describeTextConsole(params: DataView): void {
  params.setUint8(0x06, 3);
  params.setUint8(0x07, 80);
  params.setUint8(0x0e, 25);
  params.setUint8(0x0f, 1);
  params.setUint16(0x10, 16, true);
}

function enter(r: LoadRequest, long: boolean, load: number): BootState {
  const { gdt, segments } = flatSegments(long ? 64 : 32);
  r.memory.write(Low.gdt, gdt);
  if (long) r.memory.write(Low.pageTables, identityMap(Low.pageTables));
  return {
    mode: long ? 'long64' : 'protected32',
    pc: long ? load + ENTRY_64 : load,
    registers: { rsi: Low.info, rsp: Low.pageTables },
    segments,
    gdt: { base: Low.gdt, limit: gdt.length - 1 },
    idt: { base: 0, limit: 0 },
    cr0: (Cr0.PE | Cr0.ET | (long ? Cr0.PG : 0)) >>> 0,
    cr3: long ? Low.pageTables : 0,
    cr4: long ? Cr4.PAE : 0,
    efer: long ? Efer.LME | Efer.LMA : 0,
    localApic: [],
    msrs: [],
  };
}

/** Page tables at `base` that map the first 4 GiB to themselves in 2 MiB pages: one PML4, one PDPT, four directories. */
function identityMap(base: number): Uint8Array {
  const DIRECTORIES = 4;
  const PRESENT_WRITABLE = 3;
  const LARGE = 0x80;
  const out = new Uint8Array(PAGE * (2 + DIRECTORIES));
  const view = viewOf(out);
  view.setUint32(0, (base + PAGE) | PRESENT_WRITABLE, true);
  for (let d = 0; d < DIRECTORIES; d++) {
    view.setUint32(PAGE + 8 * d, (base + PAGE * (2 + d)) | PRESENT_WRITABLE, true);
    for (let i = 0; i < 512; i++)
      view.setUint32(PAGE * (2 + d) + 8 * i, (((d * 512 + i) << 21) | LARGE | PRESENT_WRITABLE) >>> 0, true);
  }
  return out;
}
