/**
 * Real time as a guest sees it that is not to notice the emulator's own pauses. Time spent on translating and compiling is not shown:
 * the guest's processors stand still meanwhile, and were it shown, a guest that has just begun would find its clock due again before
 * the code for the last tick is there. Code that waits for a timer by reading it over and over (Linux measures the TSC against
 * the 8254 so) takes any pause between two readings for time that its processor spent: one of 200 µs spoils the measurement. So
 * while time is read all the time, the few readings that come much later than those before them are not shown either.
 *
 * What was hidden is made up for where the guest waits anyway: when all processors wait, the clock goes on at once to what they wait
 * for, and when one does nothing but read the TSC, it runs four times as fast until it has caught up. (All at once, a guest that
 * waits for some ticks so would find the time over with the first of them.) Otherwise it runs a little faster. The clock never
 * runs backwards and is never more than MAX_LAG_NS late.
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
/** Share of the time by which the clock catches up. */
const CATCH_UP = 1 / 32;
/** And does in a loop that waits; not where a device is read each time: one clock is measured by another there, as exactly as can be. */
const WAITING_CATCH_UP = 3;
const WAITING_NS = 1000;
/** More is shown as it passes: a guest whose code is new all the time, an overloaded host. */
const MAX_LAG_NS = 500_000_000;

export class SteadyClock {
  readonly #source: () => number;
  readonly #ownWork: () => number;
  #real: number;
  #own: number;
  #lag = 0;
  /** Readings in a row less than POLL_NS apart, and ns between them on average. */
  #polls = 0;
  #usual = POLL_NS;
  /** Since the last slice began: ns that the guest did nothing but wait, and in all. */
  #waited = 0;
  #passed = 0;
  /** The slice under way is as short as a fast clock wants it. */
  #hurries = false;

  /** `source`: monotonic ns. `ownWork`: ns so far in which the emulator translated and compiled. */
  constructor(source: () => number, ownWork: () => number) {
    this.#source = source;
    this.#ownWork = ownWork;
    this.#real = source();
    this.#own = ownWork();
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
    if (this.#polls >= REGULAR && guest > LATE * this.#usual) {
      hidden += guest - this.#usual;
      // If most take that long, the loop is over.
      if (guest > POLL_NS) this.#polls -= PAUSE_COST;
      else this.#usual += (guest - this.#usual) * WEIGHT;
    } else if (guest > POLL_NS) {
      this.#polls = 0;
      this.#usual = POLL_NS;
    } else {
      if (this.#polls < MAX_POLLS) this.#polls++;
      this.#usual += (guest - this.#usual) * WEIGHT;
    }
    this.#passed += passed;
    const waits = this.#polls >= REGULAR && this.#usual < WAITING_NS;
    if (waits) this.#waited += passed;
    const rate = waits && this.#hurries ? WAITING_CATCH_UP : CATCH_UP;
    this.#lag = Math.min(MAX_LAG_NS, Math.max(0, this.#lag - (passed - hidden) * rate) + hidden);
    return real - this.#lag;
  }

  /** A slice begins: one that waits is likely to go on with it. */
  beginSlice(): void {
    this.#hurries = this.#lag > 0 && this.#waited * 2 > this.#passed;
    this.#waited = this.#passed = 0;
  }

  /** Real ns in which `ns` pass for the guest, at the least: what a slice has until a timer. */
  inReal(ns: number): number {
    return this.#hurries ? ns / (1 + WAITING_CATCH_UP) : ns;
  }

  /** The guest waits for something that is due in `ns`: how long it still is when the clock has caught up. */
  idle(ns: number): number {
    const skipped = Math.min(this.#lag, ns);
    this.#lag -= skipped;
    return ns - skipped;
  }
}
