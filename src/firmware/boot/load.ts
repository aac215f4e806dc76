/** What multiboot and PVH loading share: segments into RAM, modules behind them, entry in flat 32-bit protected mode. */
import { UserError } from '../../base/errors.js';
import { type BootState, Cr0, flatSegments, type GeneralRegister } from './boot-state.js';
import type { ElfSegment } from './elf.js';
import { cString, type LoadRequest, malformed, requireRam } from './image.js';
import { Low, tablesBase } from './memory-map.js';

const PAGE = 0x1000;

/** Loads the segments, zeroes what has no file contents, and returns the end of the highest. */
export function loadSegments(r: LoadRequest, segments: readonly ElfSegment[]): number {
  const ZEROS = new Uint8Array(0x10000);
  let end = 0;
  for (const s of segments) {
    const last = s.physical + s.memorySize;
    if (s.memorySize > 0 && s.physical < Low.end)
      throw malformed(
        r.kernel,
        `it wants to be loaded at 0x${s.physical.toString(16)}, where the loader's own tables are`,
      );
    requireRam(r, last);
    r.memory.write(s.physical, s.bytes);
    for (let at = s.physical + s.bytes.length; at < last; at += ZEROS.length)
      r.memory.write(at, ZEROS.subarray(0, Math.min(ZEROS.length, last - at)));
    end = Math.max(end, last);
  }
  return end;
}

export interface PlacedModule {
  readonly start: number;
  readonly end: number;
  /** Address of the module's command line. */
  readonly commandLine: number;
}

/** Puts modules on pages behind the kernel and all command lines into low memory. */
export function placeModules(
  r: LoadRequest,
  kernelEnd: number,
): { readonly commandLine: number; readonly modules: readonly PlacedModule[] } {
  let text = Low.commandLine;
  const addText = (value: string): number => {
    const at = text;
    const bytes = cString(value);
    if (at + bytes.length > Low.end) throw new UserError('the command lines are longer than 448 KiB: shorten -append');
    r.memory.write(at, bytes);
    text += bytes.length;
    return at;
  };
  const commandLine = addText(r.commandLine);
  let next = Math.max(kernelEnd, 0x100000);
  const modules = r.modules.map((m): PlacedModule => {
    const start = Math.ceil(next / PAGE) * PAGE;
    next = start + m.bytes.length;
    if (next > tablesBase(r.ram)) throw new UserError(`module '${m.path}' does not fit above the kernel: raise -m`);
    r.memory.write(start, m.bytes);
    return { start, end: next, commandLine: addText(m.commandLine ?? '') };
  });
  return { commandLine, modules };
}

/** 32-bit protected mode, flat segments, no paging, interrupts off. */
export function enterProtected(
  r: LoadRequest,
  pc: number,
  registers: Readonly<Partial<Record<GeneralRegister, number>>>,
): BootState {
  const { gdt, segments } = flatSegments(32);
  r.memory.write(Low.gdt, gdt);
  return {
    mode: 'protected32',
    pc,
    registers,
    segments,
    gdt: { base: Low.gdt, limit: gdt.length - 1 },
    idt: { base: 0, limit: 0 },
    cr0: Cr0.PE | Cr0.ET,
    cr3: 0,
    cr4: 0,
    efer: 0,
    localApic: [],
    msrs: [],
  };
}
