/** What `npm run bench:disk` says of each row. */

export interface Times {
  readonly elapsed: number;
  /** Processor time of the process, user and system. */
  readonly busy: number;
}

export interface DiskRow {
  readonly name: string;
  /** The throughput wanted, as a part of the peer's; null: none was asked for. */
  readonly bar: number | null;
  readonly ours: Times;
  readonly theirs: Times;
}

const NAME = 44;
const SIDE = 18;

export function header(): string {
  return `${''.padEnd(NAME)}${'tinamou'.padEnd(SIDE)}${'qemu'.padEnd(SIDE)}throughput ratio, elapsed (processor); bar`;
}

export function line({ name, bar, ours, theirs }: DiskRow): string {
  const show = (t: Times): string => `${t.elapsed.toFixed(3)} (${t.busy.toFixed(3)})`.padEnd(SIDE);
  const ratio = theirs.elapsed / ours.elapsed;
  const verdict = bar === null ? '-' : `${bar}${ratio >= bar ? '' : '  below'}`;
  return `${name.padEnd(NAME)}${show(ours)}${show(theirs)}${ratio.toFixed(2)} (${(theirs.busy / ours.busy).toFixed(2)}); ${verdict}`;
}
