/**
 * Trace events: declared with a name and a printf format, off by default. They are process-wide, as `-trace` and `-D`
 * are. A caller guards with `enabled`, so an event that is off costs one load and allocates nothing:
 *
 *     const trace = traceEvents({ i8254_write: 'port %u value 0x%02x' });
 *     if (trace.i8254_write.enabled) trace.i8254_write.emit(port, value);
 *
 * A device type names its events (`DeviceType.trace`), which is how `-trace help` and the monitor find them.
 */
import { format } from './format.js';

export type TraceArgument = number | string | boolean;

export class TraceEvent {
  enabled = false;
  constructor(
    readonly name: string,
    readonly format: string,
  ) {}

  emit(...args: TraceArgument[]): void {
    if (recorder) recorder(this, args);
    else sink(`${this.name} ${this.text(args)}`);
  }

  /** The arguments as the format has them. */
  text(args: readonly TraceArgument[]): string {
    return format(this.format, args);
  }
}

export type TraceEvents<N extends string = string> = Readonly<Record<N, TraceEvent>>;

/** Declares a group of events: name to format. */
export function traceEvents<N extends string>(formats: Readonly<Record<N, string>>): TraceEvents<N> {
  const events = {} as Record<N, TraceEvent>;
  for (const name of Object.keys(formats) as N[]) events[name] = new TraceEvent(name, formats[name]);
  return events;
}

const traced = new Set<TraceEvent>();

/** Whether any event is on. */
export const tracing = (): boolean => traced.size > 0;

/** Turns on (or off) the events that match a glob with `*`; returns how many matched. */
export function setTrace(events: Iterable<TraceEvent>, pattern: string, enabled: boolean): number {
  const matcher = new RegExp(`^${pattern.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '.*')}$`);
  let matched = 0;
  for (const event of events) {
    if (!matcher.test(event.name)) continue;
    event.enabled = enabled;
    if (enabled) traced.add(event);
    else traced.delete(event);
    matched++;
  }
  return matched;
}

let sink: (line: string) => void = () => {};

/** Where enabled events go: one line each, without a newline. */
export function setTraceSink(to: (line: string) => void): void {
  sink = to;
}

let recorder: ((event: TraceEvent, args: readonly TraceArgument[]) => void) | undefined;

/** Takes enabled events as values, instead of lines for the sink. */
export function setTraceRecorder(to: typeof recorder): void {
  recorder = to;
}
