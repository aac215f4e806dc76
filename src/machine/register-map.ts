/**
 * A device is a table of registers plus a small class. `RegisterFile` keeps the bytes, applies the masks, and handles
 * accesses that cover part of a register or several, once for all devices:
 *
 *     const PM = defineRegisters(8, [
 *       { name: 'PM1_STS', at: 0, size: 2, w1c: 0x0d31, reset: 0 },
 *       { name: 'PM1_EN', at: 2, size: 2, rsvd: 0xfade },
 *       { name: 'PM_TMR', at: 4, size: 4, ro: 0xffff_ffff },
 *     ]);
 *     this.registers = new RegisterFile(PM, {
 *       read: { PM_TMR: () => this.#timer() },
 *       written: { PM1_EN: () => this.#updateSci() },
 *     });
 */

import { lowBits, sizeMask } from '../base/bits.js';
import { getSized, putSized } from '../base/bytes.js';
import { Bug } from '../base/errors.js';
import type { AccessSize, IoHandler } from '../memory/io.js';
import { type DeviceState, type Stateful, stateOf } from './state.js';

export interface RegisterSpec {
  readonly name: string;
  /** Byte offset. Registers do not overlap; bytes in none read as zero and ignore writes. */
  readonly at: number;
  readonly size: AccessSize;
  /** Default 0. */
  readonly reset?: number;
  /** Bits that a guest's write leaves alone (all others are writable). */
  readonly ro?: number;
  /** Bits that writing one clears; writing zero leaves them alone. */
  readonly w1c?: number;
  /** Reserved bits: read as zero, whatever is written. */
  readonly rsvd?: number;
}

export interface RegisterTable<N extends string = string> {
  /** Bytes of the whole file. */
  readonly size: number;
  readonly registers: readonly (RegisterSpec & { readonly name: N })[];
}

/** Checks and types a table. */
export function defineRegisters<const T extends readonly RegisterSpec[]>(
  size: number,
  registers: T,
): RegisterTable<T[number]['name']> {
  const owner: (string | undefined)[] = [];
  for (const r of registers) {
    if (r.at + r.size > size) throw new Bug(`register ${r.name} lies beyond ${size} bytes`);
    for (let i = r.at; i < r.at + r.size; i++) {
      if (owner[i]) throw new Bug(`registers ${owner[i]} and ${r.name} overlap`);
      owner[i] = r.name;
    }
    if (((r.ro ?? 0) & (r.w1c ?? 0)) !== 0) throw new Bug(`register ${r.name}: bits both ro and w1c`);
  }
  return { size, registers };
}

export interface RegisterHooks<N extends string> {
  /** Gives the value that a read sees, from the stored one; called once per access that touches the register. */
  readonly read?: Partial<Record<N, (stored: number) => number>>;
  /**
   * Called after the masks were applied and the value stored. `written` is what the guest put on the bus (bytes not
   * written are zero), `lanes` the mask of the bytes it wrote.
   */
  readonly written?: Partial<Record<N, (value: number, previous: number, written: number, lanes: number) => void>>;
}

interface Row {
  readonly spec: RegisterSpec;
  readonly read: ((stored: number) => number) | undefined;
  readonly written: ((value: number, previous: number, written: number, lanes: number) => void) | undefined;
}

export class RegisterFile<N extends string = string> implements IoHandler, Stateful {
  readonly sizes = { min: 1, max: 4, unaligned: true } as const;
  /** The stored values, little endian: a snapshot field. */
  readonly bytes: Uint8Array;
  /** Row of each byte. */
  readonly #rows: readonly (Row | undefined)[];
  readonly #byName = new Map<string, RegisterSpec>();
  readonly #state = stateOf<RegisterFile<N>>(this, 1, ['bytes']);

  constructor(
    readonly table: RegisterTable<N>,
    hooks: RegisterHooks<N> = {},
  ) {
    this.bytes = new Uint8Array(table.size);
    const rows: (Row | undefined)[] = new Array(table.size).fill(undefined);
    for (const spec of table.registers) {
      rows.fill(
        { spec, read: hooks.read?.[spec.name], written: hooks.written?.[spec.name] },
        spec.at,
        spec.at + spec.size,
      );
      this.#byName.set(spec.name, spec);
    }
    this.#rows = rows;
    this.reset();
  }

  /** Every register to its reset value; calls no hook. */
  reset(): void {
    this.bytes.fill(0);
    for (const { at, size, reset } of this.table.registers) putSized(this.bytes, at, size, reset ?? 0);
  }

  save(): DeviceState {
    return this.#state.save();
  }

  /** Restores the stored values; calls no hook. */
  load(state: DeviceState): void {
    this.#state.load(state);
  }

  /** The stored value. */
  get(name: N): number {
    const { at, size } = this.#spec(name);
    return getSized(this.bytes, at, size);
  }

  /** Stores without masks or hooks: the device's own side. */
  set(name: N, value: number): void {
    const { at, size } = this.#spec(name);
    putSized(this.bytes, at, size, value);
  }

  /** A guest's read of `size` bytes at any offset. */
  read(offset: number, size: AccessSize): number {
    let value = 0;
    for (let i = 0; i < size; ) {
      const at = offset + i;
      const row = this.#rows[at];
      if (!row) {
        i++;
        continue;
      }
      const { spec } = row;
      const lane = at - spec.at;
      const count = Math.min(spec.size - lane, size - i);
      const stored = getSized(this.bytes, spec.at, spec.size);
      const whole = row.read ? row.read(stored) : stored;
      value |= ((whole >>> (8 * lane)) & laneMask(count)) << (8 * i);
      i += count;
    }
    return value >>> 0;
  }

  /** A guest's write of `size` bytes at any offset. */
  write(offset: number, size: AccessSize, value: number): void {
    for (let i = 0; i < size; ) {
      const at = offset + i;
      const row = this.#rows[at];
      if (!row) {
        i++;
        continue;
      }
      const { spec } = row;
      const lane = at - spec.at;
      const count = Math.min(spec.size - lane, size - i);
      const lanes = (laneMask(count) << (8 * lane)) >>> 0;
      const written = (((value >>> (8 * i)) << (8 * lane)) & lanes) >>> 0;
      this.#store(row, written, lanes);
      i += count;
    }
  }

  #store(row: Row, written: number, lanes: number): void {
    const { spec } = row;
    const previous = getSized(this.bytes, spec.at, spec.size);
    const w1c = spec.w1c ?? 0;
    const writable = lanes & ~(spec.ro ?? 0) & ~w1c;
    const merged = (previous & ~writable) | (written & writable);
    const next = (merged & ~(written & w1c) & ~(spec.rsvd ?? 0) & sizeMask(spec.size)) >>> 0;
    putSized(this.bytes, spec.at, spec.size, next);
    row.written?.(next, previous, written, lanes);
  }

  #spec(name: N): RegisterSpec {
    const spec = this.#byName.get(name);
    if (!spec) throw new Bug(`no register ${name}`);
    return spec;
  }
}

const laneMask = (bytes: number): number => lowBits(8 * bytes);
