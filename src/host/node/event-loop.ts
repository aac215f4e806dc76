/** Node's event loop as the machine thread uses it. */
import type { EventLoop } from '../../accel/run-loop.js';

const LONGEST_MS = 2 ** 31 - 1;

export class NodeEventLoop implements EventLoop {
  readonly #never = new Int32Array(new SharedArrayBuffer(4));
  #wake: (() => void) | undefined;
  #woken = false;

  turn(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve));
  }

  sleep(ms: number): Promise<void> {
    if (this.#woken || ms < 1) {
      // Timers have a resolution of 1 ms: for less, look around and come back.
      this.#woken = false;
      return this.turn();
    }
    return new Promise((resolve) => {
      // Rounded down: a timer that fires a little early makes us sleep again, one that fires late is late.
      const timer = Number.isFinite(ms)
        ? setTimeout(() => this.#wake?.(), Math.min(Math.floor(ms), LONGEST_MS))
        : undefined;
      this.#wake = () => {
        clearTimeout(timer);
        this.#wake = undefined;
        resolve();
      };
    });
  }

  nap(ms: number): void {
    if (this.#woken) {
      this.#woken = false;
      return;
    }
    Atomics.wait(this.#never, 0, 0, ms);
  }

  wake(): void {
    if (this.#wake) this.#wake();
    else this.#woken = true;
  }
}
