/**
 * Tables of one cluster each (L2 tables, refcount blocks) that are kept in memory. Changes stay here until the owner writes
 * them back in an order that is safe; so only tables without changes are dropped when the cache is full.
 */
// hot path
import { type BlockNode, type Completion, type Eventually, sequence } from '../node.js';

const SECTOR = 512;

export class Table {
  lastUse = 0;
  /** Bytes that differ from the file: none when `dirtyTo` is 0. */
  dirtyFrom = 0;
  dirtyTo = 0;
  readonly view: DataView;

  constructor(
    readonly offset: number,
    readonly bytes: Uint8Array,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /** Bytes from `from` to `to` were changed. */
  changed(from: number, to: number): void {
    if (this.dirtyTo === 0) {
      this.dirtyFrom = from;
      this.dirtyTo = to;
      return;
    }
    if (from < this.dirtyFrom) this.dirtyFrom = from;
    if (to > this.dirtyTo) this.dirtyTo = to;
  }
}

export class TableCache {
  readonly #file: BlockNode;
  readonly #tableBytes: number;
  readonly #most: number;
  readonly #tables = new Map<number, Table>();
  readonly #loading = new Map<number, Promise<Table>>();
  readonly #dirty = new Set<Table>();
  #clock = 0;
  #last: Table | undefined;

  constructor(file: BlockNode, tableBytes: number, capacityBytes: number) {
    this.#file = file;
    this.#tableBytes = tableBytes;
    this.#most = Math.max(4, Math.floor(capacityBytes / tableBytes));
  }

  get dirty(): boolean {
    return this.#dirty.size > 0;
  }

  /** So many changed tables that they should be written back. */
  get crowded(): boolean {
    return this.#dirty.size > this.#most / 2;
  }

  /** Whether some of the bytes are in a table that is here. */
  overlaps(offset: number, length: number): boolean {
    const size = this.#tableBytes;
    const end = offset + length;
    if (this.#tables.size * size < length) {
      for (const at of this.#tables.keys()) if (at < end && offset < at + size) return true;
      return false;
    }
    for (let at = offset - (offset % size); at < end; at += size) if (this.#tables.has(at)) return true;
    return false;
  }

  /** The table, when it is here. */
  peek(offset: number): Table | undefined {
    if (this.#last?.offset === offset) return this.#last;
    const table = this.#tables.get(offset);
    if (table) {
      table.lastUse = ++this.#clock;
      this.#last = table;
    }
    return table;
  }

  load(offset: number): Eventually<Table> {
    const known = this.peek(offset) ?? this.#loading.get(offset);
    if (known) return known;
    const bytes = new Uint8Array(this.#tableBytes);
    const reading = this.#file.read(offset, bytes);
    if (!reading) return this.#add(new Table(offset, bytes));
    const loading = reading
      .then(() => this.#tables.get(offset) ?? this.#add(new Table(offset, bytes)))
      .finally(() => this.#loading.delete(offset));
    this.#loading.set(offset, loading);
    return loading;
  }

  /** A new table, with nothing of the file's. */
  create(offset: number, bytes = new Uint8Array(this.#tableBytes)): Table {
    this.drop(offset);
    const table = this.#add(new Table(offset, bytes));
    this.change(table, 0, this.#tableBytes);
    return table;
  }

  change(table: Table, from: number, to: number): void {
    if (table.dirtyTo === 0) this.#dirty.add(table);
    table.changed(from, to);
  }

  /** Forgets a table, and what was changed in it. */
  drop(offset: number): void {
    const table = this.#tables.get(offset);
    if (!table) return;
    this.#dirty.delete(table);
    this.#tables.delete(offset);
    if (this.#last === table) this.#last = undefined;
  }

  dropAll(): void {
    this.#dirty.clear();
    this.#tables.clear();
    this.#last = undefined;
  }

  /** Writes what was changed, in whole sectors. A failed write leaves its table changed. */
  writeBack(): Completion {
    for (const table of this.#dirty) {
      const from = Math.floor(table.dirtyFrom / SECTOR) * SECTOR;
      const to = Math.min(this.#tableBytes, Math.ceil(table.dirtyTo / SECTOR) * SECTOR);
      const done = this.#file.write(table.offset + from, table.bytes.slice(from, to));
      if (done) {
        // Changes made while the write is under way count as new ones.
        const { dirtyFrom, dirtyTo } = table;
        this.#clean(table);
        return sequence(
          done.catch((error: unknown) => {
            this.change(table, dirtyFrom, dirtyTo);
            throw error;
          }),
          () => this.writeBack(),
        );
      }
      this.#clean(table);
    }
    return undefined;
  }

  #clean(table: Table): void {
    table.dirtyTo = 0;
    this.#dirty.delete(table);
  }

  #add(table: Table): Table {
    if (this.#tables.size >= this.#most) this.#evict();
    this.#tables.set(table.offset, table);
    table.lastUse = ++this.#clock;
    this.#last = table;
    return table;
  }

  /** Drops the quarter of the unchanged tables that was not used for longest. */
  #evict(): void {
    const clean = [...this.#tables.values()].filter((t) => t.dirtyTo === 0).sort((a, b) => a.lastUse - b.lastUse);
    for (const table of clean.slice(0, Math.ceil(clean.length / 4))) this.#tables.delete(table.offset);
  }
}
