/**
 * Real time as a guest sees it that is not to notice the emulator's own pauses. Code that waits for a timer by reading it over
 * and over (Linux measures the TSC against the 8254 so) takes a pause between two readings for time that its processor spent:
 * one of 200 µs spoils the measurement. So while time is read all the time, time spent on translating, compiling and warming up is
 * not shown, nor are the few readings that come much later than those before it. What was hidden is made up for by a clock that runs
 * a quarter faster, and twice as fast while the guest does something else; all at once, a guest that waits for some ticks by
 * reading the time would find the time over with the first of them. The clock never runs backwards and is never more than
 * MAX_LAG_NS late.
 *
 * A guest that has just begun, or goes on, has all its code translated anew. Were that time shown, its clock would tick again before the
 * code for the last tick is there, and a machine just loaded would translate all that a tick can bring before it did anything else:
 * so for a while (`begin`) such work is hidden whatever the guest does.
 */

/** Readings further apart than this are not a loop that waits for the time. */
const POLL_NS = 20_000;
/** So many readings in a row make a regular loop. */
const REGULAR = 16;
/** A pause takes back so many of them, of which so many are kept: the run loop itself reads the time around its turns. */
const PAUSE_COST = 4;
const MAX_POLLS = 64;
/** In a regular loop a reading that takes so many times as long as usual was held up by the host. */
const LATE = 4;
/** Weight of a reading in what is usual. */
const WEIGHT = 1 / 8;
/** Share of the time by which the clock catches up while time is read all the time, and otherwise. */
const CATCH_UP = 1 / 4;
const FAST_CATCH_UP = 1;
/** Reached on overloaded hosts only: a jump in mid-loop is worse than lag, for Linux may take the TSC's rate from it. */
const MAX_LAG_NS = 250_000_000;
/** How long, in time that the guest had for itself, a guest counts as one that has just begun. */
const BEGINNING_NS = 50_000_000;

export class SteadyClock {
  readonly #source: () => number;
  readonly #ownWork: () => number;
  #real: number;
  #own: number;
  #lag = 0;
  /** Readings in a row less than POLL_NS apart, and ns between them on average. */
  #polls = 0;
  #usual = POLL_NS;
  /** Ns left of the guest's beginning. */
  #beginning = 0;

  /** `source`: monotonic ns. `ownWork`: ns so far in which the emulator translated and compiled. */
  constructor(source: () => number, ownWork: () => number) {
    this.#source = source;
    this.#ownWork = ownWork;
    this.#real = source();
    this.#own = ownWork();
  }

  /** The guest begins, or goes on after it stood still. */
  begin(): void {
    this.#beginning = BEGINNING_NS;
  }

  /** Monotonic ns. */
  now(): number {
    const real = this.#source();
    const own = this.#ownWork();
    const passed = real - this.#real;
    let hidden = Math.min(passed, own - this.#own);
    const guest = passed - hidden;
    this.#real = real;
    this.#own = own;
    this.#beginning = Math.max(0, this.#beginning - guest);
    if (this.#polls >= REGULAR && guest > LATE * this.#usual) {
      hidden += guest - this.#usual;
      // If most take that long, the loop is over.
      if (guest > POLL_NS) this.#polls -= PAUSE_COST;
      else this.#usual += (guest - this.#usual) * WEIGHT;
    } else if (guest > POLL_NS) {
      this.#polls = 0;
      this.#usual = POLL_NS;
      if (this.#beginning === 0) {
        this.#lag = Math.max(0, this.#lag - passed * FAST_CATCH_UP);
        return real - this.#lag;
      }
    } else {
      if (this.#polls < MAX_POLLS) this.#polls++;
      this.#usual += (guest - this.#usual) * WEIGHT;
    }
    this.#lag = Math.min(MAX_LAG_NS, Math.max(0, this.#lag - (passed - hidden) * CATCH_UP) + hidden);
    return real - this.#lag;
  }
}
