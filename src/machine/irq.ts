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
