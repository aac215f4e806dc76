/** Virtual time under -icount: it goes on by a fixed amount an instruction, and while the guest idles to its next timer. */

/** Guest code runs at most so long, in virtual ns, before timers that it has armed meanwhile are looked at. */
const QUANTUM_NS = 100_000;

export class InstructionClock {
  readonly #executed: () => number;
  readonly #nsPerInstruction: number;
  /** Virtual ns that passed while no instruction ran. */
  #idle = 0;

  /** `executed`: instructions so far. An instruction takes 2^shift ns. `sleep`: idle time takes as long in real time. */
  constructor(
    executed: () => number,
    shift: number,
    readonly sleep: boolean,
  ) {
    this.#executed = executed;
    this.#nsPerInstruction = 2 ** shift;
  }

  now(): number {
    return this.#idle + this.#executed() * this.#nsPerInstruction;
  }

  /** How many instructions may run until the next virtual deadline is looked at. */
  budget(untilDeadlineNs: number): number {
    return Math.max(1, Math.ceil(Math.min(untilDeadlineNs, QUANTUM_NS) / this.#nsPerInstruction));
  }

  skip(ns: number): void {
    this.#idle += ns;
  }
}
