/** The timers of one clock: a binary heap by deadline; of equal deadlines the one armed first fires first. */
import type { Timer } from './clock.js';

class QueuedTimer implements Timer {
  deadline = Number.POSITIVE_INFINITY;
  /** Position in the heap, -1: idle. */
  position = -1;
  /** Order of arming. */
  order = 0;

  constructor(
    readonly name: string,
    readonly callback: () => void,
    private readonly queue: TimerQueue,
  ) {}

  arm(atNs: number): void {
    this.queue.arm(this, atNs);
  }

  disarm(): void {
    this.queue.disarm(this);
  }
}

export class TimerQueue {
  #heap: QueuedTimer[] = [];
  #armed = 0;

  /** `earlier` is told when the next deadline moved forward. */
  constructor(private readonly earlier: () => void = () => {}) {}

  create(name: string, callback: () => void): Timer {
    return new QueuedTimer(name, callback, this);
  }

  /** Infinity when nothing is armed. */
  get nextDeadline(): number {
    return this.#heap[0]?.deadline ?? Number.POSITIVE_INFINITY;
  }

  /**
   * Fires what is due at `now`. A timer that its callback re-arms at or before `now` waits for the next call, so a
   * guest that programs a tiny period cannot hold the machine here.
   */
  run(now: number): void {
    const limit = this.#armed;
    for (let timer = this.#heap[0]; timer && timer.deadline <= now; timer = this.#heap[0]) {
      if (timer.order > limit) return;
      this.disarm(timer);
      timer.callback();
    }
  }

  arm(timer: QueuedTimer, deadline: number): void {
    const before = this.nextDeadline;
    if (timer.position >= 0) this.disarm(timer);
    if (deadline === Number.POSITIVE_INFINITY || Number.isNaN(deadline)) return;
    timer.deadline = deadline;
    timer.order = ++this.#armed;
    timer.position = this.#heap.length;
    this.#heap.push(timer);
    this.#up(timer);
    if (deadline < before) this.earlier();
  }

  disarm(timer: QueuedTimer): void {
    const at = timer.position;
    if (at < 0) return;
    timer.position = -1;
    timer.deadline = Number.POSITIVE_INFINITY;
    const last = this.#heap.pop()!;
    if (last === timer) return;
    this.#place(last, at);
    this.#up(last);
    this.#down(last);
  }

  #up(timer: QueuedTimer): void {
    while (timer.position > 0) {
      const parent = this.#heap[(timer.position - 1) >> 1]!;
      if (!before(timer, parent)) return;
      const at = parent.position;
      this.#place(parent, timer.position);
      this.#place(timer, at);
    }
  }

  #down(timer: QueuedTimer): void {
    for (;;) {
      const left = this.#heap[2 * timer.position + 1];
      const right = this.#heap[2 * timer.position + 2];
      const child = right && left && before(right, left) ? right : left;
      if (!child || !before(child, timer)) return;
      const at = child.position;
      this.#place(child, timer.position);
      this.#place(timer, at);
    }
  }

  #place(timer: QueuedTimer, at: number): void {
    timer.position = at;
    this.#heap[at] = timer;
  }
}

const before = (a: QueuedTimer, b: QueuedTimer): boolean =>
  a.deadline < b.deadline || (a.deadline === b.deadline && a.order < b.order);
