/** Rows of the benchmark's table, the means over groups of them, and how they are shown and compared. */

/** What must be at most how much. */
export interface Bar {
  /** Of a row: its ratio to the peer, or its value where there is no peer. */
  readonly each?: number;
  /** Of a group: the geometric mean of its rows' ratios. */
  readonly mean?: number;
}

export interface Row {
  readonly group: string;
  readonly workload: string;
  readonly unit: 's' | 'MiB';
  /** Median of our samples. */
  readonly tinamou: number;
  readonly peer: number | undefined;
  /** Median of the ratios, pair by pair; undefined without a peer. */
  readonly ratio: number | undefined;
  readonly bar: number | undefined;
  /** The bar is for the value itself, not for its ratio to the peer's. */
  readonly absolute?: boolean;
  readonly samples: { readonly tinamou: readonly number[]; readonly peer: readonly number[] };
  readonly note?: string;
}

export interface Group {
  readonly name: string;
  readonly title: string;
  readonly peer: string;
  readonly mean: number | undefined;
  readonly bar: number | undefined;
}

export interface Report {
  readonly date: string;
  readonly commit: string;
  readonly machine: Readonly<Record<string, string | number>>;
  readonly versions: Readonly<Record<string, string>>;
  readonly settings: Readonly<Record<string, string | number>>;
  readonly groups: readonly Group[];
  readonly rows: readonly Row[];
  readonly warnings: readonly string[];
  readonly facts: Readonly<Record<string, string | readonly string[]>>;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export function geometricMean(values: readonly number[]): number | undefined {
  if (values.length === 0) return undefined;
  return Math.exp(values.reduce((sum, v) => sum + Math.log(v), 0) / values.length);
}

/** A row from samples that were taken in turn. */
export function row(
  what: Pick<Row, 'group' | 'workload' | 'unit' | 'absolute' | 'note'> & { readonly bar?: number | undefined },
  tinamou: readonly number[],
  peer: readonly number[],
): Row {
  const pairs = tinamou.slice(0, peer.length).map((t, i) => t / peer[i]!);
  return {
    ...what,
    bar: what.bar,
    tinamou: median(tinamou),
    peer: peer.length > 0 ? median(peer) : undefined,
    ratio: pairs.length > 0 ? median(pairs) : undefined,
    samples: { tinamou, peer },
  };
}

export function met(r: Pick<Row, 'bar' | 'ratio' | 'tinamou' | 'absolute'>): boolean | undefined {
  const measured = r.absolute ? r.tinamou : r.ratio;
  return r.bar === undefined || measured === undefined ? undefined : measured <= r.bar;
}

const number = (value: number | undefined, digits = 2): string => (value === undefined ? '' : value.toFixed(digits));
const word = (value: boolean | undefined): string => (value === undefined ? '' : value ? 'yes' : 'NO');

/** Columns as wide as their widest cell, the first to the left. */
function aligned(lines: readonly (readonly string[])[]): string[] {
  const widths = lines[0]!.map((_, i) => Math.max(...lines.map((l) => l[i]!.length)));
  return lines.map((l) =>
    l
      .map((c, i) => (i === 0 ? c.padEnd(widths[i]!) : c.padStart(widths[i]!)))
      .join('  ')
      .trimEnd(),
  );
}

/** The whole table, group by group, each with its mean. */
export function table(report: Report): string {
  const lines: string[][] = [['workload', 'tinamou', 'peer', 'ratio', 'bar', 'met?']];
  const notes: string[] = [];
  for (const g of report.groups) {
    lines.push([`${g.title} (peer: ${g.peer})`, '', '', '', '', '']);
    for (const r of report.rows.filter((x) => x.group === g.name)) {
      const value = (v: number | undefined): string => (v === undefined ? '' : `${number(v)} ${r.unit}`);
      const note = r.note === undefined ? '' : ` [${notes.push(r.note)}]`;
      const bar = r.bar === undefined ? '' : r.absolute ? value(r.bar) : number(r.bar);
      lines.push([`  ${r.workload}${note}`, value(r.tinamou), value(r.peer), number(r.ratio), bar, word(met(r))]);
    }
    if (g.mean === undefined) continue;
    const reached = g.bar === undefined ? undefined : g.mean <= g.bar;
    lines.push(['  geometric mean', '', '', number(g.mean), number(g.bar), word(reached)]);
  }
  return [...aligned(lines), ...notes.map((n, i) => `[${i + 1}] ${n}`)].join('\n');
}

/** Workloads in which the peer was faster, the worst first. */
export function losses(report: Report): string[] {
  return report.rows
    .filter((r) => r.ratio !== undefined && r.ratio > 1)
    .sort((a, b) => b.ratio! - a.ratio!)
    .map((r) => `${r.group}/${r.workload}: ${number(r.ratio)} times as long`);
}

/** Whether every bar of what was measured is met. */
export const allMet = (report: Report): boolean =>
  report.rows.every((r) => met(r) !== false) &&
  report.groups.every((g) => g.mean === undefined || g.bar === undefined || g.mean <= g.bar);

/** Our figures then and now, with those of the peer as a measure of how alike the two runs' machines were. */
export function comparison(before: Report, now: Report): string {
  const lines: string[][] = [
    ['workload', 'before', 'now', 'now/before', 'ratio before', 'ratio now', 'peer now/before'],
  ];
  const changes: number[] = [];
  for (const r of now.rows) {
    const old = before.rows.find((o) => o.group === r.group && o.workload === r.workload);
    if (!old) continue;
    const change = r.ratio !== undefined && old.ratio !== undefined ? r.ratio / old.ratio : r.tinamou / old.tinamou;
    if (r.unit === 's') changes.push(change);
    const peers = r.peer !== undefined && old.peer !== undefined ? r.peer / old.peer : undefined;
    lines.push([
      `${r.group}/${r.workload}`,
      ...[old.tinamou, r.tinamou, r.tinamou / old.tinamou, old.ratio, r.ratio, peers].map((v) => number(v)),
    ]);
  }
  const mean = geometricMean(changes);
  return [
    `compared with ${before.commit.slice(0, 10)} of ${before.date}:`,
    ...aligned(lines),
    mean === undefined
      ? 'no workload in common'
      : `geometric mean of the changes (of ratios where there are any): ${number(mean)}`,
  ].join('\n');
}

/** The figures as docs/performance.md has them. */
export function markdown(report: Report): string {
  const { machine, versions, settings } = report;
  const cell = (r: Row, value: number | undefined): string => (value === undefined ? '' : `${number(value)} ${r.unit}`);
  const only = settings['only'] === '' ? '' : ` --only '${settings['only']}'`;
  const clock = settings['clock'] === 'wall' ? '' : ` --clock ${settings['clock']}`;
  const lines = [
    `\`npm run bench -- --runs ${settings['runs']}${clock}${only}\` on ${report.date.slice(0, 10)}, commit ${report.commit.slice(0, 10)};`,
    `${machine['processors']} processors (${machine['processor']}), Node.js ${versions['node']}, ${versions['qemu']}, v86 ${versions['v86']}.`,
  ];
  for (const g of report.groups) {
    lines.push(
      '',
      `### ${g.title} (peer: ${g.peer})`,
      '',
      '| | Tinamou | peer | ratio | bar | met |',
      '| --- | --- | --- | --- | --- | --- |',
    );
    for (const r of report.rows.filter((x) => x.group === g.name)) {
      const bar = r.absolute ? cell(r, r.bar) : number(r.bar);
      const note = r.note === undefined ? '' : ` (${r.note})`;
      lines.push(
        `| ${r.workload}${note} | ${cell(r, r.tinamou)} | ${cell(r, r.peer)} | ${number(r.ratio)} | ${bar} | ${word(met(r))} |`,
      );
    }
    if (g.mean === undefined) continue;
    const reached = g.bar === undefined ? undefined : g.mean <= g.bar;
    lines.push(`| **geometric mean** | | | ${number(g.mean)} | ${number(g.bar)} | ${word(reached)} |`);
  }
  return lines.join('\n');
}
