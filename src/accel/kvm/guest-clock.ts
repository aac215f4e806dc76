/**
 * KVM's clock for guests (kvmclock). KVM lets it run as long as the VM exists; here it stands still while the machine does,
 * and goes on where a loaded state left it.
 */
import type { KvmMachine } from './interface.js';

/** Of less, guests cannot tell that they stood still. */
const TOLERANCE_NS = 1e6;
/** Looks at both clocks that took no longer than this are one moment; on a busy host one of so many does. */
const MOMENT_NS = 1e5;
const LOOKS = 5;

interface Moment {
  readonly virtual: number;
  readonly clock: bigint;
}

export class GuestClock {
  /** Both clocks when the processors were parked. */
  #parked: Moment | undefined;
  readonly #there: boolean;

  constructor(
    private readonly vm: Pick<KvmMachine, 'capability' | 'clock' | 'setClock'>,
    private readonly virtualNow: () => number,
  ) {
    this.#there = vm.capability('ADJUST_CLOCK') !== 0;
  }

  /** The processors stand still. Says nothing new when they did already. */
  park(): void {
    if (this.#there) this.#parked ??= this.#look();
  }

  /** What the clock says, or would say if it stood still as it should. */
  now(): bigint {
    if (!this.#there) return 0n;
    return this.#parked ? expected(this.#parked, this.virtualNow()) : this.vm.clock();
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
    let moved = false;
    // Another look after setting it: this thread may have had to wait in between.
    for (let i = 0; i < LOOKS; i++) {
      const { virtual, clock } = this.#look();
      if (Math.abs(Number(clock - expected(parked, virtual))) < TOLERANCE_NS) break;
      this.vm.setClock(expected(parked, this.virtualNow()));
      moved = true;
    }
    return moved;
  }

  /** Both clocks at one moment, as far as this thread is not made to wait between two looks each time. */
  #look(): Moment {
    let best: Moment | undefined;
    let shortest = Number.POSITIVE_INFINITY;
    for (let i = 0; i < LOOKS && shortest > MOMENT_NS; i++) {
      const before = this.virtualNow();
      const clock = this.vm.clock();
      const took = this.virtualNow() - before;
      if (best && took >= shortest) continue;
      best = { virtual: before + took / 2, clock };
      shortest = took;
    }
    return best!;
  }
}

const expected = ({ virtual, clock }: Moment, now: number): bigint => clock + BigInt(Math.round(now - virtual));
