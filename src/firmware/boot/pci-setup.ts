/**
 * What PC firmware does to the PCI bus (PCI Local Bus Specification 3.0, chapter 6): find every function, size and place its
 * BARs, route its interrupt pin, switch decoding on. Bus 0 only: the PC has no bridges to other buses yet.
 */

import { UserError } from '../../base/errors.js';
import type { AccessSize } from '../../memory/io.js';
import { ich9PirqOf, pirqOf } from '../acpi/dsdt.js';
import { PC, type PlatformDescription, type PortIo, pciWindowStart } from '../platform.js';

/** Configuration mechanism #1. */
export class PciConfig {
  constructor(private readonly ports: PortIo) {}

  private select(slot: number, fn: number, register: number): number {
    this.ports.write(0xcf8, 4, (0x80000000 | (slot << 11) | (fn << 8) | (register & 0xfc)) >>> 0);
    return 0xcfc + (register & 3);
  }
  read(slot: number, fn: number, register: number, size: AccessSize): number {
    return this.ports.read(this.select(slot, fn, register), size);
  }
  write(slot: number, fn: number, register: number, size: AccessSize, value: number): void {
    this.ports.write(this.select(slot, fn, register), size, value);
  }
}

export interface PciFunction {
  readonly slot: number;
  readonly fn: number;
  readonly vendor: number;
  readonly device: number;
  /** Class and subclass. */
  readonly class: number;
}

const Register = {
  vendor: 0,
  command: 4,
  class: 0x0a,
  headerType: 0x0e,
  bar0: 0x10,
  rom: 0x30,
  interruptLine: 0x3c,
  interruptPin: 0x3d,
} as const;
const Command = { io: 1, memory: 2, serr: 0x100 } as const;
const BARS = 6;
/** A bridge has two, and its expansion ROM elsewhere. */
const BRIDGE_BARS = 2;
const PCI_BRIDGE = 0x0604;

/** Every function on bus 0, in order. */
export function enumerate(config: PciConfig): PciFunction[] {
  const out: PciFunction[] = [];
  for (let slot = 0; slot < 32; slot++) {
    for (let fn = 0; fn < 8; fn++) {
      const id = config.read(slot, fn, Register.vendor, 4);
      if ((id & 0xffff) !== 0xffff)
        out.push({ slot, fn, vendor: id & 0xffff, device: id >>> 16, class: config.read(slot, fn, Register.class, 2) });
      if (fn === 0 && ((id & 0xffff) === 0xffff || !(config.read(slot, 0, Register.headerType, 1) & 0x80))) break;
    }
  }
  return out;
}

interface Bar {
  readonly at: PciFunction;
  readonly register: number;
  readonly space: 'io' | 'memory';
  readonly wide: boolean;
  readonly size: number;
}

function barsOf(config: PciConfig, at: PciFunction): Bar[] {
  const out: Bar[] = [];
  const probe = (register: number): number => {
    config.write(at.slot, at.fn, register, 4, register === Register.rom ? 0xfffff800 : 0xffffffff);
    const answer = config.read(at.slot, at.fn, register, 4);
    config.write(at.slot, at.fn, register, 4, 0);
    return answer;
  };
  const length = (mask: number): number => (mask & -mask) >>> 0;
  const bridge = at.class === PCI_BRIDGE;
  for (let i = 0; i < (bridge ? BRIDGE_BARS : BARS); i++) {
    const register = Register.bar0 + 4 * i;
    const answer = probe(register);
    if (answer === 0) continue;
    if (answer & 1) {
      // Upper halves of port BARs may be hard-wired to zero.
      out.push({ at, register, space: 'io', wide: false, size: length((answer | 0xffff0000) & ~3) });
      continue;
    }
    const wide = (answer & 6) === 4;
    let size = length(answer & ~15);
    if (wide) {
      const high = probe(register + 4);
      if (size === 0) size = length(high) * 0x1_0000_0000;
      i++;
    }
    if (size > 0) out.push({ at, register, space: 'memory', wide, size });
  }
  if (bridge) return out;
  const rom = probe(Register.rom) & ~0x7ff;
  if (rom !== 0) out.push({ at, register: Register.rom, space: 'memory', wide: false, size: length(rom) });
  return out;
}

/** Aligned places taken downwards from `end`, largest first so that nothing is lost between them. */
class Window {
  constructor(
    private readonly start: number,
    private end: number,
  ) {}

  take(size: number): number | undefined {
    const at = Math.floor((this.end - size) / size) * size;
    if (at < this.start) return undefined;
    this.end = at;
    return at;
  }
}

const MEMORY_GRANULE = 0x1000;
/** A BAR at the very end of the ports could not be told from one that is being sized: it decodes nothing. */
const IO_WINDOW_END = 0xff00;
const HIGH_WINDOW_END = 0x10_0000_0000;

/** Places all BARs; returns what it found. */
export function assignPciResources(
  ports: PortIo,
  p: Pick<PlatformDescription, 'ram' | 'chipset'>,
): readonly PciFunction[] {
  const config = new PciConfig(ports);
  const functions = enumerate(config);
  const bars = functions.flatMap((f) => (f.class === HOST_BRIDGE ? [] : barsOf(config, f)));
  bars.sort((a, b) => b.size - a.size);
  const windows = {
    io: new Window(PC.pciIoStart, IO_WINDOW_END),
    memory: new Window(pciWindowStart(p), PC.pciMemoryEnd),
    high: new Window(0x1_0000_0000 + p.ram.above4g, HIGH_WINDOW_END),
  };
  for (const bar of bars) {
    const size = bar.space === 'memory' ? Math.max(bar.size, MEMORY_GRANULE) : bar.size;
    const place = windows[bar.space].take(size) ?? (bar.wide ? windows.high.take(size) : undefined);
    if (place === undefined)
      throw new UserError(
        `no room for the PCI resources of the device in slot ${bar.at.slot} (${bar.size} bytes): use fewer devices`,
      );
    config.write(bar.at.slot, bar.at.fn, bar.register, 4, place % 0x1_0000_0000);
    if (bar.wide) config.write(bar.at.slot, bar.at.fn, bar.register + 4, 4, Math.floor(place / 0x1_0000_0000));
  }
  for (const f of functions) {
    const pin = config.read(f.slot, f.fn, Register.interruptPin, 1);
    if (pin >= 1 && pin <= 4) config.write(f.slot, f.fn, Register.interruptLine, 1, pinRoute(p, f.slot, pin - 1));
    const command = config.read(f.slot, f.fn, Register.command, 2);
    config.write(f.slot, f.fn, Register.command, 2, command | Command.io | Command.memory | Command.serr);
  }
  return functions;
}

const HOST_BRIDGE = 0x0600;

/** The interrupt that a pin arrives at. Links E to H of the ICH9 are routed as A to D. */
const pinRoute = (p: Pick<PlatformDescription, 'chipset'>, slot: number, pin: number): number =>
  PC.pirqRoutes[p.chipset === 'q35' ? ich9PirqOf(slot, pin) & 3 : pirqOf(slot, pin)]!;
