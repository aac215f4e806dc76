/** The hot tier: queues hot region heads, compiles them in batches, installs and drops their code. */
import {
  BLOCK,
  BlockFlag,
  ENTRY_SHIFT,
  JUMP_CACHE_ENTRIES,
  JUMP_ENTRY,
  TLB_ENTRIES,
  TLB_ENTRY,
  VCPU,
} from '../ir/layout.js';
import { CodeBudget, type CodeModule } from './code-budget.js';
import { type CompiledJob, type CompileThread, RegionCompiler } from './compiler.js';
import type { LowerOptions } from './lower-frame.js';
import { type BlockLookup, type IndirectTargets, type Locate, MAX_ENTRIES, Region, roomOf } from './region.js';

export interface JitOptions extends LowerOptions {
  readonly memory: WebAssembly.Memory;
  /** The runtime's function table: compiled regions are put behind its own functions. */
  readonly table: WebAssembly.Table;
  /** The runtime's exports: helpers as `h_<name>`, and `flagCondition`. */
  readonly runtime: Readonly<Record<string, WebAssembly.ExportedFunction>>;
  /** The block for code at a linear-memory address under a mode, or 0: then jumps there leave the region. */
  readonly lookup: BlockLookup;
  readonly indirectTargets: IndirectTargets;
  /**
   * Translates `blocks` anew so that they end where `head` begins. False when nothing came of it: no room, or that was tried.
   */
  readonly split: (head: number, blocks: readonly number[]) => boolean;
  /** Blocks that have run less often are no part of a region that others head. */
  readonly minRuns: number;
  /** A member entered so often becomes an entry of its region. */
  readonly entryHeat: number;
  /** How many more entries a head that is part of other regions must have to be compiled. */
  readonly deferral: number;
  /** Compiles beside guest code. */
  readonly thread?: CompileThread | undefined;
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
  /** Without what another thread did meanwhile, and how many modules that has compiled. */
  compileNs: number;
  away: number;
  /** Regions dropped because their code changed, or for others; and times everything was dropped. */
  dropped: number;
  resets: number;
}

interface Compiled {
  readonly head: number;
  /** Blocks that it is entered at, with the head. */
  readonly entries: readonly number[];
  /** Different blocks in it. */
  readonly members: readonly number[];
  /** Those of them that are there by themselves, not only as part of a callee in line. */
  readonly own: ReadonlySet<number>;
  /** Blocks in it; some callees are there once for each call. */
  readonly size: number;
  /** Ops that it may have. */
  readonly room: number;
  readonly slot: number;
  readonly fillsTlb: boolean;
  readonly origin: Origin;
  /** Code in reach that had not run when the region was compiled. */
  readonly unseen: readonly number[];
  /** Pages in which targets of its indirect jumps were looked for. */
  readonly indirectPages: readonly number[];
  /** How often it has been compiled since its head became hot. */
  readonly version: number;
  readonly module: CodeModule<Compiled>;
}

/** Where a head was seen to be run: vCPU state and pc; cpu 0: unknown. */
interface Origin {
  readonly cpu: number;
  readonly low: number;
  readonly high: number;
}
const NOWHERE: Origin = { cpu: 0, low: 0, high: 0 };

/** A region as it was when it was formed, and where its head was seen. */
interface Formed {
  readonly region: Region;
  readonly origin: Origin;
}

/** Of a batch: the hot blocks, and those that regions formed so far are entered at. */
interface Heads {
  readonly hot: ReadonlySet<number>;
  readonly taken: Set<number>;
}

/** A block's key: linear-memory address of its code, and mode. */
interface Place {
  readonly host: number;
  readonly mode: number;
}

interface Request {
  readonly head: number;
  readonly origin: Origin;
}

/** A head to be compiled. */
interface Asked {
  readonly place: Place;
  readonly origin: Origin;
  readonly surveyed: Region | undefined;
}

/** A region is compiled anew so often because code in its reach began to run. */
const MAX_VERSIONS = 4;
/** A region of so many blocks is large: the engine's compilers take a second for one of a hundred, and begin with slow code. */
const LARGE = 64;
const LARGE_DEFERRAL = 5;
/** Rounds of ending blocks where loops begin: new blocks may lead to further ones. */
const MAX_SPLITS = 3;
/** Regions a module may hold. */
const BATCH = 64;
/** Of modules with installed regions: about 250 MiB of the process's memory. */
const MAX_CODE_BYTES = 40 << 20;
const TABLE_STEP = 1024;

const HOST = (BLOCK.at['host'] as number) / 4;
const MODE = (BLOCK.at['mode'] as number) / 4;
const VALID = (BLOCK.at['valid'] as number) / 4;
const ENTRY = (BLOCK.at['entry'] as number) / 4;
const FLAGS = (BLOCK.at['flags'] as number) / 4;
const HEAT = (BLOCK.at['heat'] as number) / 4;
const REGION = (BLOCK.at['region'] as number) / 4;
const PC = VCPU.at['pc'] as number;
const JUMP_MODE = (JUMP_ENTRY.at['mode'] as number) / 4;
const JUMP_GENERATION = (JUMP_ENTRY.at['generation'] as number) / 4;
const JUMP_BLOCK = (JUMP_ENTRY.at['block'] as number) / 4;
const EXECUTE = (TLB_ENTRY.at['execute'] as number) / 4;
const ADDEND = (TLB_ENTRY.at['addend'] as number) / 4;

export class Jit {
  readonly stats: JitStats = {
    regions: 0,
    compiled: 0,
    blocks: 0,
    modules: 0,
    bytes: 0,
    compileNs: 0,
    away: 0,
    dropped: 0,
    resets: 0,
  };
  /** Receives the text of every compiled function while set (-d out_asm). */
  outAsm: ((head: number, text: string) => void) | undefined;
  private readonly options: JitOptions;
  private readonly compiler: RegionCompiler;
  /** The thread has a job. */
  private away = false;
  private queue: Request[] = [];
  private readonly freeSlots: number[] = [];
  /** Installed regions by member block. */
  private readonly byBlock = new Map<number, Compiled[]>();
  /** Installed regions by page in which targets of their indirect jumps may lie. */
  private readonly byIndirectPage = new Map<number, Compiled[]>();
  /** Installed regions by linear-memory address of unseen code in their reach. */
  private readonly byUnseen = new Map<number, Compiled[]>();
  private readonly budget = new CodeBudget<Compiled>();
  private readonly imports: WebAssembly.Imports;
  private wordsView: Int32Array;

  constructor(options: JitOptions) {
    this.options = options;
    this.compiler = new RegionCompiler(options);
    this.imports = { env: { memory: options.memory }, h: options.runtime };
    this.wordsView = new Int32Array(options.memory.buffer);
  }

  /** All of memory as it is now. */
  private get words(): Int32Array {
    if (this.wordsView.buffer !== this.options.memory.buffer)
      this.wordsView = new Int32Array(this.options.memory.buffer);
    return this.wordsView;
  }

  /** Bytes of modules with installed regions. */
  get codeBytes(): number {
    return this.budget.bytes;
  }

  /** Region heads that `flushQueue` would see to. */
  get pending(): number {
    return this.away ? 0 : this.queue.length;
  }

  /** A block became hot: the region it heads is to be compiled. `cpu`: the vCPU with the block's pc in its header, or 0. */
  request(head: number, cpu = 0): void {
    const { words } = this;
    this.options.thread?.prepare();
    if (cpu !== 0 && this.defer(head)) return;
    // Regions that ended here as nothing was known of this code can go on in it; when one of them does, it needs none of its own.
    for (const c of this.byUnseen.get(words[head / 4 + HOST] as number) ?? []) {
      if (c.version < MAX_VERSIONS) this.enqueue(c.head, c.origin);
    }
    const pc = (cpu + PC) / 4;
    this.enqueue(head, cpu === 0 ? NOWHERE : { cpu, low: words[pc] as number, high: words[pc + 1] as number });
    if (((words[head / 4 + FLAGS] as number) & BlockFlag.indirect) === 0) return;
    for (const c of this.byIndirectPage.get((words[head / 4 + HOST] as number) & ~0xfff) ?? []) {
      if (c.version < MAX_VERSIONS && !c.members.includes(head)) this.enqueue(c.head, c.origin);
    }
  }

  /**
   * Code of other regions that is entered in the middle, as guest calls were unwound by a fault or an interrupt, or that a large region
   * would be compiled anew for: interpreting it costs less, until it has happened very often.
   */
  private defer(head: number): boolean {
    const { words } = this;
    const w = head / 4;
    if (this.options.deferral === 0 || ((words[w + FLAGS] as number) & BlockFlag.deferred) !== 0) return false;
    const large = this.byUnseen.get(words[w + HOST] as number)?.some((c) => c.size >= LARGE) ?? false;
    if (!large && !this.byBlock.get(head)?.some((c) => c.own.has(head))) return false;
    this.postpone(head, large ? LARGE_DEFERRAL : 1);
    return true;
  }

  private postpone(head: number, times = 1): void {
    const { words } = this;
    words[head / 4 + FLAGS] = (words[head / 4 + FLAGS] as number) | BlockFlag.deferred;
    // It is hot when the count has come to the threshold again, by way of zero.
    words[head / 4 + HEAT] = -this.options.deferral * times;
  }

  private enqueue(head: number, origin: Origin): void {
    const { words } = this;
    const flags = head / 4 + FLAGS;
    if (((words[flags] as number) & BlockFlag.queued) !== 0) return;
    words[flags] = (words[flags] as number) | BlockFlag.queued;
    this.queue.push({ head, origin });
  }

  /** For a head's origin: where the code `delta` bytes on is mapped, by the vCPU's jump cache and execute TLB. */
  private locator(origin: Origin, mode: number): Locate | undefined {
    if (origin.cpu === 0 || this.options.hasCodeBase(mode)) return undefined;
    const { words } = this;
    const cpu = origin.cpu / 4;
    const field = (name: string): number => words[cpu + (VCPU.at[name] as number) / 4] as number;
    const table = field('tlb') + (field('mmuIndex') & 1) * TLB_ENTRIES * TLB_ENTRY.size;
    const generation = field('tlbGeneration');
    const jumpCache = field('jumpCache');
    return (delta) => {
      const low = (origin.low + delta) | 0;
      const carry = (low >>> 0 < origin.low >>> 0 ? 1 : 0) + (delta < 0 ? -1 : 0);
      const high = (origin.high + carry) | 0;
      const hash = (low ^ ((low >>> 12) | (high << 20))) & (JUMP_CACHE_ENTRIES - 1);
      const jump = (jumpCache + hash * JUMP_ENTRY.size) / 4;
      if (
        words[jump] === low &&
        words[jump + 1] === high &&
        words[jump + JUMP_MODE] === mode &&
        words[jump + JUMP_GENERATION] === generation
      ) {
        return words[(words[jump + JUMP_BLOCK] as number) / 4 + HOST] as number;
      }
      const entry = (table + ((low >>> 12) & (TLB_ENTRIES - 1)) * TLB_ENTRY.size) / 4;
      const tag = entry + EXECUTE;
      if (words[tag] !== ((low & ~0xfff) | generation) || words[tag + 1] !== high) return 0;
      return ((words[entry + ADDEND] as number) + low) | 0;
    };
  }

  /** Where the linear address is not the pc, indirect jumps are the dispatcher's. */
  private indirectTargets(mode: number): IndirectTargets | undefined {
    return this.options.hasCodeBase(mode) ? undefined : this.options.indirectTargets;
  }

  /**
   * Compiles and installs what was requested, or has the other thread begin; gives the number of regions installed. Not while guest
   * code runs.
   */
  flushQueue(): number {
    let installed = 0;
    while (this.pending > 0) {
      const batch = this.queue.slice(0, BATCH);
      this.queue = this.queue.slice(BATCH);
      installed += this.timed(() => this.compile(batch));
    }
    return installed;
  }

  private timed<T>(work: () => T): T {
    const start = this.options.now();
    const result = work();
    this.stats.compileNs += this.options.now() - start;
    return result;
  }

  private compile(requests: readonly Request[]): number {
    const formed = this.formAll(requests);
    if (formed.length === 0) return 0;
    const job = {
      regions: formed.map(({ region, origin }) => ({ code: region.code(), name: pcName(origin) })),
      x87Control: this.options.x87Control(),
      text: this.outAsm !== undefined,
    };
    const { thread } = this.options;
    if (thread?.ready !== true) return this.installAll(formed, this.compiler.compile(job));
    const { resets } = this.stats;
    this.away = true;
    thread.compile(job, (result) => {
      this.away = false;
      if (result) this.stats.away++;
      if (resets !== this.stats.resets) return;
      this.timed(() => (result ? this.installAll(formed, result) : this.requestAgain(formed)));
      this.trim();
    });
    return 0;
  }

  /** Forms the regions of a batch that are worth compiling. */
  private formAll(requests: readonly Request[]): Formed[] {
    const formed: Formed[] = [];
    const asked = this.split(requests);
    const heads: Heads = {
      hot: new Set(asked.map(({ place }) => this.options.lookup(place.host, place.mode))),
      taken: new Set(),
    };
    for (const { place, origin: seen, surveyed } of asked) {
      const block = this.options.lookup(place.host, place.mode);
      // All loops of a function become hot at about the same time, and the first one's region is entered at the others, too.
      if (block === 0 || heads.taken.has(block)) continue;
      const around = this.enteredAt(block) ?? this.enclosing(block);
      // One that this batch compiles already has had its choice.
      const enclosing = around !== undefined && heads.taken.has(around.head) ? undefined : around;
      let head = enclosing?.head ?? block;
      let origin = enclosing?.origin ?? seen;
      let old = enclosing;
      const asSeen = head === surveyed?.blocks[0] && origin === seen && this.isCurrent(surveyed) ? surveyed : undefined;
      let region = this.withEntries(asSeen ?? this.form(head, origin), heads);
      if (!region.enters(block)) {
        head = block;
        origin = seen;
        old = undefined;
        region = this.withEntries(this.form(head, origin), heads);
      }
      if (old === undefined && this.options.deferral !== 0 && formed.some((other) => other.region.holds(head))) {
        this.postpone(head);
        continue;
      }
      if (region.blocks.length === 0 || !improves(region, old)) continue;
      formed.push({ region, origin });
      for (const member of region.entries) heads.taken.add(region.blocks[member] as number);
    }
    return formed;
  }

  /** Whether a region's blocks are all still there. */
  private isCurrent({ blocks }: Region): boolean {
    return blocks.every((block) => this.words[block / 4 + VALID] !== 0);
  }

  /** Installs those whose code has not changed since they were formed; gives their number. */
  private installAll(formed: readonly Formed[], { module, bytes, texts }: CompiledJob): number {
    const current = formed.filter(({ region }) => this.isCurrent(region));
    this.requestAgain(formed.filter((f) => !current.includes(f)));
    if (current.length === 0) return 0;
    const { stats } = this;
    const kept = this.budget.add(bytes);
    const { exports } = new WebAssembly.Instance(module, this.imports);
    for (const [i, { region, origin }] of formed.entries()) {
      if (texts[i] !== undefined) this.outAsm?.(region.blocks[0] as number, texts[i]);
      if (!current.includes(formed[i] as Formed)) continue;
      this.install(region, origin, exports[i] as WebAssembly.ExportedFunction, kept);
      stats.blocks += region.blocks.length;
    }
    stats.compiled += current.length;
    stats.modules++;
    stats.bytes += bytes;
    return current.length;
  }

  private requestAgain(formed: readonly Formed[]): void {
    for (const { region, origin } of formed) {
      const head = region.blocks[0] as number;
      if (this.words[head / 4 + VALID] !== 0) this.enqueue(head, origin);
    }
  }

  /** The region that a block heads, as it would be now, entered there alone. */
  private form(head: number, origin: Origin): Region {
    const { words } = this;
    const w = head / 4;
    const mode = words[w + MODE] as number;
    const { lookup, minRuns } = this.options;
    const old = this.enteredAt(head);
    return new Region(words, head, {
      lookup,
      locate: this.locator(origin, mode),
      indirectTargets: this.indirectTargets(mode),
      // A new version has the room of the old one: what else holds its head by now is no reason to cut it.
      maxOps: old?.room ?? roomOf(words[w + REGION] as number),
      minRuns,
    });
  }

  /** Makes hot members of a region its entries, too. */
  private withEntries(region: Region, heads: Heads): Region {
    const { words } = this;
    // Where the pc of the code may wrap, it is entered at its head alone.
    if (region.blocks.length === 0 || this.options.hasCodeBase(region.mode)) return region;
    const old = this.enteredAt(region.blocks[0] as number);
    region.chooseEntries((block) => {
      if (heads.taken.has(block)) return 0;
      if (heads.hot.has(block) || old?.entries.includes(block)) return Number.POSITIVE_INFINITY;
      const heat = words[block / 4 + HEAT] as number;
      return words[block / 4 + ENTRY] === 0 && heat >= this.options.entryHeat ? heat : 0;
    });
    return region;
  }

  /** The region that a hot block should become an entry of: it is a part of it. */
  private enclosing(block: number): Compiled | undefined {
    let best: Compiled | undefined;
    for (const c of this.byBlock.get(block) ?? []) {
      if (c.version >= MAX_VERSIONS || c.entries.length >= MAX_ENTRIES) continue;
      if (best === undefined || c.size > best.size) best = c;
    }
    return best;
  }

  /**
   * Takes requests out of the queue, and sees that the blocks they lead to end where loops begin. A head may be a new block then.
   * `surveyed`: its region as it was seen last.
   */
  private split(requests: readonly Request[]): Asked[] {
    const { words } = this;
    const heads: Asked[] = [];
    for (const { head, origin: seen } of requests) {
      const w = head / 4;
      words[w + FLAGS] = (words[w + FLAGS] as number) & ~BlockFlag.queued;
      // Another request's split may have replaced it.
      if (words[w + VALID] === 0 && this.options.lookup(words[w + HOST] as number, words[w + MODE] as number) === 0)
        continue;
      const place = { host: words[w + HOST] as number, mode: words[w + MODE] as number };
      const origin = seen.cpu === 0 ? (this.enteredAt(head)?.origin ?? seen) : seen;
      heads.push({ place, origin, surveyed: this.splitLoops(place, origin) });
    }
    return heads;
  }

  /** Regions that go by this are compiled again. */
  private splitLoops({ host, mode }: Place, origin: Origin): Region | undefined {
    const { words } = this;
    for (let round = 0; round < MAX_SPLITS; round++) {
      const head = this.options.lookup(host, mode);
      if (head === 0) return undefined;
      let done = false;
      const region = this.form(head, origin);
      for (const [loop, blocks] of region.covered) {
        const gone = new Set(blocks.flatMap((b) => this.byBlock.get(b) ?? []));
        if (!this.options.split(loop, blocks)) continue;
        done = true;
        for (const { head: other, origin: from } of gone) if (words[other / 4 + VALID] !== 0) this.enqueue(other, from);
      }
      if (!done) return region;
    }
    return undefined;
  }

  private install(
    region: Region,
    origin: Origin,
    code: WebAssembly.ExportedFunction,
    module: CodeModule<Compiled>,
  ): void {
    const { words } = this;
    const entries = region.entries.map((member) => region.blocks[member] as number);
    const old = this.enteredAt(entries[0] as number);
    for (const entry of entries) {
      const other = this.enteredAt(entry);
      if (other !== undefined) this.drop(other);
    }
    const slot = this.takeSlot();
    this.options.table.set(slot, code);
    const compiled: Compiled = {
      head: entries[0] as number,
      entries,
      members: [...new Set(region.blocks)],
      own: new Set(region.ownBlocks),
      size: region.blocks.length,
      room: region.maxOps,
      slot,
      fillsTlb: region.fillsTlb,
      origin,
      unseen: [...new Set(region.unseen)],
      indirectPages: [...region.indirectPages],
      version: (old?.version ?? 0) + 1,
      module,
    };
    module.regions.add(compiled);
    for (const host of compiled.unseen) addTo(this.byUnseen, host, compiled);
    for (const page of compiled.indirectPages) addTo(this.byIndirectPage, page, compiled);
    for (const block of compiled.members) {
      addTo(this.byBlock, block, compiled);
      words[block / 4 + REGION] = (words[block / 4 + REGION] as number) + 1;
    }
    for (const [i, entry] of entries.entries()) words[entry / 4 + ENTRY] = slot | (i << ENTRY_SHIFT);
    this.stats.regions++;
  }

  /** The installed region that is entered at this block. */
  private enteredAt(block: number): Compiled | undefined {
    return this.byBlock.get(block)?.find((c) => c.entries.includes(block));
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

  /** Drops a region, whichever `below` picks (a number below its argument); it may be compiled again. Not while guest code runs. */
  evict(below: (n: number) => number): void {
    const lists = [...this.byBlock.values()];
    const list = lists[lists.length === 0 ? 0 : below(lists.length)];
    if (list !== undefined) this.drop(list[below(list.length)] as Compiled);
  }

  /**
   * Drops the oldest code when there is more than `limit` bytes of modules; what of it still runs is compiled again. Not while
   * guest code runs: code that is under way, but no longer known, would not be told of changes.
   */
  trim(limit: number = MAX_CODE_BYTES): void {
    for (const compiled of this.budget.surplus(limit)) this.drop(compiled);
  }

  private drop(compiled: Compiled): void {
    const { words } = this;
    for (const entry of compiled.entries) {
      words[entry / 4 + ENTRY] = 0;
      words[entry / 4 + HEAT] = 0;
    }
    for (const member of compiled.members) {
      words[member / 4 + REGION] = (words[member / 4 + REGION] as number) - 1;
      removeFrom(this.byBlock, member, compiled);
    }
    for (const host of compiled.unseen) removeFrom(this.byUnseen, host, compiled);
    for (const page of compiled.indirectPages) removeFrom(this.byIndirectPage, page, compiled);
    this.options.table.set(compiled.slot, null);
    this.freeSlots.push(compiled.slot);
    this.budget.release(compiled.module, compiled);
    this.stats.regions--;
    this.stats.dropped++;
  }

  /** Drops everything: no block that was is one any more. */
  reset(): void {
    for (const lists of this.byBlock.values()) {
      for (const compiled of lists) {
        // Each region is in the list of every member: let its head stand for it.
        if (this.byBlock.get(compiled.head) !== lists) continue;
        for (const entry of compiled.entries) this.words[entry / 4 + ENTRY] = 0;
        this.options.table.set(compiled.slot, null);
        this.freeSlots.push(compiled.slot);
      }
    }
    this.byBlock.clear();
    this.byUnseen.clear();
    this.byIndirectPage.clear();
    this.budget.clear();
    this.queue = [];
    this.stats.regions = 0;
    this.stats.resets++;
  }
}

/** What profilers of the host show for a region: the guest's pc. */
function pcName({ high, low }: Origin): string {
  return `guest ${(high >>> 0).toString(16)}${(low >>> 0).toString(16).padStart(8, '0')}`;
}

/** Is a region worth installing in place of what its head has? */
function improves(region: Region, old: Compiled | undefined): boolean {
  if (old === undefined || old.fillsTlb !== region.fillsTlb) return true;
  return region.blocks.length > old.size || region.entries.length > old.entries.length;
}

function addTo(map: Map<number, Compiled[]>, key: number, compiled: Compiled): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [compiled]);
  else list.push(compiled);
}

function removeFrom(map: Map<number, Compiled[]>, key: number, compiled: Compiled): void {
  const list = map.get(key) as Compiled[];
  if (list.length === 1) map.delete(key);
  else list.splice(list.indexOf(compiled), 1);
}
