/**
 * KVM's clock for guests (kvmclock). KVM lets it run as long as the VM exists; here it stands still while the machine does,
 * and goes on where a loaded state left it.
 */
import type { KvmMachine } from './interface.js';

/** Of less, guests cannot tell that they stood still. */
const TOLERANCE_NS = 1e6;

export class GuestClock {
  /** Both clocks when the processors were parked. */
  #parked: { readonly virtual: number; readonly clock: bigint } | undefined;
  readonly #there: boolean;

  constructor(
    private readonly vm: KvmMachine,
    private readonly virtualNow: () => number,
  ) {
    this.#there = vm.capability('ADJUST_CLOCK') !== 0;
  }

  /** The processors stand still. Says nothing new when they did already. */
  park(): void {
    if (this.#there) this.#parked ??= { virtual: this.virtualNow(), clock: this.vm.clock() };
  }

  /** What the clock says, or would say if it stood still as it should. */
  now(): bigint {
    if (!this.#there) return 0n;
    return this.#parked ? this.#expected(this.#parked) : this.vm.clock();
  }

  /** Goes on from here. 0: the state came from where there is no such clock. */
  load(clock: bigint): void {
    if (this.#there && clock !== 0n) this.#parked = { virtual: this.virtualNow(), clock };
  }

  /** The processors go on. True when the clock had run on without them. */
  resume(): boolean {
    const parked = this.#parked;
    this.#parked = undefined;
    if (!parked) return false;
    const expected = this.#expected(parked);
    if (Math.abs(Number(this.vm.clock() - expected)) < TOLERANCE_NS) return false;
    this.vm.setClock(expected);
    return true;
  }

  #expected({ virtual, clock }: { readonly virtual: number; readonly clock: bigint }): bigint {
    return clock + BigInt(Math.round(this.virtualNow() - virtual));
  }
}
