/** A time source that moves when a test says so. */
import { MachineClocks, type TimeSource } from '../machine-clocks.js';

export class ManualTime implements TimeSource {
  #ns = 0;
  /** 2024-01-01T00:00:00Z. */
  constructor(readonly wallStart = 1_704_067_200e9) {}

  monotonic(): number {
    return this.#ns;
  }
  wall(): number {
    return this.wallStart + this.#ns;
  }

  /** Clocks over this source, virtual time running. */
  clocks(): MachineClocks {
    const clocks = new MachineClocks(this);
    clocks.start();
    return clocks;
  }

  /** Moves on by `ns`, stopping at every deadline on the way to let the timers of `clocks` fire when they are due. */
  advance(clocks: MachineClocks, ns: number): void {
    const end = this.#ns + ns;
    for (;;) {
      const next = clocks.untilNext();
      if (this.#ns + next > end) break;
      this.#ns = Math.max(this.#ns, Math.ceil(this.#ns + next));
      clocks.runDue();
    }
    this.#ns = end;
    clocks.runDue();
  }
}
