/** A bare runtime with hand-made blocks: runs them on the interpreter or as compiled regions, for comparing the two. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { type CompilerSetup, type CompileThread, compilerOptions } from '../../src/accel/tcg/compiler.js';
import { X86_64 } from '../../src/guest/x86/index.js';
import { Mode, X86 } from '../../src/guest/x86/state.js';
import { type BlockBuilder, TEMP0 } from '../../src/ir/builder.js';
import {
  BLOCK,
  ENTRY_SHIFT,
  FLAT_RANGE,
  FlatFlag,
  MACHINE,
  MMU_MODES,
  TEMP_COUNT,
  TLB_BYTES,
  TLB_ENTRIES,
  TLB_ENTRY,
  VCPU,
  WHOLE_BLOCK,
} from '../../src/ir/layout.js';
import { OP_BYTES } from '../../src/ir/ops.js';
import { Jit } from '../../src/jit/jit.js';
import { RegionExit } from '../../src/jit/lower-frame.js';

const module = new WebAssembly.Module(readFileSync(new URL('../../runtime/x86.wasm', import.meta.url)));

/** No pc at which the interpreter is to stop. */
const NOWHERE = -1n;
const MB = 1 << 20;
export const CPU = MB;
const MACHINE_AT = MB + 0x40000;
const FLAT_AT = MACHINE_AT + 0x1000;
const TLB_AT = 8 * MB;
const JUMP_CACHE_AT = 3 * MB;
const BLOCK_HASH_AT = 4 * MB;
const CODE_PAGES_AT = 5 * MB;
const GRANULES_AT = 5 * MB + 0x80000;
const DIRTY_AT = 5 * MB + 0x180000;
const WRITABLE_AT = DIRTY_AT + 0x40000;
const BLOCKS_AT = 12 * MB;
/** Guest RAM: linear = physical address 0 is here. */
export const RAM = 16 * MB;
const RAM_BYTES = MB / 4;
const MEMORY_PAGES = (RAM + RAM_BYTES) / 65536;

export const GENERATION = 5;
export const VECTOR_BASE_SLOT = (X86.at['vectorBase'] as number) / 8;
const at = (layout: { at: Readonly<Record<string, number>> }, field: string): number => layout.at[field] as number;

const ANY_VCPU: CompilerSetup = { guest: X86_64.name };
/** The rig runs with the second of the TLBs, whatever its mode. */
export const ONLY_VCPU: CompilerSetup = {
  ...ANY_VCPU,
  onlyVcpu: { state: CPU, tlb: TLB_AT + TLB_ENTRIES * TLB_ENTRY.size, jumpCache: JUMP_CACHE_AT },
};

/** What interpreter and compiled code must agree on: state slots by number, RAM, what ended the run. */
export interface Outcome {
  readonly state: BigUint64Array;
  readonly ram: Uint8Array;
  readonly end: string;
}

interface Placed {
  readonly block: number;
}

export class Rig {
  readonly memory = new WebAssembly.Memory({ initial: MEMORY_PAGES, maximum: 65536, shared: true });
  readonly words = new Int32Array(this.memory.buffer);
  readonly bytes = new Uint8Array(this.memory.buffer);
  readonly view = new DataView(this.memory.buffer);
  readonly jit: Jit;
  readonly exports: Readonly<Record<string, WebAssembly.ExportedFunction>>;
  readonly table: WebAssembly.Table;
  readonly mode: number = Mode.cs64 | Mode.lma | Mode.protected | Mode.osfxsr;
  private nextBlock = BLOCKS_AT;
  private readonly placed = new Map<number, Placed>();
  sideExits = 0;
  /** Blocks that indirect jumps are said to have led to. */
  indirect: readonly number[] = [];

  constructor(
    private readonly icount = false,
    anyVcpu = false,
    thread?: CompileThread,
  ) {
    const zero = (): number => 0;
    const env = new Proxy<Record<string, WebAssembly.ImportValue>>(
      { memory: this.memory },
      { get: (have, name: string) => have[name] ?? zero },
    );
    const { exports } = new WebAssembly.Instance(module, { env });
    this.exports = exports as Readonly<Record<string, WebAssembly.ExportedFunction>>;
    this.table = exports['table'] as WebAssembly.Table;
    this.jit = new Jit({
      memory: this.memory,
      table: this.table,
      runtime: this.exports,
      ...compilerOptions(X86_64, anyVcpu ? ANY_VCPU : ONLY_VCPU),
      thread,
      x87Control: () => this.view.getUint32(CPU + at(X86, 'fcw'), true),
      indirectTargets: () => this.indirect,
      lookup: (host) => this.placed.get(host - RAM)?.block ?? 0,
      icount,
      split: () => false,
      minRuns: 0,
      entryHeat: 1,
      deferral: 0,
      now: () => 0,
    });
    this.reset();
  }

  /** Forgets blocks and puts the machine into a known state; RAM of pages 16 to 18 but not 19 is in the TLB. */
  reset(): void {
    this.jit.reset();
    this.placed.clear();
    this.indirect = [];
    this.nextBlock = BLOCKS_AT;
    this.bytes.fill(0, CPU, BLOCKS_AT);
    const set = (base: number, layout: typeof VCPU, field: string, value: number): void =>
      this.view.setUint32(base + at(layout, field), value, true);
    set(CPU, VCPU, 'machine', MACHINE_AT);
    set(CPU, VCPU, 'tlb', TLB_AT);
    set(CPU, VCPU, 'mmuIndex', 1);
    set(CPU, VCPU, 'tlbGeneration', GENERATION);
    set(CPU, VCPU, 'jumpCache', JUMP_CACHE_AT);
    set(CPU, VCPU, 'mode', this.mode);
    set(MACHINE_AT, MACHINE, 'flat', FLAT_AT);
    set(MACHINE_AT, MACHINE, 'flatCount', 1);
    set(MACHINE_AT, MACHINE, 'codePages', CODE_PAGES_AT);
    set(MACHINE_AT, MACHINE, 'codeGranules', GRANULES_AT);
    set(MACHINE_AT, MACHINE, 'dirty', DIRTY_AT);
    set(MACHINE_AT, MACHINE, 'writable', WRITABLE_AT);
    set(MACHINE_AT, MACHINE, 'blockHash', BLOCK_HASH_AT);
    set(MACHINE_AT, MACHINE, 'hotThreshold', 0xffffffff);
    set(MACHINE_AT, MACHINE, 'icount', this.icount ? 1 : 0);
    set(MACHINE_AT, MACHINE, 'vcpuCount', 1);
    set(MACHINE_AT, MACHINE, 'vcpus', CPU);
    this.view.setBigUint64(FLAT_AT + at(FLAT_RANGE, 'last'), BigInt(RAM_BYTES - 1), true);
    set(FLAT_AT, FLAT_RANGE, 'flags', FlatFlag.ramRead | FlatFlag.ramWrite);
    set(FLAT_AT, FLAT_RANGE, 'host', RAM);
    this.exports['flatViewChanged']?.();
    for (const page of [16, 17, 18]) this.mapPage(page);
  }

  mapPage(page: number): void {
    const entry = TLB_AT + (TLB_ENTRIES + (page & (TLB_ENTRIES - 1))) * TLB_ENTRY.size;
    const tag = BigInt(page) * 4096n + BigInt(GENERATION);
    this.view.setBigUint64(entry + at(TLB_ENTRY, 'read'), tag, true);
    this.view.setBigUint64(entry + at(TLB_ENTRY, 'write'), tag, true);
    this.view.setUint32(entry + at(TLB_ENTRY, 'addend'), RAM, true);
    const hosts = TLB_AT + MMU_MODES * TLB_ENTRIES * TLB_ENTRY.size;
    this.bytes[WRITABLE_AT + RAM / 4096 + page] = 1;
    this.view.setUint32(hosts + (TLB_ENTRIES + (page & (TLB_ENTRIES - 1))) * 4, RAM / 4096 + page, true);
  }

  /** Enters what the builder holds as the block at guest address `offset`. */
  place(offset: number, builder: BlockBuilder, bytes: number): number {
    const words = builder.words.slice(0, builder.count * 4);
    const block = this.placeWords(offset, words, bytes);
    this.placed.set(offset, { block });
    return block;
  }

  /** Runs the passes on what the builder holds. */
  optimise(builder: BlockBuilder): void {
    const at = this.nextBlock;
    this.words.set(builder.words.subarray(0, builder.count * 4), at / 4);
    builder.count = this.exports['optimise']?.(at, builder.count) as number;
    builder.words.set(this.words.subarray(at / 4, at / 4 + builder.count * 4));
  }

  private placeWords(offset: number, words: Int32Array, bytes: number): number {
    const block = this.nextBlock;
    this.nextBlock += BLOCK.size + words.length * 4;
    const head = block / 4;
    this.words.fill(0, head, head + BLOCK.size / 4);
    this.words[head + at(BLOCK, 'host') / 4] = RAM + offset;
    this.words[head + at(BLOCK, 'mode') / 4] = this.mode;
    this.view.setUint16(block + at(BLOCK, 'bytes'), bytes, true);
    this.view.setUint16(block + at(BLOCK, 'instructions'), 1, true);
    this.words[head + at(BLOCK, 'ops') / 4] = words.length / 4;
    this.words[head + at(BLOCK, 'valid') / 4] = 1;
    this.words.set(words, head + BLOCK.size / 4);
    this.exports['fuse']?.(block + BLOCK.size, words.length / 4);
    return block;
  }

  get pc(): number {
    return Number(this.view.getBigUint64(CPU + at(VCPU, 'pc'), true));
  }
  set pc(value: number) {
    this.view.setBigUint64(CPU + at(VCPU, 'pc'), BigInt(value), true);
  }

  /** Runs from the pc in the header until it names no block, at most `limit` blocks; compiled regions only when `compiled`. */
  run(compiled: boolean, limit = 100000): Outcome {
    const field = (name: string): number => this.view.getUint32(CPU + at(VCPU, name), true);
    let resume = 0;
    let inside = false;
    let end = 'limit';
    for (let n = 0; n < limit; n++) {
      const block = inside ? field('sideBlock') : (this.placed.get(this.pc)?.block ?? 0);
      if (block === 0) {
        end = 'left';
        break;
      }
      const entry = this.words[(block + at(BLOCK, 'entry')) / 4] as number;
      let result: number;
      if (entry !== 0 && compiled && !inside) {
        const code = this.table.get(entry & ((1 << ENTRY_SHIFT) - 1)) as WebAssembly.ExportedFunction;
        result = code(CPU, entry >>> ENTRY_SHIFT) as number;
        if (result === RegionExit.side) {
          this.sideExits++;
          inside = true;
          resume = field('sideOp') === WHOLE_BLOCK ? 0 : field('sideBlock') + BLOCK.size + field('sideOp') * OP_BYTES;
          continue;
        }
        if (result === RegionExit.fault) result = 1;
      } else {
        result = this.exports['interpret']?.(CPU, block, resume, NOWHERE) as number;
        resume = 0;
        inside = false;
      }
      if (result !== 0) {
        end = `result ${result}`;
        break;
      }
    }
    return { state: this.comparedState(), ram: this.bytes.slice(RAM, RAM + RAM_BYTES), end };
  }

  /** State without temporaries and statistics. */
  private comparedState(): BigUint64Array {
    const state = new BigUint64Array(this.bytes.slice(CPU, CPU + X86.size).buffer);
    state.fill(0n, TEMP0, TEMP0 + TEMP_COUNT);
    state.fill(0n, Math.floor(at(VCPU, 'jumped') / 8), VCPU.size / 8);
    // Where packed results wait for their exceptions: only helpers use it.
    const scratch = at(X86, 'vtemp') / 8 + 7 * 8;
    state.fill(0n, scratch, scratch + 8);
    return state;
  }

  /** Saves state and RAM; the function given back restores them (not the TLB: both runs may fill it alike). */
  snapshot(): () => void {
    const state = this.bytes.slice(CPU, CPU + X86.size);
    const tlb = this.bytes.slice(TLB_AT, TLB_AT + TLB_BYTES);
    const ram = this.bytes.slice(RAM, RAM + RAM_BYTES);
    return () => {
      this.bytes.set(state, CPU);
      this.bytes.set(tlb, TLB_AT);
      this.bytes.set(ram, RAM);
    };
  }
}

/** Runs both ways from the same state: all must be the same after it. */
export function compare(rig: Rig, what: string): void {
  const restore = rig.snapshot();
  const expected = rig.run(false);
  restore();
  const actual = rig.run(true);
  assert.equal(actual.end, expected.end, what);
  for (const [slot, value] of expected.state.entries()) {
    if (actual.state[slot] !== value)
      assert.fail(
        `${what}: slot ${slot}: compiled ${actual.state[slot]?.toString(16)}, interpreter ${value.toString(16)}`,
      );
  }
  assert.ok(Buffer.from(actual.ram).equals(Buffer.from(expected.ram)), `${what}: memory`);
}
