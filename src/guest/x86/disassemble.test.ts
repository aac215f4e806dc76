/**
 * Lengths and text against binutils. `testdata/disassembly.txt` has one encoding of every row for each mode: mode, bytes,
 * length by objdump, and its text (`-` where notation differs on purpose). `UPDATE_GOLDEN=1` rewrites it with objdump.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Decoder } from './decode.js';
import { Disassembler } from './disassemble.js';
import { encode } from './encode.js';
import { ROWS } from './insn/index.js';
import { Mode } from './state.js';

const GOLDEN = new URL('../../../../src/guest/x86/testdata/disassembly.txt', import.meta.url).pathname;
const MODES = {
  '64': { bits: Mode.cs64 | Mode.protected | Mode.lma, machine: 'i386:x86-64', syntax: 'intel' },
  '32': { bits: Mode.cs32 | Mode.protected, machine: 'i386', syntax: 'intel' },
  '16': { bits: Mode.protected, machine: 'i8086', syntax: 'intel' },
} as const;
type ModeName = keyof typeof MODES;
/** Instructions start at multiples of this in what objdump sees. */
const STRIDE = 16;

/** Differences of notation that mean nothing: redundant prefixes, RIZ, comments, spacing. */
function plain(text: string): string {
  return text
    .replace(/^(data16 |rex\S* )+/, '')
    .replace(/\+[re]iz\*\d/, '')
    .replace('movabs', 'mov')
    .replace('OWORD', 'XMMWORD')
    .replace(/\s*#.*$/, '')
    .replace(/\s+/g, ' ')
    .trim();
}

function* encodings(name: ModeName): Generator<number[]> {
  let seed = 1;
  const below = (n: number): number => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return (seed >>> 8) % n;
  };
  const long = name === '64';
  const code = long ? 64 : name === '32' ? 32 : 16;
  const registers = long ? [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15] : [0, 1, 2, 3, 5, 6, 7];
  for (const form of new Decoder(ROWS).forms) {
    if (form.encoding.only64 === (long ? 0 : 1)) continue;
    const sizes = long ? ([16, 32, 64] as const) : ([16, 32] as const);
    yield encode(form, { below, code, registers, pointers: registers, sizes, memory: 50, lock: 10 }).bytes;
  }
}

function update(): void {
  const folder = mkdtempSync(join(tmpdir(), 'objdump-'));
  const lines: string[] = [];
  for (const name of ['64', '32', '16'] as const) {
    const { machine, syntax, bits } = MODES[name];
    const codes = [...encodings(name)];
    const image = new Uint8Array(codes.length * STRIDE).fill(0x90);
    for (const [n, code] of codes.entries()) image.set(code, n * STRIDE);
    writeFileSync(join(folder, 'image'), image);
    const done = spawnSync(
      'objdump',
      ['-D', '-w', '-b', 'binary', '-m', machine, '-M', syntax, join(folder, 'image')],
      {
        encoding: 'utf8',
        maxBuffer: 1 << 28,
      },
    );
    const disassembler = new Disassembler();
    for (const line of done.stdout.split('\n')) {
      const found = /^\s*([0-9a-f]+):\t([0-9a-f ]+)\t(.*)$/.exec(line);
      if (found === null) continue;
      const at = Number.parseInt(found[1] as string, 16);
      if (at % STRIDE !== 0) continue;
      const length = (found[2] as string).trim().split(' ').length;
      const text = plain(found[3] as string);
      const ours = disassembler.disassemble(image, at, image.length, bits, 0n);
      const theirs = name === '64' || !/^(j|call|loop)/.test(text) ? text : '-';
      const hex = Buffer.from(image.subarray(at, at + STRIDE))
        .toString('hex')
        .slice(0, Math.max(length, 1) * 2);
      if (text.includes('(bad)')) continue;
      lines.push(`${name} ${hex} ${plain(ours.text) === theirs ? theirs : '-'}`);
    }
  }
  rmSync(folder, { recursive: true });
  mkdirSync(join(GOLDEN, '..'), { recursive: true });
  writeFileSync(GOLDEN, `${lines.join('\n')}\n`);
}

test('every row decodes to the length and reads as binutils says', () => {
  if (process.env['UPDATE_GOLDEN'] === '1') update();
  const disassembler = new Disassembler();
  const wrong: string[] = [];
  const lines = readFileSync(GOLDEN, 'utf8').trimEnd().split('\n');
  assert.ok(lines.length > 2000);
  for (const line of lines) {
    const [name, hex, ...rest] = line.split(' ') as [ModeName, string, ...string[]];
    const bytes = Uint8Array.from(Buffer.from(hex, 'hex'));
    const { length, text } = disassembler.disassemble(bytes, 0, bytes.length, MODES[name].bits, 0n);
    const expected = rest.join(' ');
    if (length !== bytes.length || (expected !== '-' && plain(text) !== expected))
      wrong.push(`${line}: ours ${text} (${length})`);
  }
  assert.deepEqual(wrong, []);
});

test('what is no instruction, or is cut off, is one bad byte', () => {
  const disassembler = new Disassembler();
  const { bits } = MODES['64'];
  assert.deepEqual(disassembler.disassemble(Uint8Array.of(0x06), 0, 1, bits, 0n), { length: 1, text: '(bad)' });
  assert.deepEqual(disassembler.disassemble(Uint8Array.of(0x48, 0x8b), 0, 2, bits, 0n), { length: 1, text: '(bad)' });
});

test('jump targets and RIP-relative operands are absolute', () => {
  const disassembler = new Disassembler();
  const { bits } = MODES['64'];
  const text = (hex: string, pc: bigint): string => {
    const bytes = Uint8Array.from(Buffer.from(hex, 'hex'));
    return disassembler.disassemble(bytes, 0, bytes.length, bits, pc).text;
  };
  assert.equal(text('ebfe', 0xffffffff81000000n), 'jmp    0xffffffff81000000');
  assert.equal(text('488b0510000000', 0x1000n), 'mov    rax,QWORD PTR [rip+0x10]        # 0x1017');
});
