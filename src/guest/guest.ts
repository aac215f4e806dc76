/** What an accelerator needs to know of a processor architecture; the architectures themselves are in the subfolders. */
import type { BlockBuilder } from '../ir/builder.js';
import type { ConditionCode } from '../ir/condition-code.js';
import type { FloatCode, FloatStatus } from '../ir/float-code.js';
import type { VectorCode } from '../ir/vector-code.js';
import type { X87Inlining } from '../ir/x87-code.js';

/** A runtime function that translated code calls; `id` is its number in `call` ops. */
export interface HelperInfo {
  readonly id: number;
  readonly name: string;
  readonly kind: 'call' | 'callf' | 'vcall' | 'vcallf';
}

export interface GuestTranslator {
  /** Holds the block's ops after `translate`. */
  readonly builder: BlockBuilder;
  /** Guest bytes and instructions of the block translated last. */
  readonly bytes: number;
  readonly instructions: number;
  /**
   * Translates the block at linear-memory address `host` under `mode`. `page2` is where its code goes on after the page,
   * 0: unknown. Returns false when the first instruction straddles and `page2` is 0.
   */
  translate(host: number, mode: number, page2: number): boolean;
}

export type IsBlock = (host: number, mode: number) => boolean;

export interface GuestArchitecture {
  /** As in the name of the command: `x86_64`. */
  readonly name: string;
  /** Bytes of one vCPU's state. */
  readonly stateSize: number;
  /** First slot that the region compiler must not keep in locals. */
  readonly vectorBaseSlot: number;
  readonly helpers: readonly HelperInfo[];
  /** WebAssembly code that does what vector helper number `helper` does with this `imm`, if it is short. */
  inlineVector(helper: number, imm: number): VectorCode | undefined;
  /** What vector helper number `helper` computes with this `imm`, if its usual case can be put in line. */
  inlineFloat(helper: number, imm: number): FloatCode | undefined;
  readonly floatStatus: FloatStatus;
  readonly x87: X87Inlining;
  /** The usual case of a `cond` op with this condition, if there is one. */
  inlineCondition(condition: number): ConditionCode | undefined;
  /** Does vector helper number `helper` write no vector state but its destination (64 bytes) and the status word? */
  writesDestinationOnly(helper: number): boolean;
  /** Names of slots, for IR text. */
  slotName(slot: number): string;
  /** Is the linear pc the pc itself under this mode? */
  linearIsPc(mode: number): boolean;
  /** Which of the TLBs data accesses use under this mode. */
  mmuIndex(mode: number): number;
  /**
   * `memory` is the linear memory; `state` the address of the boot processor's state (for what the model can do). The builder puts
   * its ops into `words`. Blocks end where `isBlock` says that there is one (at a linear-memory address, for a mode).
   */
  createTranslator(memory: Uint8Array, state: number, words: Int32Array, isBlock: IsBlock): GuestTranslator;
  /** Byte offset in the state of the local timer's deadline (f64, virtual ns, Infinity: none). */
  readonly timerDeadline: number;
}
