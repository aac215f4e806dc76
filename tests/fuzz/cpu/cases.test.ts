/** Sequences that once went wrong, against what silicon made of them; and a short run of new ones from a fixed seed. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { narrowCodeUnavailable } from '../../support/host-modes.js';
import type { ProcessorVendor } from '../../support/host-vendor.js';
import { Campaign } from './campaign.js';
import { type CaseFile, fromCase } from './case-file.js';
import { difference } from './compare.js';
import { nativeUnavailable } from './native.js';
import { Batch, type Outcome } from './sequence.js';
import { Tinamou } from './tinamou.js';

const FOLDER = new URL('../../../../tests/fuzz/cpu/cases/', import.meta.url);
const SEED = 1;
const SEQUENCES = 2000;

const machines = new Map<ProcessorVendor, Tinamou>();
function machineOf(vendor: ProcessorVendor): Tinamou {
  const machine = machines.get(vendor) ?? new Tinamou(vendor);
  machines.set(vendor, machine);
  return machine;
}

for (const name of readdirSync(FOLDER).filter((f) => f.endsWith('.json'))) {
  test(name, () => {
    const file = JSON.parse(readFileSync(new URL(name, FOLDER), 'utf8')) as CaseFile;
    const { sequence, expected } = fromCase(file);
    const ours = machineOf(file.vendor ?? 'AuthenticAMD').run(new Batch([sequence]));
    for (const tier of ['interpreted', 'compiled'] as const)
      assert.equal(difference(sequence, expected, ours[tier][0] as Outcome), '', tier);
  });
}

test('sequences do what they do on the host processor', { skip: nativeUnavailable() ?? false }, (t) => {
  const campaign = new Campaign();
  try {
    if (!campaign.generator.narrow) t.diagnostic(`64-bit code only: ${narrowCodeUnavailable()}`);
    const found = campaign.batch(SEED, SEQUENCES).map((f) => `${f.tier}: ${f.text}`);
    assert.deepEqual(found.slice(0, 5), []);
    assert.equal(campaign.sequences, SEQUENCES);
    // All groups were there, and most sequences ran in compiled code.
    for (const [group] of campaign.generator.groups) assert.ok((campaign.groups.get(group) ?? 0) > 50, group);
    assert.ok((campaign.vectors.get(-1) ?? 0) > campaign.sequences / 4);
    assert.ok(campaign.tinamou.compiledShare > 0.9, `${campaign.tinamou.compiledShare}`);
  } finally {
    campaign.dispose();
  }
});
