/** The runtime module's exports (src/runtime/x86/entry.ts), typed. */

export interface Runtime {
  readonly table: WebAssembly.Table;
  run(cpu: number): number;
  /** 0: unknown, 1: the code at pc is in the cold tier, 2: in a compiled region. */
  tierAtPc(cpu: number): number;
  addBlock(machine: number, block: number): void;
  findBlock(machine: number, host: number, mode: number): number;
  invalidateBlock(machine: number, block: number): void;
  codeRangeWritten(machine: number, host: number, bytes: number): void;
  resetCode(machine: number, ramPages: number): void;
  clearJumpCaches(machine: number): void;
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
  setIntr(cpu: number, level: number): void;
  raiseNmi(cpu: number): void;
  raiseSmi(cpu: number): void;
  setA20(cpu: number, enabled: number): void;
  lapicTimerExpired(cpu: number): void;
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
