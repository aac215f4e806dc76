/** The x86/HVM direct boot ABI ("PVH"): an ELF file with a note that gives its 32-bit entry (Xen, docs/misc/pvh). */
import { ByteWriter } from '../bytes.js';
import type { BootState } from './boot-state.js';
import { parseElf } from './elf.js';
import { type LoadRequest, malformed } from './image.js';
import { enterProtected, loadSegments, placeModules } from './load.js';
import { Low, memoryMap } from './memory-map.js';

const NOTE_OWNER = 'Xen';
const PHYS32_ENTRY = 18;
const START_MAGIC = 0x336ec578;
const START_VERSION = 1;
const START_SIZE = 56;
const MODULE_SIZE = 32;

/** Physical address of the PVH entry, if the file has one. */
export function pvhEntry(bytes: Uint8Array): number | undefined {
  const note = parseElf(bytes)?.notes.find((n) => n.name === NOTE_OWNER && n.type === PHYS32_ENTRY);
  if (!note || note.descriptor.length < 4) return undefined;
  const d = note.descriptor;
  return new DataView(d.buffer, d.byteOffset).getUint32(0, true);
}

export function loadPvh(r: LoadRequest): BootState {
  const elf = parseElf(r.kernel.bytes);
  const entry = pvhEntry(r.kernel.bytes);
  if (!elf || entry === undefined) throw malformed(r.kernel, 'the ELF file is truncated or damaged');
  const { commandLine, modules } = placeModules(r, loadSegments(r, elf.segments));

  const map = memoryMap(r.ram);
  const modulesAt = Low.info + START_SIZE;
  const mapAt = modulesAt + modules.length * MODULE_SIZE;
  const w = new ByteWriter();
  w.u32(START_MAGIC).u32(START_VERSION).u32(0).u32(modules.length);
  w.u64(modules.length > 0 ? modulesAt : 0)
    .u64(commandLine)
    .u64(r.rsdp)
    .u64(mapAt)
    .u32(map.length)
    .u32(0);
  for (const m of modules)
    w.u64(m.start)
      .u64(m.end - m.start)
      .u64(m.commandLine)
      .u64(0);
  for (const m of map) w.u64(m.start).u64(m.length).u32(m.type).u32(0);
  if (Low.info + w.length > Low.commandLine) throw malformed(r.kernel, 'there are too many modules');
  r.memory.write(Low.info, w.finish());
  return enterProtected(r, entry, { rbx: Low.info });
}
