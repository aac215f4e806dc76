/**
 * Formats and their options in both directions: what tinamou-img converts, qemu-img finds in order and equal, writes to, and
 * tinamou-img reads again; and the other way round. The table in docs/img.md has a line for each.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { main } from '../../src/app/img/main.js';
import { inScratch, needsQemu, open, qemuImg, qemuIo, randomizer } from './support.js';

const SIZE = (2 << 20) + 3 * 512;
const CHUNK = 1 << 16;
const PATTERN = { at: 700_416, bytes: 300_032 } as const;

interface Variant {
  readonly format: string;
  readonly options: readonly string[];
  readonly flags?: readonly string[];
  /** Neither program writes into an image of this kind, or only one makes it. */
  readonly readOnly?: boolean;
  readonly madeBy?: 'theirs';
  /** Both check this format. */
  readonly checked?: boolean;
}

const qcow2 = (...options: string[]): Variant => ({ format: 'qcow2', options, checked: true });
const each = (name: string, values: readonly (string | number)[], ...rest: string[]): Variant[] =>
  values.map((value) => qcow2(`${name}=${value}`, ...rest));

const VARIANTS: readonly Variant[] = [
  { format: 'raw', options: [] },
  ...['off', 'falloc', 'full'].map((p): Variant => ({ format: 'raw', options: [`preallocation=${p}`] })),
  qcow2('compat=0.10'),
  qcow2('compat=1.1'),
  ...each('cluster_size', ['512', '1k', '2k', '4k', '8k', '16k', '32k', '64k', '128k', '256k', '512k', '1M', '2M']),
  ...each('refcount_bits', [1, 2, 4, 8, 16, 32, 64]),
  ...each('preallocation', ['off', 'metadata', 'falloc', 'full']),
  ...each('extended_l2', ['on'], 'cluster_size=16k'),
  ...each('extended_l2', ['on'], 'cluster_size=64k'),
  ...each('lazy_refcounts', ['on']),
  ...each('compression_type', ['zlib', 'zstd']).map((v) => ({ ...v, flags: ['-c'] })),
  qcow2('data_file=DATA'),
  qcow2('data_file=DATA', 'data_file_raw=on'),
  ...['monolithicSparse', 'twoGbMaxExtentSparse'].map(
    (s): Variant => ({ format: 'vmdk', options: [`subformat=${s}`], checked: true }),
  ),
  ...['monolithicFlat', 'twoGbMaxExtentFlat'].map((s): Variant => ({ format: 'vmdk', options: [`subformat=${s}`] })),
  { format: 'vmdk', options: ['zeroed_grain=on'], checked: true },
  { format: 'vmdk', options: ['adapter_type=lsilogic', 'hwversion=7'], checked: true },
  { format: 'vmdk', options: ['compat6=on'], checked: true },
  { format: 'vmdk', options: ['subformat=streamOptimized'], readOnly: true, checked: true },
  { format: 'vdi', options: [], checked: true },
  { format: 'vdi', options: ['static=on'], checked: true },
  { format: 'vhdx', options: ['subformat=dynamic'], checked: true },
  { format: 'vhdx', options: ['subformat=fixed'], checked: true },
  { format: 'vhdx', options: ['block_size=1M', 'log_size=2M'], checked: true },
  { format: 'vpc', options: ['force_size=on', 'subformat=dynamic'] },
  { format: 'vpc', options: ['force_size=on', 'subformat=fixed'] },
  { format: 'qed', options: [], readOnly: true, madeBy: 'theirs' },
  { format: 'qed', options: ['cluster_size=4k', 'table_size=2'], readOnly: true, madeBy: 'theirs' },
  { format: 'parallels', options: [], readOnly: true, madeBy: 'theirs' },
  { format: 'parallels', options: ['cluster_size=64k'], readOnly: true, madeBy: 'theirs' },
];

const nameOf = ({ options, flags = [] }: Variant): string => [...flags, ...options].join(', ') || 'plain';

async function ours(...args: string[]): Promise<void> {
  let said = '';
  const hear = (text: string): void => {
    said += text;
  };
  const status = await main(args, { out: hear, err: hear }, '0');
  assert.equal(status, 0, `tinamou-img ${args.join(' ')}: ${said}`);
}

const theirs = async (...args: string[]): Promise<void> => void qemuImg(...args);

/** Data, zeroes and noise by turns, and an end that fills no cluster. */
function source(): Buffer {
  const random = randomizer(11);
  const bytes = Buffer.alloc(SIZE);
  for (let i = 0; i < SIZE; i++) {
    const kind = Math.floor(i / CHUNK) % 3;
    if (kind === 1) bytes[i] = (i >> 9) & 0xff;
    else if (kind === 2) bytes[i] = random(256);
  }
  bytes.fill(5, SIZE - 700);
  return bytes;
}

const SIDES = { ours, theirs } as const;
type Side = keyof typeof SIDES;
const other = (side: Side): Side => (side === 'ours' ? 'theirs' : 'ours');

/** Writes a pattern into the image with one of the programs. */
async function overwrite(side: Side, file: string, format: string): Promise<void> {
  const { at, bytes } = PATTERN;
  if (side === 'theirs') {
    qemuIo(file, format, `write -P 77 ${at} ${bytes}`);
    return;
  }
  const node = await open(file, { format });
  await node.write(at, new Uint8Array(bytes).fill(77));
  await node.close();
}

for (const variant of VARIANTS) {
  const { format, options, flags = [], readOnly = false, checked = false } = variant;
  test(`${format}, ${nameOf(variant)}: in both directions`, needsQemu, () =>
    inScratch(async (folder) => {
      const raw = path.join(folder, 'raw');
      const makers: readonly Side[] = variant.madeBy ? [variant.madeBy] : ['ours', 'theirs'];
      for (const maker of makers) {
        const expected = source();
        fs.writeFileSync(raw, expected);
        const file = path.join(folder, `${maker}.${format}`);
        const given = options.map((o) => o.replace('DATA', `${file}.data`)).join(',');
        const reader = other(maker);
        await SIDES[maker](
          ...['convert', '-f', 'raw', '-O', format, ...flags, ...(given === '' ? [] : ['-o', given]), raw, file],
        );
        const agree = async (side: Side): Promise<void> => {
          if (checked) await SIDES[side]('check', '-q', '-f', format, file);
          fs.writeFileSync(raw, expected);
          await SIDES[side]('compare', '-q', '-f', format, '-F', 'raw', file, raw);
        };
        await agree(reader);
        if (readOnly) continue;
        await overwrite(reader, file, format);
        expected.fill(77, PATTERN.at, PATTERN.at + PATTERN.bytes);
        await agree(maker);
        await agree(reader);
      }
    }),
  );
}

test('vmdk: check finds grains beyond the end of the file; qemu-img stops at the first', needsQemu, () =>
  inScratch(async (folder) => {
    const raw = path.join(folder, 'raw');
    const file = path.join(folder, 'a.vmdk');
    fs.writeFileSync(raw, Buffer.alloc(1 << 20, 3));
    await ours('convert', '-f', 'raw', '-O', 'vmdk', raw, file);
    fs.truncateSync(file, fs.statSync(file).size - (128 << 10));
    let said = '';
    const hear = (text: string): void => {
      said += text;
    };
    assert.equal(await main(['check', '-f', 'vmdk', file], { out: hear, err: hear }, '0'), 2);
    const findings = (text: string): string[] => text.match(/ERROR: .*/g) ?? [];
    const { stdout, stderr } = spawnSync('qemu-img', ['check', '-f', 'vmdk', file], { encoding: 'utf8' });
    assert.equal(findings(said).length, 2);
    assert.deepEqual(findings(said).slice(0, 1), findings(stderr + stdout));
  }),
);

test('docs/img.md has a line for each', () => {
  const text = fs.readFileSync(new URL('../../../docs/img.md', import.meta.url), 'utf8');
  const lines = VARIANTS.map((variant) => {
    const made = variant.madeBy ? 'no' : 'yes';
    const written = variant.readOnly ? 'no' : 'yes';
    return `| ${variant.format} | ${nameOf(variant)} | ${made} | yes | ${written} | ${variant.checked ? 'yes' : 'no'} |`;
  });
  for (const line of lines) assert.ok(text.includes(`${line}\n`), line);
});
