/** One run of the benchmark: what is wanted, the guests that are up, the rows so far. */
import { UserError } from '../src/base/errors.js';
import { type Clock, type Command, Guest, PROMPT } from './guest.js';
import { PEERS, tinamou, workFiles } from './machines.js';
import { type Bar, type Group, geometricMean, type Row, row } from './report.js';
import type { Bits } from './suite.js';

const BOOT_TRIES = 3;

export interface Wishes {
  /** Rows whose `group/workload` matches. */
  readonly pattern: RegExp;
  /** Samples of each row. */
  readonly runs: number;
  readonly peers: boolean;
  readonly cpu: string;
  readonly clock: Clock;
  readonly profile: boolean;
}

/** A booted Tinamou and, unless only ours is wanted, its booted peer. */
export interface Pair {
  readonly tinamou: Guest;
  readonly peer: Guest | undefined;
}

export class Session {
  readonly rows: Row[] = [];
  readonly groups: Group[] = [];
  readonly warnings: string[] = [];
  /** What else the report should tell. */
  readonly facts: Record<string, string | readonly string[]> = {};
  private readonly outputs = new Map<string, string>();
  private readonly pairs = new Map<Bits, Promise<Pair>>();

  constructor(readonly wishes: Wishes) {}

  wants(group: string, workload: string): boolean {
    return this.wishes.pattern.test(`${group}/${workload}`);
  }

  /** Warns when a command prints something else than it did before, there or on the other side. */
  sameOutput(command: string, guest: string, text: string): void {
    const first = this.outputs.get(command) ?? text;
    this.outputs.set(command, first);
    if (text !== first) this.warn(`'${command}' printed '${text.trim()}' in ${guest}, '${first.trim()}' before`);
  }

  say(text: string): void {
    console.error(text);
  }

  warn(text: string): void {
    this.warnings.push(text);
    this.say(`warning: ${text}`);
  }

  /** The guests in which workloads run, booted when first asked for. */
  pair(bits: Bits): Promise<Pair> {
    let pair = this.pairs.get(bits);
    if (!pair) {
      pair = this.boot(bits);
      this.pairs.set(bits, pair);
    }
    return pair;
  }

  private async boot(bits: Bits): Promise<Pair> {
    const f = await workFiles(bits);
    this.say(`booting the ${bits}-bit guests`);
    const guests = {
      tinamou: await this.booted('tinamou', tinamou(bits, f, this.wishes.cpu)),
      peer: this.wishes.peers
        ? await this.booted(PEERS[bits].name, PEERS[bits].command(f, this.wishes.cpu))
        : undefined,
    };
    await this.compareFeatures(bits, guests);
    return guests;
  }

  /** Kernels and libraries choose their code by the processor's features: which does only one side have? */
  private async compareFeatures(bits: Bits, { tinamou: ours, peer: theirs }: Pair): Promise<void> {
    if (!theirs) return;
    const flags = async (guest: Guest): Promise<string[]> =>
      (await guest.run("sed -n 's/^flags.*: //p' /proc/cpuinfo")).text.trim().split(/\s+/);
    const [a, b] = [await flags(ours), await flags(theirs)];
    this.facts[`features of ${ours.name} only, ${bits} bits`] = a.filter((f) => !b.includes(f));
    this.facts[`features of ${theirs.name} only, ${bits} bits`] = b.filter((f) => !a.includes(f));
  }

  /** A guest at its prompt. On a host too busy for them, kernels can find that their timers do not tick: tried again. */
  private async booted(name: string, command: Command): Promise<Guest> {
    for (let tries = 1; ; tries++) {
      const guest = new Guest(name, command, this.wishes.clock);
      try {
        await guest.until(PROMPT);
        // The shell does not fold long lines, and the kernel keeps its messages to itself.
        await guest.run('stty cols 500; dmesg -n 1');
        return guest;
      } catch (error) {
        await guest.stop();
        if (tries === BOOT_TRIES || !(error instanceof UserError)) throw error;
        this.warn(`boots again: ${error.message}`);
      }
    }
  }

  /**
   * Samples of one row, taken on both sides in turn; `sample` answers in the row's unit. Adds the row and says so.
   */
  async compare(
    what: Pick<Row, 'group' | 'workload' | 'unit'> & { readonly bar?: number | undefined },
    pair: Pair,
    sample: (guest: Guest) => Promise<number>,
  ): Promise<void> {
    const samples: { tinamou: number[]; peer: number[] } = { tinamou: [], peer: [] };
    for (let i = 0; i < this.wishes.runs; i++) {
      samples.tinamou.push(await sample(pair.tinamou));
      if (pair.peer) samples.peer.push(await sample(pair.peer));
    }
    this.add(row(what, samples.tinamou, samples.peer));
    if (this.wishes.profile) await this.profile(pair.tinamou, sample);
  }

  /** One more sample, under the emulator's profiler. */
  private async profile(guest: Guest, sample: (guest: Guest) => Promise<number>): Promise<void> {
    await guest.monitor('profile start');
    await sample(guest);
    console.log(`\n${await guest.monitor('profile stop')}`);
  }

  add(r: Row): void {
    this.rows.push(r);
    const side = (value: number | undefined): string => (value === undefined ? '-' : `${value.toFixed(2)} ${r.unit}`);
    const ratio = r.ratio === undefined ? '' : `, ratio ${r.ratio.toFixed(2)}`;
    this.say(`${r.group}/${r.workload}: tinamou ${side(r.tinamou)}, peer ${side(r.peer)}${ratio}`);
  }

  /** Closes a group: its mean over the rows it has, if any were wanted. */
  endGroup(group: Pick<Group, 'name' | 'title' | 'peer'>, bar: Bar): void {
    const rows = this.rows.filter((r) => r.group === group.name);
    if (rows.length === 0) return;
    const ratios = rows.flatMap((r) => (r.ratio === undefined ? [] : [r.ratio]));
    const mean = bar.mean === undefined ? undefined : geometricMean(ratios);
    this.groups.push({ ...group, mean, bar: bar.mean });
  }

  async stop(): Promise<void> {
    for (const pair of this.pairs.values()) {
      const { tinamou, peer } = await pair.catch(() => ({ tinamou: undefined, peer: undefined }));
      await tinamou?.stop();
      await peer?.stop();
    }
  }
}
