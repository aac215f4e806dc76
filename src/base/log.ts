/** The log that `-d` and `-D` control: items that devices and boards report. Process-wide, off by default. */
import { format } from './format.js';
import type { TraceArgument } from './trace.js';

/** What a device may report: a guest that programs it wrongly, and a feature that we lack. */
export const log = {
  guestErrors: false,
  unimplemented: false,
};

let sink: (line: string) => void = () => {};

/** Where lines go, without a newline. */
export function setLogSink(to: (line: string) => void): void {
  sink = to;
}

/** The guest did what the specification forbids (`-d guest_errors`). */
export function guestError(text: string, ...args: TraceArgument[]): void {
  if (log.guestErrors) sink(format(text, args));
}

/** The guest asked for what Tinamou does not emulate (`-d unimp`). */
export function unimplemented(text: string, ...args: TraceArgument[]): void {
  if (log.unimplemented) sink(format(text, args));
}
