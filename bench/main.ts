/**
 * `npm run bench [-- options]`: Tinamou against its peers, side by side, the same guests on both; one table.
 *   --only PATTERN     rows whose `group/workload` matches (a regular expression); --list names them
 *   --runs N           samples of a row, taken in turn on both sides (default 3)
 *   --quick            a smoke test: one sample each
 *   --no-peer          ours only
 *   --profile          after each row of the suite and of commands: where Tinamou's time went in one more run
 *   --clock process   counts the processes' processor time instead of the clock's: for a busy machine
 *   --cpu MODEL        the processor model of both sides (default max)
 *   --json FILE        writes the report; --compare FILE sets it beside an earlier one
 *   --docs             puts the figures into docs/performance.md; with --from FILE those of an earlier --json
 * Ends with status 1 when a bar is not met.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import { UserError } from '../src/base/errors.js';
import { leaveOutCertificates } from './environment.js';
import { GROUPS } from './groups.js';
import { allMet, comparison, losses, markdown, type Report, table } from './report.js';
import { Session } from './session.js';

leaveOutCertificates();

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    list: { type: 'boolean', default: false },
    runs: { type: 'string', default: '3' },
    quick: { type: 'boolean', default: false },
    'no-peer': { type: 'boolean', default: false },
    cpu: { type: 'string', default: 'max' },
    profile: { type: 'boolean', default: false },
    clock: { type: 'string', default: 'wall' },
    json: { type: 'string' },
    docs: { type: 'boolean', default: false },
    from: { type: 'string' },
    compare: { type: 'string' },
  },
});

const firstLine = (command: string, args: readonly string[]): string => {
  const done = spawnSync(command, args, { encoding: 'utf8' });
  return done.error ? 'not installed' : done.stdout.split('\n')[0]!.trim();
};

const v86Version = (): string =>
  (JSON.parse(readFileSync(new URL('../package.json', import.meta.resolve('v86')), 'utf8')) as { version: string })
    .version;

/** An earlier run's report. Throws UserError. */
function earlier(file: string): Report {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Report;
  } catch (error) {
    throw new UserError(`cannot read '${file}': ${error instanceof Error ? error.message : error}`);
  }
}

const DOCS = new URL('../../docs/performance.md', import.meta.url);
const FIGURES = /(<!-- figures -->\n)[\s\S]*(<!-- \/figures -->)/;

function writeDocs(report: Report): void {
  const text = readFileSync(DOCS, 'utf8');
  if (!FIGURES.test(text)) throw new UserError(`no place for figures in ${DOCS.pathname}`);
  writeFileSync(
    DOCS,
    text.replace(FIGURES, (_, begin, end) => `${begin}${markdown(report)}\n${end}`),
  );
}

async function main(): Promise<boolean> {
  if (values.from !== undefined) {
    writeDocs(earlier(values.from));
    return true;
  }
  const pattern = new RegExp(values.only ?? '');
  const runs = values.quick ? 1 : Number(values.runs);
  if (!Number.isInteger(runs) || runs < 1) throw new UserError(`--runs '${values.runs}' is not a count`);
  const before = values.compare === undefined ? undefined : earlier(values.compare);
  const { clock } = values;
  if (clock !== 'wall' && clock !== 'process') throw new UserError(`--clock '${clock}': wall or process`);
  const session = new Session({
    pattern,
    runs,
    peers: !values['no-peer'],
    cpu: values.cpu,
    clock,
    profile: values.profile,
  });
  if (values.list) {
    for (const g of GROUPS) for (const w of g.workloads) console.log(`${g.name}/${w}`);
    return true;
  }
  try {
    for (const g of GROUPS) await g.measure(session);
  } finally {
    await session.stop();
  }
  const report: Report = {
    date: new Date().toISOString(),
    commit: firstLine('git', ['describe', '--always', '--dirty', '--abbrev=40', '--exclude=*']),
    machine: {
      processor: cpus()[0]?.model ?? 'unknown',
      processors: cpus().length,
      memoryMib: Math.round(totalmem() / (1 << 20)),
    },
    versions: {
      node: process.version,
      qemu: firstLine('qemu-system-x86_64', ['--version']),
      v86: v86Version(),
      gcc: firstLine('gcc', ['--version']),
    },
    settings: { runs, clock, cpu: values.cpu, only: values.only ?? '' },
    groups: session.groups,
    rows: session.rows,
    warnings: session.warnings,
    facts: session.facts,
  };
  if (report.rows.length === 0) throw new UserError(`no workload matches '${values.only}': --list names them`);
  console.log(`\n${table(report)}`);
  const lost = losses(report);
  if (lost.length > 0) console.log(`\nslower than the peer:\n${lost.map((l) => `  ${l}`).join('\n')}`);
  for (const w of report.warnings) console.log(`warning: ${w}`);
  if (before) console.log(`\n${comparison(before, report)}`);
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(report, null, 2)}\n`);
  if (values.docs) writeDocs(report);
  return allMet(report);
}

try {
  process.exit((await main()) ? 0 : 1);
} catch (error) {
  if (!(error instanceof UserError)) throw error;
  console.error(`bench: ${error.message}`);
  process.exit(2);
}
