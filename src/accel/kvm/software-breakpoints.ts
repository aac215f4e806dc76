/**
 * Breakpoints beyond the four that processors have: INT3 in the guest's code while it runs. When all processors stand still the
 * code is as it was, for debuggers and saved states.
 */
import type { KvmProcessor } from './interface.js';

const INT3 = 0xcc;

interface Planted {
  /** Linear-memory address. */
  readonly host: number;
  readonly original: number;
}

export class SoftwareBreakpoints {
  readonly #planted = new Map<bigint, Planted>();
  /** Those that a processor stands on and is about to leave. */
  readonly #leaving: bigint[] = [];

  constructor(
    private readonly memory: WebAssembly.Memory,
    /** Linear-memory address of a guest-physical one; undefined: no RAM or ROM. */
    private readonly hostOf: (physical: number) => number | undefined,
  ) {}

  has(linear: bigint): boolean {
    return this.#planted.has(linear);
  }

  /** A processor goes on from there: nothing may be planted before `left`. */
  leave(linear: bigint): void {
    this.#leaving.push(linear);
  }

  left(linear: bigint): void {
    const at = this.#leaving.indexOf(linear);
    if (at >= 0) this.#leaving.splice(at, 1);
  }

  /** False: nothing is mapped there now. */
  plant(linear: bigint, processor: Pick<KvmProcessor, 'translate'>): boolean {
    if (this.has(linear) || this.#leaving.includes(linear)) return true;
    const physical = processor.translate(linear);
    const host = physical === undefined ? undefined : this.hostOf(Number(physical));
    if (host === undefined) return false;
    const bytes = new Uint8Array(this.memory.buffer);
    this.#planted.set(linear, { host, original: bytes[host]! });
    bytes[host] = INT3;
    return true;
  }

  /** Puts back what was there, but for what the guest has written over. */
  clear(): void {
    const bytes = new Uint8Array(this.memory.buffer);
    // Two addresses may be one byte: the first to be planted knows what was there.
    for (const { host, original } of [...this.#planted.values()].reverse()) {
      if (bytes[host] === INT3) bytes[host] = original;
    }
    this.#planted.clear();
    this.#leaving.length = 0;
  }
}
