/** When a lab is said to stand still. */
import { readdirSync, readFileSync } from 'node:fs';

export interface Limits {
  /** So many seconds in which it needed next to no processor. */
  readonly idle?: number;
  /** So many seconds in which its command printed nothing. */
  readonly silent?: number;
}

/** An idle Linux, emulated, needs 0.6 % of a processor. */
const IDLE_SHARE = 0.03;

/** Times are in seconds, of any clock. */
export class Standstill {
  /** When it was looked at, and what it had needed by then; the first is as old as `limits.idle`. */
  readonly #looks: { readonly at: number; readonly needed: number }[] = [];
  #printed: number;

  constructor(
    private readonly limits: Limits,
    now: number,
  ) {
    this.#printed = now;
  }

  printed(now: number): void {
    this.#printed = now;
  }

  /** `needed`: what `processorNeed` says. Why it stands still, if it does. */
  look(now: number, needed: number): string | undefined {
    const { idle, silent } = this.limits;
    if (silent !== undefined && now - this.#printed >= silent) return `its command printed nothing for ${silent} s`;
    if (idle === undefined) return undefined;
    this.#looks.push({ at: now, needed });
    while (this.#looks.length > 1 && now - this.#looks[1]!.at >= idle) this.#looks.shift();
    const [first] = this.#looks;
    if (now - first!.at < idle || needed - first!.needed >= IDLE_SHARE * (now - first!.at)) return undefined;
    return `it needed ${(needed - first!.needed).toFixed(1)} s of a processor in ${Math.round(now - first!.at)} s`;
  }
}

/**
 * Seconds for which threads ran or waited for a processor: a lab that its host keeps waiting does not stand still. Of threads that
 * are there: one that ends takes what it needed with it.
 */
export function processorNeed(pid: number): number {
  return readdirSync(`/proc/${pid}/task`).reduce((sum, thread) => sum + threadNeed(`/proc/${pid}/task/${thread}`), 0);
}

function threadNeed(folder: string): number {
  try {
    return schedstatSeconds(readFileSync(`${folder}/schedstat`, 'utf8'));
  } catch {
    return 0; // it has ended
  }
}

/** Linux, Documentation/scheduler/sched-stats.rst: time on a processor, time waiting for one (both in ns), and how often. */
export function schedstatSeconds(text: string): number {
  const [ran, waited] = text.split(' ');
  return (Number(ran) + Number(waited)) / 1e9;
}
