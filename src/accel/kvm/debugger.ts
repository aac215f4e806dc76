/** A debugger's breakpoints and steps on one processor: its wishes are in the record, as tcg has them. */
import type { GuestDebugRequest, KvmProcessor } from './interface.js';
import type { X86StateTransfer } from './x86-state.js';

const HARDWARE_BREAKPOINTS = 4;

export class Debugger {
  #wanted: GuestDebugRequest | undefined;
  /** Steps off a breakpoint first. */
  #leaving = false;

  constructor(
    private readonly kvm: KvmProcessor,
    private readonly transfer: X86StateTransfer,
    private readonly report: (text: string) => void,
  ) {}

  /** The processor is about to go on. */
  apply(): void {
    const { breakpoints = [], singleStep = false } = this.transfer.debugRequest();
    if (breakpoints.length > HARDWARE_BREAKPOINTS) {
      this.report(`KVM watches ${HARDWARE_BREAKPOINTS} breakpoints: of ${breakpoints.length} the last are left out`);
    }
    const watched = breakpoints.slice(0, HARDWARE_BREAKPOINTS);
    if (!singleStep && watched.length === 0 && !this.#wanted) return;
    this.#wanted = singleStep || watched.length > 0 ? { singleStep, breakpoints: watched } : undefined;
    // Who goes on at a breakpoint wants to leave it: one step without it.
    this.#leaving = !singleStep && watched.includes(this.transfer.linearPc(this.kvm));
    this.kvm.setGuestDebug(this.#leaving ? { singleStep: true } : (this.#wanted ?? {}));
  }

  /** Whether a debug exit is one that the debugger asked for. */
  stops(): boolean {
    if (!this.#leaving) return true;
    this.#leaving = false;
    this.kvm.setGuestDebug(this.#wanted ?? {});
    return this.#wanted?.breakpoints?.includes(this.transfer.linearPc(this.kvm)) ?? false;
  }
}
