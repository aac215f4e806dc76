/** The runtime module's exports (src/runtime/x86/entry.ts), typed. */

export interface Runtime {
  readonly table: WebAssembly.Table;
  run(cpu: number): number;
  /** 0: unknown, 1: the code at pc is in the cold tier, 2: in a compiled region. */
  tierAtPc(cpu: number): number;
  /**
   * Makes the block at `block` of the `count` ops at `ops`, and enters it; gives how many it has. `extent`: guest bytes, and
   * instructions in the upper half; `host2`: where its second page starts, 0: it has none.
   */
  makeBlock(
    machine: number,
    block: number,
    ops: number,
    count: number,
    host: number,
    mode: number,
    extent: number,
    host2: number,
  ): number;
  findBlock(machine: number, host: number, mode: number): number;
  invalidateBlock(machine: number, block: number): void;
  newEpoch(machine: number): void;
  codeRangeWritten(machine: number, host: number, bytes: number): void;
  resetCode(machine: number, ramPages: number): void;
  clearJumpCaches(machine: number): void;
  /** The first page from `page` to `end` that is used (1) or all zero (0); `end` when there is none. Linear addresses. */
  findPage(page: number, end: number, used: number): number;
  /** The checksum of the pages from `page` to `end`, going on from `sum`. */
  checksumPages(page: number, end: number, sum: number): number;
  flatViewChanged(): void;
  tlbFlush(cpu: number): void;
  watchWrites(machine: number, first: number, last: number): void;
  physWrite(cpu: number, address: bigint, bytes: number, value: bigint): void;
  /** Physical address, or -1n where nothing is mapped. */
  debugTranslate(cpu: number, linear: bigint): bigint;
  readEflags(cpu: number): bigint;
  writeEflags(cpu: number, value: bigint, mask: bigint): void;
  updateMode(cpu: number): void;
  h_wrmsr(cpu: number, a: bigint, b: bigint, imm: number): bigint;
  resetCpu(cpu: number, isBsp: number): void;
  /** INIT, and a start-up message to a processor that waits for one. */
  initProcessor(cpu: number): void;
  startProcessor(cpu: number): void;
  setIntr(cpu: number, level: number): void;
  raiseNmi(cpu: number): void;
  raiseSmi(cpu: number): void;
  setA20(cpu: number, enabled: number): void;
  lapicTimerExpired(cpu: number): void;
  /** 1: a physical address in the page of this processor's local APIC, which `localRead` and `localWrite` are for. */
  localIo(physical: bigint, cpu: number): number;
  localRead(cpu: number, physical: bigint, bytes: number): bigint;
  localWrite(cpu: number, physical: bigint, bytes: number, value: bigint): void;
  readTpr(cpu: number): number;
  writeTpr(cpu: number, value: number): void;
  writeApicBase(cpu: number, value: bigint): void;
  /** Takes the interrupt that local APIC or 8259s offer: its vector, or -1. */
  acceptInterrupt(cpu: number): number;
  apicDeliver(
    machine: number,
    destination: number,
    logical: number,
    deliveryMode: number,
    vector: number,
    level: number,
    levelTriggered: number,
  ): void;
}
