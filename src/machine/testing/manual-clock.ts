/** Capabilities for tests of devices: time that a test advances, and a line that remembers. */
import type { Clock, Timer } from '../clock.js';
import type { IrqLine } from '../irq.js';

export class ManualClock implements Clock {
  #now: number;
  readonly #timers: { deadline: number; readonly callback: () => void }[] = [];

  constructor(startNs = 0) {
    this.#now = startNs;
  }

  now(): number {
    return this.#now;
  }

  timer(_name: string, callback: () => void): Timer {
    const state = { deadline: Number.POSITIVE_INFINITY, callback };
    this.#timers.push(state);
    return {
      get deadline() {
        return state.deadline;
      },
      arm(atNs: number): void {
        state.deadline = atNs;
      },
      disarm(): void {
        state.deadline = Number.POSITIVE_INFINITY;
      },
    };
  }

  /** Moves time on, firing timers in order of their deadlines. */
  advance(ns: number): void {
    const end = this.#now + ns;
    for (;;) {
      const next = this.#timers.reduce((a, b) => (b.deadline < a.deadline ? b : a), {
        deadline: Number.POSITIVE_INFINITY,
        callback: () => {},
      });
      if (next.deadline > end) break;
      this.#now = Math.max(this.#now, next.deadline);
      next.deadline = Number.POSITIVE_INFINITY;
      next.callback();
    }
    this.#now = end;
  }
}

/** An interrupt line whose level and rising edges a test looks at. */
export class ProbeLine implements IrqLine {
  level = false;
  edges = 0;

  set(level: boolean): void {
    if (level && !this.level) this.edges++;
    this.level = level;
  }
}
