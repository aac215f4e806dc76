/** A debugger's breakpoints and steps on one processor: its wishes are in the record, as tcg has them. */
import type { GuestDebugRequest, KvmExit, KvmProcessor } from './interface.js';
import type { SoftwareBreakpoints } from './software-breakpoints.js';
import type { X86StateTransfer } from './x86-state.js';

const HARDWARE_BREAKPOINTS = 4;
const BREAKPOINT_EXCEPTION = 3;

export class Debugger {
  #wanted: GuestDebugRequest | undefined;
  /** Those beyond the processor's. */
  #planted: readonly bigint[] = [];
  /** Steps off a breakpoint first. */
  #leaving: bigint | undefined;

  constructor(
    private readonly kvm: KvmProcessor,
    private readonly transfer: X86StateTransfer,
    private readonly software: SoftwareBreakpoints,
    private readonly report: (text: string) => void,
  ) {}

  /** The processor is about to go on. */
  apply(): void {
    const { breakpoints = [], singleStep = false } = this.transfer.debugRequest();
    if (!singleStep && breakpoints.length === 0 && !this.#wanted) return;
    const watched = breakpoints.slice(0, HARDWARE_BREAKPOINTS);
    this.#planted = breakpoints.slice(HARDWARE_BREAKPOINTS);
    this.#wanted =
      singleStep || breakpoints.length > 0
        ? { singleStep, breakpoints: watched, softwareBreakpoints: this.#planted.length > 0 }
        : undefined;
    // Who goes on at a breakpoint wants to leave it: one step without it.
    const pc = this.transfer.linearPc(this.kvm);
    this.#leaving = !singleStep && breakpoints.includes(pc) ? pc : undefined;
    if (this.#leaving !== undefined) this.software.leave(this.#leaving);
    this.kvm.setGuestDebug(this.#leaving === undefined ? (this.#wanted ?? {}) : { singleStep: true });
  }

  /** All processors have applied what they want. */
  plant(): void {
    for (const linear of this.#planted) {
      if (this.software.plant(linear, this.kvm)) continue;
      this.report(
        `the breakpoint at 0x${linear.toString(16)} is left out: nothing is mapped there now, and KVM watches ${HARDWARE_BREAKPOINTS} without that`,
      );
    }
  }

  /** Whether a debug exit is one that the debugger asked for. */
  stops({ exception, pc }: Extract<KvmExit, { reason: 'debug' }>): boolean {
    const left = this.#leaving;
    this.#leaving = undefined;
    if (left === undefined) {
      if (exception !== BREAKPOINT_EXCEPTION || this.software.has(pc)) return true;
      // The guest's own INT3.
      this.kvm.setGuestDebug({ ...this.#wanted, injectBreakpoint: true });
      return false;
    }
    this.software.left(left);
    this.plant();
    this.kvm.setGuestDebug(this.#wanted ?? {});
    const now = this.transfer.linearPc(this.kvm);
    return [...(this.#wanted?.breakpoints ?? []), ...this.#planted].includes(now);
  }
}
