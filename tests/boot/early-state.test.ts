/** `-incoming file:` of the command, which begins to read before the command's code is loaded: it goes on, and tells what is wrong. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { readEarly } from '../../src/app/lib/early-state.js';
import { VirtualMachine } from '../../src/app/lib/index.js';
import { checksumFirmware, Listener, letters } from '../support/checksum-guest.js';

const COMMAND = join(import.meta.dirname, '../../../bin/tinamou-system-x86_64.js');
let folder: string;
let bios: string;
let state: string;
let heard: number;
before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tinamou-early-'));
  bios = join(folder, 'bios');
  writeFileSync(bios, checksumFirmware());
  state = join(folder, 'state');
  const vm = await VirtualMachine.create({ bios, memory: '8M' });
  try {
    const listener = new Listener();
    listener.hear(vm);
    vm.start();
    await listener.more(3);
    await vm.monitorAsync(`migrate file:${state}`);
    heard = listener.heard;
  } finally {
    await vm.dispose();
  }
});
after(() => rmSync(folder, { recursive: true, force: true }));

const args = (...more: string[]): string[] => [
  COMMAND,
  ...['-bios', bios, '-display', 'none', '-serial', 'stdio', '-monitor', 'none'],
  ...more,
];

/** What the command says when it cannot go on with that. */
function refusal(uri: string, ...more: string[]): string {
  const done = spawnSync(process.execPath, args('-m', '8M', ...more, '-incoming', uri), {
    encoding: 'utf8',
    timeout: 30_000,
  });
  assert.equal(done.status, 1, `${done.stderr}${done.signal}`);
  return done.stderr;
}

for (const [name, more] of [
  ['as it is', []],
  ['with a word that looks like a place', ['-name', 'file:nowhere']],
  ['with another place named before', ['-incoming', 'file:nowhere']],
] as const) {
  test(`a machine goes on ${name}`, { timeout: 60_000 }, async () => {
    const child = spawn(process.execPath, args('-m', '8M', ...more, '-incoming', `file:${state}`), {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let said = '';
    let told = '';
    child.stderr.on('data', (data: Buffer) => {
      told += data.toString();
    });
    const expected = letters();
    for (let i = 0; i < heard; i++) expected.next();
    const next = Array.from({ length: 3 }, () => expected.next().value as string).join('');
    await new Promise<void>((resolve) => {
      child.on('close', () => resolve());
      child.stdout.on('data', (data: Buffer) => {
        said += data.toString('latin1');
        if (said.length >= next.length) child.kill('SIGKILL');
      });
    });
    assert.equal(said.slice(0, next.length), next, told);
  });
}

test('what is wrong with a state is told in one line, as if nobody had begun to read it', { timeout: 120_000 }, () => {
  const bytes = readFileSync(state);
  const broken = join(folder, 'broken');
  const told = (content: Uint8Array, ...more: string[]): string => {
    writeFileSync(broken, content);
    return refusal(`file:${broken}`, ...more);
  };
  const line = (reason: string): RegExp => new RegExp(`^[^\\n]*-incoming file:${broken}: ${reason}[^\\n]*\\n$`);
  assert.match(told(bytes.subarray(0, bytes.length - 4096)), line('the saved state is broken: it is cut off'));
  assert.match(told(new Uint8Array(1000)), line('this is not a saved machine'));
  assert.match(told(new Uint8Array(0)), line('the saved state is broken: .* is cut off'));
  const flipped = new Uint8Array(bytes);
  // A byte of the last page of RAM, before the checksums' page.
  flipped[flipped.length - 4096 - 100]! ^= 1;
  assert.match(told(flipped), line('the saved state is broken: checksum of its RAM'));
  assert.match(told(bytes, '-m', '16M'), line('.*RAM'));
  assert.match(told(bytes, '-smp', '2'), line('.*processor'));
  assert.match(refusal('file:/nonexistent/state'), /^[^\n]*failed to open '\/nonexistent\/state': [^\n]*\n$/);
});

test('only a whole saved machine in a file is begun', async () => {
  const early = readEarly(`file:${state}`);
  assert.ok(early);
  assert.equal(early.memory.vcpus.length, 1);
  await early.filled;
  const ram = new Uint8Array(early.memory.memory.buffer, early.host, early.description.ram[0]!.bytes);
  assert.ok(ram.some((byte) => byte !== 0));
  early.source.close();
  for (const uri of [`file:${folder}`, 'file:', 'file:/dev/null', `exec:cat ${state}`, `file:${bios}`])
    assert.equal(readEarly(uri), undefined, uri);
});
