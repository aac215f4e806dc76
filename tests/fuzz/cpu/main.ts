/** `npm run fuzz:cpu -- --minutes N [--seed S] [--sequences N] [--group NAME] [--keep-going]`: see docs/testing.md. */
import { parseArgs } from 'node:util';
import { narrowCodeUnavailable } from '../../support/host-modes.js';
import { Campaign, type Found } from './campaign.js';
import { toCase } from './case-file.js';
import { nativeUnavailable } from './native.js';
import { Batch, type Outcome } from './sequence.js';

const BATCH = 2000;
/** With --keep-going: so many differences are shown. */
const SHOWN = 40;

function report(campaign: Campaign, found: Found, whole: boolean): void {
  const least = campaign.minimise(found);
  const code = least.sequence.instructions
    .map((i) => `${i.text} [${i.bytes.map((b) => b.toString(16).padStart(2, '0')).join(' ')}]`)
    .join('; ');
  console.log(`\n${least.tier}, ${least.sequence.mode}-bit: ${code}\n  host ${least.text}`);
  if (!whole) return;
  const host = campaign.native.run(new Batch([least.sequence]))[0] as Outcome;
  console.log('\nFor tests/fuzz/cpu/cases/<name>.json:');
  console.log(JSON.stringify(toCase(least.text, least.sequence, host)));
}

function statistics(campaign: Campaign): void {
  console.log(`\n${campaign.sequences} sequences`);
  for (const [group, count] of [...campaign.groups].sort()) console.log(`  ${group.padEnd(20)} ${count} instructions`);
  const vectors = [...campaign.vectors].sort((a, b) => a[0] - b[0]);
  console.log(`  ended: ${vectors.map(([v, n]) => `${v < 0 ? 'normally' : `vector ${v}`} ${n}`).join(', ')}`);
}

function main(): number {
  const { values } = parseArgs({
    options: {
      minutes: { type: 'string', default: '1' },
      seed: { type: 'string', default: '1' },
      sequences: { type: 'string' },
      group: { type: 'string', multiple: true },
      'keep-going': { type: 'boolean', default: false },
    },
  });
  const why = nativeUnavailable();
  if (why !== undefined) {
    console.error(`fuzz:cpu: ${why}`);
    return 1;
  }
  const campaign = new Campaign();
  if (!campaign.generator.narrow) console.log(`64-bit code only: ${narrowCodeUnavailable()}`);
  if (campaign.unknown.length > 0)
    console.log(`not known to this processor: ${campaign.unknown.map((f) => f.mnemonics[0]).join(' ')}`);
  const start = performance.now();
  const end = start + Number(values.minutes) * 60_000;
  const most = values.sequences === undefined ? Number.POSITIVE_INFINITY : Number(values.sequences);
  const all: Found[] = [];
  let seed = Number(values.seed);
  for (; performance.now() < end && campaign.sequences < most; seed++) {
    const found = campaign.batch(seed, Math.min(BATCH, most - campaign.sequences), values.group);
    const seconds = (performance.now() - start) / 1000;
    console.log(
      `seed ${seed}: ${campaign.sequences} sequences, ${Math.round(campaign.sequences / seconds)}/s, ${all.length + found.length} differ`,
    );
    all.push(...found);
    if (found.length > 0 && !values['keep-going']) break;
    for (const f of found.slice(0, Math.max(0, SHOWN - all.length + found.length))) report(campaign, f, false);
  }
  statistics(campaign);
  const first = all[0];
  if (first !== undefined) report(campaign, first, true);
  campaign.dispose();
  console.log(`next seed ${seed}`);
  return all.length === 0 ? 0 : 1;
}

process.exitCode = main();
