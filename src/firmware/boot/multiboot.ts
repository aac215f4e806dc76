/** Multiboot 0.6.96 (version 1): kernels that ask for a loaded memory map, modules and a 32-bit entry. */
import { ByteWriter } from '../bytes.js';
import type { BootState } from './boot-state.js';
import { type ElfSegment, parseElf } from './elf.js';
import { cString, type LoadRequest, malformed } from './image.js';
import { enterProtected, loadSegments, placeModules } from './load.js';
import { Low, memoryMap } from './memory-map.js';

const HEADER_MAGIC = 0x1badb002;
const LOADER_MAGIC = 0x2badb002;
const SEARCH_BYTES = 8192;
const Flag = { pageAlign: 1, memoryInfo: 2, videoMode: 4, addresses: 0x10000 } as const;
/** Bits 0..15 of the header's flags must be understood. */
const KNOWN_REQUIREMENTS = Flag.pageAlign | Flag.memoryInfo | Flag.videoMode;
const Info = { memory: 1, bootDevice: 2, commandLine: 4, modules: 8, memoryMap: 0x40, loaderName: 0x200 } as const;
/** Offsets in the information structure. */
const InfoAt = { modulesCount: 20, mapLength: 44, loaderName: 64, size: 120 } as const;
const FIRST_HARD_DISK = 0x8000ffff;

/** Offset of the header, or -1. */
export function multibootHeader(bytes: Uint8Array): number {
  const v = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = Math.min(bytes.length, SEARCH_BYTES) - 12;
  for (let at = 0; at <= end; at += 4) {
    if (v.getUint32(at, true) !== HEADER_MAGIC) continue;
    if (((HEADER_MAGIC + v.getUint32(at + 4, true) + v.getUint32(at + 8, true)) & 0xffffffff) === 0) return at;
  }
  return -1;
}

/** By the header's address fields: an image that is no ELF file ("a.out kludge"). */
function byAddresses(r: LoadRequest, v: DataView, at: number): { entry: number; segments: ElfSegment[] } {
  const { bytes } = r.kernel;
  if (at + 32 > bytes.length) throw malformed(r.kernel, 'the file is truncated');
  const [header, load, loadEnd, bssEnd, entry] = [12, 16, 20, 24, 28].map((o) => v.getUint32(at + o, true)) as [
    number,
    number,
    number,
    number,
    number,
  ];
  const offset = at - (header - load);
  if (offset < 0 || header < load) throw malformed(r.kernel, 'its multiboot header has impossible addresses');
  const fileSize = loadEnd === 0 ? bytes.length - offset : loadEnd - load;
  if (fileSize < 0 || offset + fileSize > bytes.length) throw malformed(r.kernel, 'the file is truncated');
  const memorySize = Math.max(fileSize, bssEnd === 0 ? 0 : bssEnd - load);
  return {
    entry,
    segments: [{ physical: load, virtual: load, bytes: bytes.subarray(offset, offset + fileSize), memorySize }],
  };
}

function byElf(r: LoadRequest): { entry: number; segments: readonly ElfSegment[] } {
  const elf = parseElf(r.kernel.bytes);
  if (!elf) throw malformed(r.kernel, 'the ELF file is truncated or damaged');
  if (elf.bits !== 32)
    throw malformed(r.kernel, 'multiboot starts 32-bit ELF files; convert it with objcopy -O elf32-i386');
  const home = elf.segments.find((s) => elf.entry >= s.virtual && elf.entry < s.virtual + s.memorySize);
  // Where virtual and physical addresses differ, the entry is the physical one.
  const entry = home ? elf.entry - home.virtual + home.physical : elf.entry;
  return { entry, segments: elf.segments };
}

export function loadMultiboot(r: LoadRequest): BootState {
  const { bytes } = r.kernel;
  const at = multibootHeader(bytes);
  const v = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const flags = v.getUint32(at + 4, true);
  if (flags & 0xffff & ~KNOWN_REQUIREMENTS)
    throw malformed(r.kernel, `it needs multiboot features 0x${(flags & 0xffff).toString(16)} that this loader lacks`);
  const { entry, segments } = flags & Flag.addresses ? byAddresses(r, v, at) : byElf(r);
  const kernelEnd = loadSegments(r, segments);
  // As GRUB has it, the first word of a command line is the file's name.
  const { commandLine, modules } = placeModules(
    {
      ...r,
      commandLine: `${r.kernel.path} ${r.commandLine}`,
      modules: r.modules.map((m) => ({ ...m, commandLine: m.commandLine ?? m.path })),
    },
    kernelEnd,
  );

  const w = new ByteWriter();
  const lowerKib = Low.extendedBiosData / 1024;
  const map = memoryMap(r.ram);
  const upper = map.find((m) => m.start === 0x100000)?.length ?? 0;
  w.u32(Info.memory | Info.bootDevice | Info.commandLine | Info.modules | Info.memoryMap | Info.loaderName);
  w.u32(lowerKib)
    .u32(upper / 1024)
    .u32(FIRST_HARD_DISK)
    .u32(commandLine);
  w.zeros(InfoAt.size - w.length);
  w.setU32(InfoAt.modulesCount, modules.length);
  w.setU32(InfoAt.modulesCount + 4, Low.info + w.length);
  for (const m of modules) w.u32(m.start).u32(m.end).u32(m.commandLine).u32(0);
  const mapStart = w.length;
  // Each entry's size does not count the size field itself.
  for (const m of map) w.u32(20).u64(m.start).u64(m.length).u32(m.type);
  w.setU32(InfoAt.mapLength, w.length - mapStart);
  w.setU32(InfoAt.mapLength + 4, Low.info + mapStart);
  w.setU32(InfoAt.loaderName, Low.info + w.length);
  w.bytes(cString('tinamou'));
  if (Low.info + w.length > Low.commandLine) throw malformed(r.kernel, 'there are too many modules');
  r.memory.write(Low.info, w.finish());
  return enterProtected(r, entry, { rax: LOADER_MAGIC, rbx: Low.info });
}
