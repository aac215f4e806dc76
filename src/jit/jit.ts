/** The hot tier: queues hot region heads, compiles them in batches, installs and drops their code. */
import { BLOCK, BlockFlag } from '../ir/layout.js';
import { Lowering, type LowerOptions, REGION_TYPE } from './lower.js';
import { type BlockLookup, Region } from './region.js';
import { ModuleWriter } from './wasm/module.js';
import { functionText } from './wasm/text.js';

export interface JitOptions extends LowerOptions {
  readonly memory: WebAssembly.Memory;
  /** The runtime's function table: compiled regions are put behind its own functions. */
  readonly table: WebAssembly.Table;
  /** The runtime's exports: helpers as `h_<name>`, and `flagCondition`. */
  readonly runtime: Readonly<Record<string, WebAssembly.ExportedFunction>>;
  /** The block for code at a linear-memory address under a mode, or 0: then jumps there leave the region. */
  readonly lookup: BlockLookup;
  /** Names of regions by head, for a profiler of the host. */
  readonly nameOf?: (head: number) => string;
  /** Monotonic ns, for the statistics. */
  readonly now: () => number;
}

export interface JitStats {
  /** Regions installed now. */
  regions: number;
  /** Since the start: regions compiled, their member blocks, modules, bytes of modules, time spent. */
  compiled: number;
  blocks: number;
  modules: number;
  bytes: number;
  compileNs: number;
  /** Regions dropped because their code changed, and times everything was dropped. */
  dropped: number;
  resets: number;
}

interface Compiled {
  readonly head: number;
  readonly members: readonly number[];
  readonly slot: number;
  readonly fillsTlb: boolean;
}

/** Regions a module may hold. */
const BATCH = 64;
const TABLE_STEP = 1024;

const VALID = (BLOCK.at['valid'] as number) / 4;
const ENTRY = (BLOCK.at['entry'] as number) / 4;
const FLAGS = (BLOCK.at['flags'] as number) / 4;
const HEAT = (BLOCK.at['heat'] as number) / 4;
const REGION = (BLOCK.at['region'] as number) / 4;

export class Jit {
  readonly stats: JitStats = {
    regions: 0,
    compiled: 0,
    blocks: 0,
    modules: 0,
    bytes: 0,
    compileNs: 0,
    dropped: 0,
    resets: 0,
  };
  /** Receives the text of every compiled function while set (-d out_asm). */
  outAsm: ((head: number, text: string) => void) | undefined;
  private readonly options: JitOptions;
  private readonly lowering: Lowering;
  private readonly writer = new ModuleWriter();
  private queue: number[] = [];
  private readonly freeSlots: number[] = [];
  /** Installed regions by member block. */
  private readonly byBlock = new Map<number, Compiled[]>();
  private readonly imports: WebAssembly.Imports;
  private wordsView: Int32Array;

  constructor(options: JitOptions) {
    this.options = options;
    this.lowering = new Lowering(options);
    this.imports = { env: { memory: options.memory }, h: options.runtime };
    this.wordsView = new Int32Array(options.memory.buffer);
  }

  /** All of memory as it is now. */
  private get words(): Int32Array {
    if (this.wordsView.buffer !== this.options.memory.buffer)
      this.wordsView = new Int32Array(this.options.memory.buffer);
    return this.wordsView;
  }

  /** Region heads that wait for `flushQueue`. */
  get pending(): number {
    return this.queue.length;
  }

  /** A block became hot: the region it heads is to be compiled. */
  request(head: number): void {
    const flags = head / 4 + FLAGS;
    const { words } = this;
    if (((words[flags] as number) & BlockFlag.queued) !== 0) return;
    words[flags] = (words[flags] as number) | BlockFlag.queued;
    this.queue.push(head);
  }

  /** Compiles and installs what was requested; gives the number of regions installed. Not while guest code runs. */
  flushQueue(): number {
    let installed = 0;
    while (this.queue.length > 0) {
      const batch = this.queue.slice(0, BATCH);
      this.queue = this.queue.slice(BATCH);
      installed += this.compile(batch);
    }
    return installed;
  }

  private compile(heads: readonly number[]): number {
    const start = this.options.now();
    const { writer, stats } = this;
    const { words } = this;
    writer.reset();
    const regions: Region[] = [];
    for (const head of heads) {
      const w = head / 4;
      words[w + FLAGS] = (words[w + FLAGS] as number) & ~BlockFlag.queued;
      if (words[w + VALID] === 0) continue;
      const old = this.headedBy(head);
      const region = new Region(words, head, this.options.lookup);
      if (region.blocks.length === 0 || old?.fillsTlb === region.fillsTlb) continue;
      const body = this.lowering.lower(region, words, writer);
      writer.addFunction(REGION_TYPE, body, this.lowering.hints, this.options.nameOf?.(head));
      regions.push(region);
      if (this.outAsm !== undefined) {
        const names = writer.importNames();
        this.outAsm(
          head,
          functionText(body.data.subarray(0, body.length), (i) => names[i] ?? String(i)),
        );
      }
    }
    if (regions.length > 0) {
      const bytes = writer.finish();
      const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), this.imports);
      for (const [i, region] of regions.entries()) {
        this.install(region, instance.exports[i] as WebAssembly.ExportedFunction);
        stats.blocks += region.blocks.length;
      }
      stats.compiled += regions.length;
      stats.modules++;
      stats.bytes += bytes.length;
    }
    stats.compileNs += this.options.now() - start;
    return regions.length;
  }

  private install(region: Region, code: WebAssembly.ExportedFunction): void {
    const { words } = this;
    const old = this.headedBy(region.blocks[0] as number);
    if (old !== undefined) this.drop(old);
    const slot = this.takeSlot();
    this.options.table.set(slot, code);
    const head = region.blocks[0] as number;
    const compiled: Compiled = { head, members: region.blocks, slot, fillsTlb: region.fillsTlb };
    for (const block of region.blocks) {
      const list = this.byBlock.get(block);
      if (list === undefined) this.byBlock.set(block, [compiled]);
      else list.push(compiled);
      words[block / 4 + REGION] = (words[block / 4 + REGION] as number) + 1;
    }
    words[head / 4 + ENTRY] = slot;
    this.stats.regions++;
  }

  /** The installed region with this head. */
  private headedBy(head: number): Compiled | undefined {
    return this.byBlock.get(head)?.find((c) => c.head === head);
  }

  private takeSlot(): number {
    if (this.freeSlots.length === 0) {
      const first = this.options.table.grow(TABLE_STEP);
      for (let i = TABLE_STEP - 1; i >= 0; i--) this.freeSlots.push(first + i);
    }
    return this.freeSlots.pop() as number;
  }

  /** The code of a block has changed: every region with it goes. Running code notices at its next jump after a helper call. */
  invalidated(block: number): void {
    for (const compiled of [...(this.byBlock.get(block) ?? [])]) this.drop(compiled);
  }

  private drop(compiled: Compiled): void {
    const { words } = this;
    const w = compiled.head / 4;
    words[w + ENTRY] = 0;
    words[w + HEAT] = 0;
    for (const member of compiled.members) {
      words[member / 4 + REGION] = (words[member / 4 + REGION] as number) - 1;
      const list = this.byBlock.get(member) as Compiled[];
      if (list.length === 1) this.byBlock.delete(member);
      else list.splice(list.indexOf(compiled), 1);
    }
    this.options.table.set(compiled.slot, null);
    this.freeSlots.push(compiled.slot);
    this.stats.regions--;
    this.stats.dropped++;
  }

  /** Drops everything: no block that was is one any more. */
  reset(): void {
    for (const lists of this.byBlock.values()) {
      for (const compiled of lists) {
        // Each region is in the list of every member: let its head stand for it.
        if (this.byBlock.get(compiled.head) !== lists) continue;
        this.words[compiled.head / 4 + ENTRY] = 0;
        this.options.table.set(compiled.slot, null);
        this.freeSlots.push(compiled.slot);
      }
    }
    this.byBlock.clear();
    this.queue = [];
    this.stats.regions = 0;
    this.stats.resets++;
  }
}
