/**
 * Trace events as JSON that chrome://tracing and Perfetto show ("Trace Event Format", the array form): a row for each
 * processor, with a bar for every exit from its start to its end.
 */
import { KVM_TRACE } from '../../accel/kvm/trace.js';
import type { TraceArgument, TraceEvent } from '../../base/trace.js';

/** Formats of events that are about one processor begin so. */
const OF_PROCESSOR = 'cpu %d ';
const PID = 1;

export class ChromeTrace {
  #first = true;
  /** Processors with a bar that has not ended. */
  readonly #open = new Set<number>();

  /** `now`: ns. */
  constructor(
    private readonly write: (text: string) => void,
    private readonly now: () => number,
  ) {
    write('[');
  }

  record(event: TraceEvent, args: readonly TraceArgument[]): void {
    const common = {
      ts: this.now() / 1000,
      pid: PID,
      tid: event.format.startsWith(OF_PROCESSOR) ? Number(args[0]) : -1,
    };
    if (event === KVM_TRACE.kvm_exit) {
      this.#open.add(common.tid);
      this.#put({ name: String(args[1]), cat: 'kvm', ph: 'B', ...common, args: { rip: args[2] } });
    } else if (event === KVM_TRACE.kvm_entry && this.#open.delete(common.tid)) this.#put({ ph: 'E', ...common });
    else this.#put({ name: event.name, ph: 'i', s: 't', ...common, args: { text: event.text(args) } });
  }

  finish(): void {
    this.write('\n]\n');
  }

  #put(entry: object): void {
    this.write(`${this.#first ? '' : ','}\n${JSON.stringify(entry)}`);
    this.#first = false;
  }
}
