/** The `tcg` accelerator: guest code is translated, interpreted while cold, compiled to WebAssembly when hot. */
import { Bug, UserError } from '../../base/errors.js';
import type { GuestArchitecture, GuestTranslator } from '../../guest/guest.js';
import { MAX_BLOCK_OPS } from '../../ir/builder.js';
import { BLOCK, BlockFlag, FLAT_RANGE, MACHINE, TraceBit, VCPU } from '../../ir/layout.js';
import { ExitReason, OP_BYTES, OP_MASK } from '../../ir/ops.js';
import { Jit } from '../../jit/jit.js';
import type { FlatRange } from '../../memory/flat-view.js';
import {
  type Accelerator,
  type ApicMessage,
  type MachineServices,
  MIN_SLICE_NS,
  type SliceEnd,
  type Vcpu,
} from '../accelerator.js';
import { AddressFilter } from './address-filter.js';
import { type CompilerSetup, type CompileThread, compilerOptions } from './compiler.js';
import { Fading } from './fading.js';
import { LinearMemory, MAX_FLAT_RANGES } from './linear-memory.js';
import type { Runtime } from './runtime.js';
import { type Disturbed, Stress } from './stress.js';

/** Ends slices that run too long: another thread that sets exit requests (src/host). */
export interface Ticker {
  /** Sets bit 1 of the 32-bit words at `addresses` once `us` microseconds have passed, unless disarmed before. */
  arm(us: number): void;
  disarm(): void;
  dispose(): void;
}

/** Listeners of -d; each is called only while it is set, and `interrupt` and `block` while their trace bits are on. */
export interface TcgLog {
  /** A block for the code at linear-memory address `host` under `mode` was translated; its ops are as the guest made them. */
  translated?:
    | ((state: number, host: number, mode: number, bytes: number, words: Int32Array, count: number) => void)
    | undefined;
  /** The same block's ops after the passes. */
  optimised?: ((words: Int32Array, count: number) => void) | undefined;
  /** As the runtime's traceInterrupt (src/runtime/core/env.ts). */
  interrupt?: ((state: number, kind: number, vector: number, code: number) => void) | undefined;
  /** A block or the region that it heads is entered. */
  block?: ((state: number, block: number) => void) | undefined;
  /** A slice ended in the middle of guest code: the pc is that of the next instruction. */
  sliceEnd?: ((state: number, tier: 'cold' | 'compiled') => void) | undefined;
  /** A processor is about to be reset. */
  reset?: ((state: number) => void) | undefined;
}

export interface TcgOptions {
  readonly guest: GuestArchitecture;
  /** The compiled runtime module. */
  readonly runtime: WebAssembly.Module;
  readonly vcpus: number;
  /** Memory for as many vCPUs of this guest, where somebody has made it already. */
  readonly layout?: LinearMemory;
  /** Region head entries before a region is compiled; Infinity: interpreter only. */
  readonly hotThreshold: number;
  /** Seed of random disturbances (stress.ts); 0 or nothing: none. */
  readonly stress?: number;
  /** Whether the chipset may raise SMIs; yes when nothing is said. */
  readonly smm?: boolean;
  /** Counts instructions, for -icount: needs the interpreter alone. */
  readonly countInstructions?: boolean;
  /** Makes the ticker for the exit-request words of the machine's processors. */
  startTicker(memory: WebAssembly.Memory, requestWords: readonly number[]): Ticker;
  /** Makes the thread that compiles beside the guest, if the host can do with one. */
  compileThread?(setup: CompilerSetup): CompileThread | undefined;
  /** Monotonic ns. */
  monotonic(): number;
  /** Real ns in which so much virtual time passes; as many, if left out. */
  inReal?(ns: number): number;
}

/** exitRequest bits, as src/runtime/core/run.ts has them. */
const REQUEST_POLL = 1;
const REQUEST_RETURN = 2;
/** With several processors on one thread, each runs this long before the next. */
const TURN_NS = 1_000_000;
/** The first accesses to a port wait for the JavaScript engine to compile the device's code: 0.1 ms each. */
const COLD_ACCESSES = 64;
/** Of one block, with its head. */
const MAX_BLOCK_BYTES = BLOCK.size + MAX_BLOCK_OPS * OP_BYTES;
/** Lower thresholds for compiling are for tests, which want all code compiled. */
const DEFERRING_THRESHOLD = 500;
/** So many hot region heads are compiled at once; fewer when a slice ends. */
const COMPILE_BATCH = 16;
/** And wait so long for others at most. */
const COMPILE_WAIT_NS = 20_000_000;

const at = (layout: { readonly at: Readonly<Record<string, number>> }, field: string): number => {
  const offset = layout.at[field];
  if (offset === undefined) throw new Bug(`no field ${field}`);
  return offset;
};

export class TcgAccelerator implements Accelerator, Disturbed {
  readonly name = 'tcg';
  readonly smm: boolean;
  readonly memory: WebAssembly.Memory;
  readonly vcpus: readonly Vcpu[];
  readonly layout: LinearMemory;
  readonly runtime: Runtime;
  readonly jit: Jit;
  readonly log: TcgLog = {};
  /** Since the start: blocks translated, ns that took; blocks invalidated; slices that ended in guest code of each tier. */
  readonly stats = { translated: 0, translateNs: 0, invalidated: 0, coldSlices: 0, compiledSlices: 0 };
  readonly #guest: GuestArchitecture;
  readonly #options: TcgOptions;
  readonly #ticker: Ticker;
  readonly #fading: Fading;
  readonly #stress: Stress | undefined;
  /** Where blocks were made to begin. */
  readonly #begun = new AddressFilter();
  #compileThread: CompileThread | undefined;
  #translator: GuestTranslator | undefined;
  #services: MachineServices | undefined;
  #view: DataView;
  #words: Int32Array;
  #next = 0;
  #turn = 0;
  /** Accesses so far to each port, up to COLD_ACCESSES; ns that those took; and when the one under way began, 0: none. */
  readonly #portAccesses = new Uint8Array(0x10000);
  #coldAccessNs = 0;
  #coldAccess = 0;
  /** When the oldest hot region head that waits for compilation was first seen to, 0: none waits. */
  #hotSince = 0;
  /** Where loops begin that blocks were made to end before: once is enough, and code may overlap so that it brings nothing. */
  readonly #loops = new Set<number>();
  /** Someone asked for the end of the running slice. */
  #kicked = false;

  constructor(options: TcgOptions) {
    this.#options = options;
    this.smm = options.smm ?? true;
    this.#guest = options.guest;
    this.layout = options.layout ?? new LinearMemory(options.vcpus, options.guest.stateSize);
    this.memory = this.layout.memory;
    this.#view = new DataView(this.memory.buffer);
    this.#words = new Int32Array(this.memory.buffer);
    this.#fading = new Fading(this.layout.code);
    this.runtime = this.#instantiate(options.runtime);
    this.jit = this.#createJit();
    this.#initialise();
    this.vcpus = this.layout.vcpus.map((state, index) => this.#vcpu(state, index));
    this.#stress = options.stress ? new Stress(options.stress) : undefined;
    this.#ticker = options.startTicker(
      this.memory,
      this.layout.vcpus.map((state) => state + at(VCPU, 'exitRequest')),
    );
  }

  connect(services: MachineServices): void {
    this.#services = services;
  }

  allocateRam(bytes: number, align: number, base = 0): number {
    const host = this.layout.allocate(bytes, align, base);
    // Memory grew: views made before do not see the new end.
    this.#view = new DataView(this.memory.buffer);
    this.#words = new Int32Array(this.memory.buffer);
    this.#translator = undefined;
    return host;
  }

  notifyWrite(host: number, bytes: number): void {
    new Uint8Array(
      this.memory.buffer,
      this.layout.dirty + (host >>> 12),
      ((host + bytes - 1) >>> 12) - (host >>> 12) + 1,
    ).fill(0xff);
    // A state's whole RAM is written before anything has run.
    if (this.#next !== this.layout.code) this.runtime.codeRangeWritten(this.layout.machine, host, bytes);
  }

  fetchAndClearDirty(host: number, bytes: number): Uint8Array {
    const dirty = new Uint8Array(this.memory.buffer, this.layout.dirty + (host >>> 12), bytes >>> 12);
    const copy = dirty.slice();
    if (copy.some((d) => d !== 0)) {
      dirty.fill(0);
      this.runtime.watchWrites(this.layout.machine, host, host + bytes - 1);
    }
    return copy;
  }

  setFlatView(space: 0 | 1, ranges: readonly FlatRange[]): void {
    if (ranges.length > MAX_FLAT_RANGES) throw new UserError('too many memory regions; remove some devices');
    const table = this.layout.flat[space];
    ranges.forEach((range, i) => {
      const to = table + i * FLAT_RANGE.size;
      this.#view.setBigUint64(to + at(FLAT_RANGE, 'start'), BigInt(range.start), true);
      this.#view.setBigUint64(to + at(FLAT_RANGE, 'last'), BigInt(range.last), true);
      this.#view.setUint32(to + at(FLAT_RANGE, 'flags'), range.flags, true);
      this.#view.setUint32(to + at(FLAT_RANGE, 'host'), range.host, true);
      this.#view.setUint32(to + at(FLAT_RANGE, 'region'), range.region, true);
      this.#view.setBigUint64(to + at(FLAT_RANGE, 'offset'), BigInt(range.offset), true);
    });
    this.#view.setUint32(this.layout.machine + at(MACHINE, 'flat') + space * 4, table, true);
    this.#view.setUint32(this.layout.machine + at(MACHINE, 'flatCount') + space * 4, ranges.length, true);
    this.runtime.flatViewChanged();
    for (const state of this.layout.vcpus) {
      this.runtime.tlbFlush(state);
      this.#request(state, REQUEST_POLL);
    }
    this.runtime.clearJumpCaches(this.layout.machine);
  }

  setA20(enabled: boolean): void {
    for (const state of this.layout.vcpus) this.runtime.setA20(state, enabled ? 1 : 0);
  }

  deliverApic(m: ApicMessage): void {
    this.runtime.apicDeliver(
      this.layout.machine,
      m.destination,
      m.logical ? 1 : 0,
      m.deliveryMode,
      m.vector,
      m.level ? 1 : 0,
      m.levelTriggered ? 1 : 0,
    );
    this.#connected().wake();
  }

  nextDeadline(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const state of this.layout.vcpus) {
      next = Math.min(next, this.#view.getFloat64(state + this.#guest.timerDeadline, true));
    }
    return next;
  }

  /** Lets the processors' own timers fire that are due. */
  runTimers(): void {
    const now = this.#connected().virtualNow();
    for (const state of this.layout.vcpus) {
      if (this.#view.getFloat64(state + this.#guest.timerDeadline, true) <= now) this.runtime.lapicTimerExpired(state);
    }
  }

  /** Which tier a slice ended in: the ends of slices are samples of where the time goes. */
  #sample(state: number): void {
    // A counted run must not depend on where the host cut it: looking at the pc fills the TLB.
    if (this.#options.countInstructions) return;
    const tier = this.runtime.tierAtPc(state);
    if (tier === 0) return;
    if (tier === 1) this.stats.coldSlices++;
    else this.stats.compiledSlices++;
    this.log.sliceEnd?.(state, tier === 1 ? 'cold' : 'compiled');
  }

  /** Guest code runs in slices only. */
  stop(): void {}

  kick(): void {
    this.#kicked = true;
    for (const state of this.layout.vcpus) this.#request(state, REQUEST_RETURN);
    // When all processors halt, the loop sleeps.
    this.#services?.wake();
  }

  /** Instructions executed so far; exact only while they are counted. */
  get executed(): number {
    let sum = 0;
    for (const state of this.layout.vcpus) {
      sum += Number(this.#view.getBigUint64(state + at(VCPU, 'instructionCount'), true));
    }
    return sum;
  }

  /** Ns so far in which this thread translated and compiled instead of running guest code, or JavaScript warmed up. */
  get ownWorkNs(): number {
    const access = this.#coldAccess === 0 ? 0 : this.#options.monotonic() - this.#coldAccess;
    return this.stats.translateNs + this.jit.stats.compileNs + this.#coldAccessNs + access;
  }

  #inReal(ns: number): number {
    return this.#options.inReal?.(ns) ?? ns;
  }

  runSlice(maxNs: number, instructions = 0): SliceEnd {
    const count = this.layout.vcpus.length;
    const end = this.#options.monotonic() + (this.#stress?.sliceNs(maxNs) ?? maxNs);
    let idle = 0;
    this.#kicked = false;
    const last = this.executed + instructions;
    // A slice visits the processors in turn, until time is up or all of them wait.
    for (;;) {
      this.runTimers();
      const toEnd = end - this.#options.monotonic();
      if (toEnd <= 0) return { reason: 'running' };
      // Timers that were due have fired by now; when instructions are counted, the budget ends at the next one.
      const toTimer = instructions > 0 ? toEnd : this.#inReal(this.nextDeadline() - this.#connected().virtualNow());
      const left = Math.min(toEnd, Math.max(toTimer, MIN_SLICE_NS));
      const index = this.#turn;
      const state = this.layout.vcpus[index]!;
      // The ticker asks all processors; what it asked for at the end of another's turn does not concern this one.
      Atomics.and(this.#words, (state + at(VCPU, 'exitRequest')) >>> 2, ~REQUEST_RETURN);
      this.#ticker.arm(Math.ceil((count === 1 ? left : Math.min(left, TURN_NS)) / 1000));
      if (instructions > 0) {
        const budget = last - this.executed;
        if (budget <= 0) return { reason: 'running' };
        this.#view.setBigUint64(state + at(VCPU, 'instructionBudget'), BigInt(budget), true);
      }
      const reason = this.runtime.run(state);
      this.#ticker.disarm();
      if (reason === ExitReason.request) this.#sample(state);
      this.#compile(reason === ExitReason.halt);
      this.#stress?.disturb(this);
      this.#turn = (index + 1) % count;
      switch (reason) {
        case ExitReason.halt:
          if (++idle >= count) return { reason: 'halted' };
          break;
        case ExitReason.request:
        case ExitReason.yield:
          if (count === 1 || this.#kicked) return { reason: 'running' };
          idle = 0;
          break;
        case ExitReason.shutdown:
          return { reason: 'shutdown', vcpu: index };
        case ExitReason.debug:
          return { reason: 'debug', vcpu: index };
        case ExitReason.badCode:
          return {
            reason: 'badCode',
            vcpu: index,
            address: this.#view.getUint32(state + at(VCPU, 'exitDetail'), true),
          };
        default:
          throw new Bug(`exit reason ${reason}`);
      }
    }
  }

  dispose(): void {
    this.#compileThread?.dispose();
    this.#ticker.dispose();
  }

  /** Which events the runtime reports to `log`: TraceBit. Code already chained is forgotten. */
  setTraceMask(mask: number): void {
    const { machine } = this.layout;
    this.#view.setUint32(machine + at(MACHINE, 'traceMask'), mask, true);
    // Compiled regions run many blocks in a row: to see each, none may be compiled.
    const threshold = mask & TraceBit.noChain ? Number.POSITIVE_INFINITY : this.#options.hotThreshold;
    this.setHotThreshold(threshold);
    this.resetCode();
  }

  /** Bytes that translated blocks take. */
  get blockBytes(): number {
    return this.#next - this.layout.code;
  }

  get processors(): readonly number[] {
    return this.layout.vcpus;
  }

  flushTlb(state: number): void {
    this.runtime.tlbFlush(state);
  }

  clearJumpCaches(): void {
    this.runtime.clearJumpCaches(this.layout.machine);
  }

  /** How often a head is entered before its region is compiled. */
  setHotThreshold(entries: number): void {
    this.#view.setUint32(this.layout.machine + at(MACHINE, 'hotThreshold'), Math.min(entries, 0xffffffff), true);
  }

  /** Forgets all translated code. */
  resetCode(): void {
    this.runtime.resetCode(this.layout.machine, this.layout.pages);
    this.#next = this.layout.code;
    this.#loops.clear();
    this.#begun.clear();
    this.#fading.reset();
    this.jit.reset();
  }

  #createJit(): Jit {
    const { runtime, layout } = this;
    const { hotThreshold: hot } = this.#options;
    const [state, tlb, jumpCache] = [layout.vcpus[0]!, layout.tlbs[0]!, layout.jumpCaches[0]!];
    const setup: CompilerSetup = {
      guest: this.#guest.name,
      onlyVcpu: layout.vcpus.length === 1 ? { state, tlb, jumpCache } : undefined,
    };
    this.#compileThread = this.#options.compileThread?.(setup);
    return new Jit({
      memory: this.memory,
      table: runtime.table,
      runtime: runtime as unknown as Record<string, WebAssembly.ExportedFunction>,
      ...compilerOptions(this.#guest, setup),
      thread: this.#compileThread,
      x87Control: () => this.#view.getUint32((layout.vcpus[0] as number) + this.#guest.x87.state.control, true),
      lookup: (host, mode) => runtime.findBlock(layout.machine, host, mode) >>> 0,
      indirectTargets: (page, mode) => this.#indirectTargets(page, mode),
      split: (head, blocks) => this.#split(head, blocks),
      minRuns: hot === Number.POSITIVE_INFINITY ? 0 : Math.floor(hot / 16),
      entryHeat: hot === Number.POSITIVE_INFINITY ? 1 : Math.max(1, Math.floor(hot / 8)),
      deferral: hot < DEFERRING_THRESHOLD ? 0 : 3 * hot,
      now: () => this.#options.monotonic(),
    });
  }

  #connected(): MachineServices {
    if (this.#services === undefined) throw new Bug('accelerator not connected to a machine');
    return this.#services;
  }

  #request(state: number, bits: number): void {
    Atomics.or(this.#words, (state + at(VCPU, 'exitRequest')) >>> 2, bits);
  }

  #vcpu(state: number, index: number): Vcpu {
    const halted = state + at(VCPU, 'halted');
    const view = (): DataView => this.#view;
    return {
      index,
      state,
      get halted(): boolean {
        return view().getUint32(halted, true) !== 0;
      },
      reset: (begins = index === 0) => {
        this.log.reset?.(state);
        this.runtime.resetCpu(state, begins ? 1 : 0);
      },
      setInterruptLine: (level) => {
        this.runtime.setIntr(state, level ? 1 : 0);
        if (level) this.#connected().wake();
      },
      raiseNmi: () => {
        this.runtime.raiseNmi(state);
        this.#connected().wake();
      },
      raiseSmi: () => {
        this.runtime.raiseSmi(state);
        this.#connected().wake();
      },
    };
  }

  #initialise(): void {
    const { layout } = this;
    const set = (base: number, record: typeof MACHINE, field: string, value: number): void =>
      this.#view.setUint32(base + at(record, field), value, true);
    set(layout.machine, MACHINE, 'codePages', layout.codePages);
    set(layout.machine, MACHINE, 'codeGranules', layout.codeGranules);
    set(layout.machine, MACHINE, 'dirty', layout.dirty);
    set(layout.machine, MACHINE, 'writable', layout.writable);
    set(layout.machine, MACHINE, 'blockHash', layout.blockHash);
    set(layout.machine, MACHINE, 'hotThreshold', Math.min(this.#options.hotThreshold, 0xffffffff));
    set(layout.machine, MACHINE, 'icount', this.#options.countInstructions ? 1 : 0);
    set(layout.machine, MACHINE, 'vcpuCount', layout.vcpus.length);
    layout.vcpus.forEach((state, i) => {
      this.#view.setUint32(layout.machine + at(MACHINE, 'vcpus') + i * 4, state, true);
      set(state, VCPU, 'machine', layout.machine);
      set(state, VCPU, 'index', i);
      set(state, VCPU, 'tlb', layout.tlbs[i]!);
      set(state, VCPU, 'jumpCache', layout.jumpCaches[i]!);
      this.runtime.tlbFlush(state);
    });
    this.#next = layout.code;
  }

  #instantiate(module: WebAssembly.Module): Runtime {
    const services = (): MachineServices => this.#connected();
    const env = {
      memory: this.memory,
      mmioRead: (_cpu: number, region: number, offset: number, size: 1 | 2 | 4) =>
        services().mmioRead(region, offset >>> 0, size),
      mmioWrite: (_cpu: number, region: number, offset: number, size: 1 | 2 | 4, value: number) =>
        services().mmioWrite(region, offset >>> 0, size, value >>> 0),
      portIn: (_cpu: number, port: number, size: 1 | 2 | 4) => {
        if (this.#portAccesses[port] === COLD_ACCESSES) return services().portRead(port, size);
        this.#beginColdAccess(port);
        const value = services().portRead(port, size);
        this.#endColdAccess();
        return value;
      },
      portOut: (_cpu: number, port: number, size: 1 | 2 | 4, value: number) => {
        if (this.#portAccesses[port] === COLD_ACCESSES) return services().portWrite(port, size, value >>> 0);
        this.#beginColdAccess(port);
        services().portWrite(port, size, value >>> 0);
        this.#endColdAccess();
      },
      virtualNs: () => services().virtualNow(),
      hostRandom: () => services().random(),
      picAcknowledge: () => services().picAcknowledge(),
      ioapicEoi: (vector: number) => services().ioapicEoi(vector),
      smiEntered: () => {},
      traceInterrupt: (cpu: number, kind: number, vector: number, code: number) =>
        this.log.interrupt?.(cpu >>> 0, kind, vector, code),
      fpuError: (level: number) => services().fpuError(level !== 0),
      translate: (cpu: number, host: number, mode: number, page2: number) => {
        const start = this.#options.monotonic();
        const block = this.#translate(cpu >>> 0, host >>> 0, mode, page2 >>> 0);
        this.stats.translateNs += this.#options.monotonic() - start;
        this.stats.translated++;
        return block;
      },
      hot: (block: number, cpu: number) => {
        this.jit.request(block >>> 0, cpu >>> 0);
        if (this.jit.pending < COMPILE_BATCH) return;
        // A region with guest calls in progress may have given way to another: no change of its code would reach it.
        if (this.jit.flushQueue() > 0) this.runtime.newEpoch(this.layout.machine);
      },
      blockInvalidated: (block: number) => {
        this.stats.invalidated++;
        this.jit.invalidated(block >>> 0);
      },
      traceBlock: (cpu: number, block: number) => this.log.block?.(cpu >>> 0, block >>> 0),
    };
    const instance = new WebAssembly.Instance(module, { env });
    return instance.exports as unknown as Runtime;
  }

  #beginColdAccess(port: number): void {
    this.#portAccesses[port] = this.#portAccesses[port]! + 1;
    this.#coldAccess = this.#options.monotonic();
  }

  #endColdAccess(): void {
    this.#coldAccessNs += this.#options.monotonic() - this.#coldAccess;
    this.#coldAccess = 0;
  }

  #indirectTargets(page: number, mode: number): number[] {
    const words = this.#words;
    const field = (block: number, name: string): number => words[(block + at(BLOCK, name)) >>> 2] as number;
    const found: number[] = [];
    let next = words[(this.layout.codePages + (page >>> 12) * 4) >>> 2] as number;
    while (next !== 0) {
      const block = next >>> 0;
      const inside = (((field(block, 'host') ^ page) >>> 12) | 0) === 0;
      next = field(block, inside ? 'pageNext' : 'page2Next');
      if (!inside || field(block, 'mode') !== mode || field(block, 'valid') === 0 || field(block, 'host2') !== 0)
        continue;
      if ((field(block, 'flags') & BlockFlag.indirect) !== 0) found.push(block);
    }
    return found;
  }

  /**
   * Compiles what is hot, between slices: a module for a region alone costs as much again for the module. So some wait for others,
   * but not for long, and not while the processor is `idle`.
   */
  #compile(idle: boolean): void {
    const now = this.#options.monotonic();
    this.#fading.step(this.#words, this.#next, now);
    const { pending } = this.jit;
    if (pending === 0) return;
    if (this.#hotSince === 0) this.#hotSince = now;
    const compileAll = this.#options.hotThreshold < DEFERRING_THRESHOLD;
    if (!idle && !compileAll && pending < COMPILE_BATCH / 2 && now - this.#hotSince < COMPILE_WAIT_NS) return;
    this.#hotSince = 0;
    this.jit.flushQueue();
    this.jit.trim();
  }

  /** Translates `blocks` anew so that they end where the loop at `head` begins; false: no room, or they do already. */
  #split(head: number, blocks: readonly number[]): boolean {
    const words = this.#words;
    const field = (block: number, name: string): number => words[(block + at(BLOCK, name)) >>> 2] as number;
    const host = field(head, 'host');
    if (this.#loops.has(host) || this.#next + blocks.length * MAX_BLOCK_BYTES > this.layout.codeEnd) return false;
    this.#loops.add(host);
    for (const block of blocks) {
      if (field(block, 'valid') === 0 || field(block, 'host2') !== 0) continue;
      this.runtime.invalidateBlock(this.layout.machine, block);
      const shorter = this.#translate(this.layout.vcpus[0]!, field(block, 'host') >>> 0, field(block, 'mode'), 0);
      words[(shorter + at(BLOCK, 'runs')) >>> 2] = field(block, 'runs');
      words[(shorter + at(BLOCK, 'flags')) >>> 2] = field(block, 'flags') & BlockFlag.indirect;
    }
    return true;
  }

  /** The runtime's `translate`: makes the block and enters it. */
  #translate(cpu: number, host: number, mode: number, page2: number): number {
    const { layout } = this;
    this.#translator ??= this.#guest.createTranslator(
      new Uint8Array(this.memory.buffer),
      layout.vcpus[0]!,
      new Int32Array(this.memory.buffer, layout.ops, MAX_BLOCK_OPS * (OP_BYTES / 4)),
      (at, key) => this.#begun.mayHave(at) && this.runtime.findBlock(layout.machine, at, key) !== 0,
    );
    const translator = this.#translator;
    if (!translator.translate(host, mode, page2)) return 0;
    const { builder, bytes } = translator;
    const { count } = builder;
    this.log.translated?.(cpu, host, mode, bytes, builder.words, count);
    if (this.#next + BLOCK.size + count * OP_BYTES > layout.codeEnd) this.resetCode();
    const block = this.#next;
    const extent = bytes | (translator.instructions << 16);
    const host2 = (host & 0xfff) + bytes > 4096 ? page2 : 0;
    const kept = this.runtime.makeBlock(layout.machine, block, layout.ops, count, host, mode, extent, host2);
    this.#next = block + BLOCK.size + kept * OP_BYTES;
    this.#begun.add(host);
    this.log.optimised?.(this.#opsOf(block, kept), kept);
    return block;
  }

  /** A copy of a block's ops, without the interpreter's codes. */
  #opsOf(block: number, count: number): Int32Array {
    const first = (block + BLOCK.size) / 4;
    const words = this.#words.slice(first, first + count * (OP_BYTES / 4));
    for (let w = 0; w < words.length; w += OP_BYTES / 4) words[w] = words[w]! & ~(0xffff ^ OP_MASK);
    return words;
  }
}
