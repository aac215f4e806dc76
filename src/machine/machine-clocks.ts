/** The clocks of one machine over the host's, and their timers. */
import type { Clock, Clocks, Timer } from './clock.js';
import { TimerQueue } from './timer-queue.js';

/** What the host hands in (src/host). */
export interface TimeSource {
  /** Monotonic ns from any start. */
  monotonic(): number;
  /** Wall time: ns since 1970. */
  wall(): number;
}

class QueuedClock implements Clock {
  readonly queue: TimerQueue;
  constructor(
    readonly now: () => number,
    earlier: () => void,
  ) {
    this.queue = new TimerQueue(earlier);
  }

  timer(name: string, callback: () => void): Timer {
    return this.queue.create(name, callback);
  }
}

export class MachineClocks implements Clocks {
  readonly virtual: Clock;
  readonly realtime: Clock;
  readonly host: Clock;
  readonly #virtual: QueuedClock;
  readonly #realtime: QueuedClock;
  readonly #host: QueuedClock;
  /** Virtual time while stopped, and the source's time to subtract while running. */
  #stopped = 0;
  #offset = 0;
  #running = false;
  /** The source's time at which the realtime clock showed 0. */
  #start: number;
  #virtualSource: () => number;

  /** `earlier`: the next deadline moved forward (wake whoever sleeps until the old one). */
  constructor(source: TimeSource, earlier: () => void = () => {}) {
    this.#start = source.monotonic();
    this.#virtualSource = () => source.monotonic();
    this.#virtual = new QueuedClock(() => this.#virtualNow(), earlier);
    this.#realtime = new QueuedClock(() => source.monotonic() - this.#start, earlier);
    this.#host = new QueuedClock(() => source.wall(), earlier);
    this.virtual = this.#virtual;
    this.realtime = this.#realtime;
    this.host = this.#host;
  }

  /** Replaces what drives the virtual clock (counted instructions under -icount); the time it shows goes on from now. */
  driveVirtual(source: () => number): void {
    const now = this.#virtualNow();
    this.#virtualSource = source;
    this.#offset = source() - now;
  }

  /** Lets virtual time run on. */
  start(): void {
    if (this.#running) return;
    this.#offset = this.#virtualSource() - this.#stopped;
    this.#running = true;
  }

  /** Stops virtual time. */
  stop(): void {
    if (!this.#running) return;
    this.#stopped = this.#virtualNow();
    this.#running = false;
  }

  /** Sets virtual time (loading a snapshot); only while stopped. */
  setVirtual(ns: number): void {
    this.#stopped = ns;
  }

  /** Sets what the realtime clock shows (loading a snapshot). */
  setRealtime(ns: number): void {
    this.#start += this.#realtime.now() - ns;
  }

  /** Fires every timer that is due. Virtual ones only while virtual time runs. */
  runDue(): void {
    if (this.#running) this.#virtual.queue.run(this.#virtual.now());
    this.#realtime.queue.run(this.#realtime.now());
    if (this.#host.queue.nextDeadline !== Number.POSITIVE_INFINITY) this.#host.queue.run(this.#host.now());
  }

  /** Ns until the next deadline of any clock: 0 when one has passed, Infinity when there is none. */
  untilNext(): number {
    const wait = (clock: QueuedClock): number =>
      clock.queue.nextDeadline === Number.POSITIVE_INFINITY
        ? Number.POSITIVE_INFINITY
        : Math.max(0, clock.queue.nextDeadline - clock.now());
    const virtual = this.#running ? wait(this.#virtual) : Number.POSITIVE_INFINITY;
    return Math.min(virtual, wait(this.#realtime), wait(this.#host));
  }

  /** Deadline of the next virtual timer, in virtual ns; Infinity: none. */
  get nextVirtualDeadline(): number {
    return this.#virtual.queue.nextDeadline;
  }

  #virtualNow(): number {
    return this.#running ? this.#virtualSource() - this.#offset : this.#stopped;
  }
}
