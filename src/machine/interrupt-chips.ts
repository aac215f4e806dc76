/**
 * A PC's interrupt and timer chips as registers, for accelerators that have these chips themselves (KVM in the kernel). The
 * devices of the same name convert from and to this, so that a state saved from one runs on the other.
 */

/** One 8259A. */
export interface PicRegisters {
  irr: number;
  imr: number;
  isr: number;
  /** Input levels. */
  inputs: number;
  elcr: number;
  elcrMask: number;
  /** The input with the highest priority. */
  highest: number;
  vectorBase: number;
  readIsr: boolean;
  poll: boolean;
  specialMask: boolean;
  autoEoi: boolean;
  rotateOnAutoEoi: boolean;
  fullyNested: boolean;
  /** Which initialisation word comes next: 0 none, 1 ICW2, 2 ICW3, 3 ICW4. */
  expect: number;
  wantsIcw4: boolean;
}

export interface IoapicRegisters {
  id: number;
  select: number;
  irr: number;
  /** Halves of the redirection entries. */
  low: Uint32Array;
  high: Uint32Array;
}

/** One counter of an 8254. */
export interface PitCounterRegisters {
  mode: number;
  bcd: boolean;
  access: number;
  /** 1..0x10000 */
  initial: number;
  /** Low byte of a two-byte write under way, or -1. */
  writeLow: number;
  readHigh: boolean;
  /** Latched count, or -1. */
  latch: number;
  statusLatch: number;
  gate: boolean;
  /** A count was written since the last control word. */
  counting: boolean;
  /** Since counting began, ns. */
  elapsed: number;
}

export interface PitRegisters {
  /** Port 61h bits 0 and 1. */
  speaker: number;
  counters: PitCounterRegisters[];
}

/** Chips that the accelerator has. Their ports and memory never come to the board's devices. */
export interface AcceleratorChips {
  /** Drives input 0..23 of the board: both 8259s and the I/O APIC. */
  setInput(gsi: number, level: boolean): void;
  /** 0 master, 1 slave. */
  pic(chip: 0 | 1): PicRegisters;
  setPic(chip: 0 | 1, registers: PicRegisters): void;
  ioapic(): IoapicRegisters;
  setIoapic(registers: IoapicRegisters): void;
  pit(): PitRegisters;
  setPit(registers: PitRegisters): void;
  /** The HPET takes the timer's interrupt over. */
  replaceTimer(on: boolean): void;
}
