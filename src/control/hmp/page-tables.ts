/** `info tlb` and `info mem`: the page tables of an x86 vCPU (Intel SDM vol. 3, 4.3 to 4.5). */

import type { X86Registers } from '../../guest/x86/registers.js';
import type { AddressSpace } from '../../memory/address-space.js';

/** A page as the tables map it. */
export interface MappedPage {
  readonly linear: bigint;
  readonly size: bigint;
  /** The leaf entry's address bits. */
  readonly physical: bigint;
  readonly flags: bigint;
  /** What all levels allow. */
  readonly user: boolean;
  readonly writable: boolean;
}

const P = 1n;
const RW = 2n;
const US = 4n;
const PS = 1n << 7n;
const NX = 1n << 63n;
const ADDRESS_MASK = 0x000f_ffff_ffff_f000n;

interface Scheme {
  /** Bits of the linear address below the topmost table's index, and its entries. */
  readonly shifts: readonly number[];
  readonly indexBits: readonly number[];
  readonly wide: boolean;
  readonly root: bigint;
}

function scheme(r: X86Registers): Scheme | undefined {
  if ((r.get('cr0') & (1n << 31n)) === 0n) return undefined;
  const cr4 = r.get('cr4');
  const cr3 = r.get('cr3');
  if ((cr4 & (1n << 5n)) === 0n)
    return { shifts: [22, 12], indexBits: [10, 10], wide: false, root: cr3 & 0xffff_f000n };
  if ((r.get('efer') & (1n << 10n)) === 0n) {
    return { shifts: [30, 21, 12], indexBits: [2, 9, 9], wide: true, root: cr3 & 0xffff_ffe0n };
  }
  const five = (cr4 & (1n << 12n)) !== 0n;
  return {
    shifts: five ? [48, 39, 30, 21, 12] : [39, 30, 21, 12],
    indexBits: five ? [9, 9, 9, 9, 9] : [9, 9, 9, 9],
    wide: true,
    root: cr3 & ADDRESS_MASK,
  };
}

/** Calls `visit` for every mapped page in order; undefined: paging is off. */
export function walkPages(r: X86Registers, memory: AddressSpace, visit: (page: MappedPage) => void): boolean {
  const s = scheme(r);
  if (!s) return false;
  const bits = s.shifts[0]! + s.indexBits[0]!;
  const canonical = (linear: bigint): bigint =>
    BigInt.asUintN(64, s.shifts.length > 3 ? BigInt.asIntN(bits, linear) : linear);
  const entryBytes = s.wide ? 8 : 4;
  const table = (level: number, at: bigint, base: bigint, user: boolean, writable: boolean): void => {
    const shift = BigInt(s.shifts[level]!);
    const bytes = new Uint8Array(entryBytes << s.indexBits[level]!);
    memory.read(Number(at), bytes);
    const view = new DataView(bytes.buffer);
    for (let i = 0; i < 1 << s.indexBits[level]!; i++) {
      const entry = s.wide ? view.getBigUint64(8 * i, true) : BigInt(view.getUint32(4 * i, true));
      if ((entry & P) === 0n) continue;
      const linear = base | (BigInt(i) << shift);
      // Entries of PAE's topmost table have no permissions.
      const permits = !(s.shifts.length === 3 && level === 0);
      const u = user && (!permits || (entry & US) !== 0n);
      const w = writable && (!permits || (entry & RW) !== 0n);
      const next = s.wide ? entry & ADDRESS_MASK : entry & 0xffff_f000n;
      const last = level === s.shifts.length - 1;
      if (last || (permits && (entry & PS) !== 0n && s.shifts[level]! <= 30)) {
        const size = 1n << shift;
        visit({ linear: canonical(linear), size, physical: next & ~(size - 1n), flags: entry, user: u, writable: w });
      } else table(level + 1, next, linear, u, w);
    }
  };
  table(0, s.root, 0n, true, true);
  return true;
}

const hex16 = (value: bigint): string => BigInt.asUintN(64, value).toString(16).padStart(16, '0');

const FLAGS: readonly (readonly [letter: string, mask: bigint])[] = [
  ['X', NX],
  ['G', 1n << 8n],
  ['P', PS],
  ['D', 1n << 6n],
  ['A', 1n << 5n],
  ['C', 1n << 4n],
  ['T', 1n << 3n],
  ['U', US],
  ['W', RW],
];

/** `info tlb`: one line a page. */
export function pageLine({ linear, physical, flags }: MappedPage): string {
  return `${hex16(linear)}: ${hex16(physical)} ${FLAGS.map(([letter, mask]) => (flags & mask ? letter : '-')).join('')}\n`;
}

/** `info mem`: neighbouring pages with the same permissions as one line. */
export class Ranges {
  #start = 0n;
  #end = 0n;
  #rights = '';

  constructor(private readonly print: (text: string) => void) {}

  add({ linear, size, user, writable }: MappedPage): void {
    const rights = `${user ? 'u' : '-'}r${writable ? 'w' : '-'}`;
    if (rights !== this.#rights || linear !== this.#end) {
      this.finish();
      this.#start = linear;
      this.#rights = rights;
    }
    this.#end = linear + size;
  }

  finish(): void {
    if (this.#rights === '') return;
    this.print(`${hex16(this.#start)}-${hex16(this.#end)} ${hex16(this.#end - this.#start)} ${this.#rights}\n`);
    this.#rights = '';
  }
}
