/** Interrupt lines as a device sees them: something to raise and lower. */

export interface IrqLine {
  /** Drives the line. Idempotent: driving the level it has is free. */
  set(level: boolean): void;
}

/** Raises and lowers: an edge for whoever listens. */
export function pulse(line: IrqLine): void {
  line.set(true);
  line.set(false);
}

/** A line that goes nowhere. */
export const NO_IRQ: IrqLine = { set: () => {} };

/** A line that remembers its level and calls `changed` on every change: the receiving end. */
export class IrqInput implements IrqLine {
  level = false;
  constructor(private readonly changed: (level: boolean) => void) {}

  set(level: boolean): void {
    if (this.level === level) return;
    this.level = level;
    this.changed(level);
  }
}

/** Several drivers on one line: it is high while any of them drives it high. */
export class WiredOr {
  #raised = 0;
  constructor(private readonly output: IrqLine) {}

  /** A new driver of the line. */
  input(): IrqLine {
    return new IrqInput((level) => {
      this.#raised += level ? 1 : -1;
      this.output.set(this.#raised > 0);
    });
  }
}

/** One driver, several receivers. */
export function fanOut(...lines: readonly IrqLine[]): IrqLine {
  return {
    set(level) {
      for (const line of lines) line.set(level);
    },
  };
}

/** A line with a switch in it: while open, the receiver sees it low. */
export class SwitchedLine implements IrqLine {
  #level = false;
  #closed = true;
  constructor(private readonly output: IrqLine) {}

  set(level: boolean): void {
    this.#level = level;
    if (this.#closed) this.output.set(level);
  }

  set closed(on: boolean) {
    this.#closed = on;
    this.output.set(on && this.#level);
  }
}
