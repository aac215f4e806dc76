/** Where things are in a machine's one linear memory. */
import { UserError } from '../../base/errors.js';
import { MAX_BLOCK_OPS } from '../../ir/builder.js';
import { BLOCK_HASH, FLAT_RANGE, JUMP_CACHE_ENTRIES, JUMP_ENTRY, MACHINE, TLB_BYTES } from '../../ir/layout.js';
import { OP_BYTES } from '../../ir/ops.js';

const WASM_PAGE = 65536;
/** The runtime's own constants lie below. */
const RUNTIME_BYTES = 1 << 20;
export const MAX_FLAT_RANGES = 2048;
/** Room for translated blocks: a boot to a shell takes 17 MiB. It is touched only as it fills; then all of them are forgotten. */
const CODE_BYTES = 96 << 20;
const ALL_PAGES = 2 ** 20; // 4 GiB / 4096

const align = (n: number, to: number): number => Math.ceil(n / to) * to;

export class LinearMemory {
  readonly memory: WebAssembly.Memory;
  readonly machine: number;
  readonly vcpus: number[] = [];
  readonly tlbs: number[] = [];
  readonly jumpCaches: number[] = [];
  readonly flat: readonly [number, number];
  readonly codePages: number;
  readonly codeGranules: number;
  readonly dirty: number;
  readonly writable: number;
  readonly blockHash: number;
  /** Where the translator puts a block's ops. */
  readonly ops: number;
  readonly code: number;
  readonly codeEnd: number;
  #next = RUNTIME_BYTES;

  constructor(vcpus: number, stateSize: number) {
    this.memory = new WebAssembly.Memory({ initial: RUNTIME_BYTES / WASM_PAGE, maximum: 65536, shared: true });
    this.machine = this.#reserve(MACHINE.size);
    for (let i = 0; i < vcpus; i++) {
      this.vcpus.push(this.#reserve(stateSize));
      this.tlbs.push(this.#reserve(TLB_BYTES));
      this.jumpCaches.push(this.#reserve(JUMP_CACHE_ENTRIES * JUMP_ENTRY.size));
    }
    this.flat = [this.#reserve(MAX_FLAT_RANGES * FLAT_RANGE.size), this.#reserve(MAX_FLAT_RANGES * FLAT_RANGE.size)];
    this.codePages = this.#reserve(ALL_PAGES * 4);
    this.codeGranules = this.#reserve(ALL_PAGES * 8);
    this.dirty = this.#reserve(ALL_PAGES);
    this.writable = this.#reserve(ALL_PAGES);
    this.blockHash = this.#reserve(BLOCK_HASH * 4);
    this.ops = this.#reserve(MAX_BLOCK_OPS * OP_BYTES);
    this.code = this.#reserve(CODE_BYTES);
    this.codeEnd = this.code + CODE_BYTES;
    this.#grow();
  }

  /** What the next `allocate` of as many bytes will give, if it aligns them to pages: they are there already. */
  ahead(bytes: number): number {
    const next = this.#next;
    try {
      return this.allocate(bytes, 4096);
    } finally {
      this.#next = next;
    }
  }

  /** Zeroed bytes for RAM or ROM. `base`: what addresses are relative to that are to be multiples of `alignment`. */
  allocate(bytes: number, alignment: number, base = 0): number {
    const at = align(this.#next + base, Math.max(alignment, 4096)) - base;
    if (at + bytes > 65535 * WASM_PAGE) {
      const free = Math.floor((65535 * WASM_PAGE - at) / 2 ** 20);
      throw new UserError(
        `cannot set up guest memory: ${Math.ceil(bytes / 2 ** 20)} MiB asked for, ${free} MiB left of the 4 GiB that a machine's memory can have; give a smaller -m`,
      );
    }
    this.#next = at + bytes;
    this.#grow();
    return at;
  }

  /** Pages (of 4096 bytes) that exist. */
  get pages(): number {
    return this.memory.buffer.byteLength / 4096;
  }

  #reserve(bytes: number): number {
    const at = align(this.#next, 4096);
    this.#next = at + bytes;
    return at;
  }

  #grow(): void {
    const missing = Math.ceil((this.#next - this.memory.buffer.byteLength) / WASM_PAGE);
    if (missing <= 0) return;
    try {
      this.memory.grow(missing);
    } catch {
      throw new UserError(
        `cannot set up guest memory: the host gives no ${Math.ceil((missing * WASM_PAGE) / 2 ** 20)} MiB more; give a smaller -m`,
      );
    }
  }
}
