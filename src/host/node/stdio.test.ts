import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

/** Runs code with a backend `b` in a process of its own; `sizes` holds how much each write to standard output had. */
function run(code: string): { out: string; sizes: string } {
  const program = `
    const { StdioBackend } = await import(${JSON.stringify(new URL('./stdio.js', import.meta.url).href)});
    const sizes = [];
    const write = process.stdout.write.bind(process.stdout);
    process.stdout.write = (data) => { sizes.push(data.length); return write(data); };
    process.on('exit', () => console.error(sizes.join()));
    const b = new StdioBackend(false);
    const send = (text) => { for (const byte of Buffer.from(text)) b.write(Uint8Array.of(byte)); };
    ${code}`;
  const done = spawnSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8', input: '' });
  assert.equal(done.status, 0, done.stderr);
  return { out: done.stdout, sizes: done.stderr.trim() };
}

test('of what a slice of guest code sends byte by byte a first word goes out at once, the rest in one write', () => {
  const { out, sizes } = run(`send('hello there'); setImmediate(() => { send('bye'); process.exit(0); });`);
  assert.equal(out, 'hello therebye');
  assert.equal(sizes, '1,1,1,1,7');
});

test('output after a pause waits for nothing', () => {
  const { out, sizes } = run(
    `send('abcdef'); setTimeout(() => { send('g'); console.error('there'); send('hijklm'); }, 50);`,
  );
  assert.equal(out, 'abcdefghijklm');
  assert.equal(sizes, 'there\n1,1,1,1,2,1,1,1,1,3');
});

test('long output does not wait, and the order stays', () => {
  const { out, sizes } = run(
    `send('vwx'); send('x'); b.write(Buffer.alloc(5000, 'y')); send('z'.repeat(4097)); b.dispose();`,
  );
  assert.equal(out, `vwxx${'y'.repeat(5000)}${'z'.repeat(4097)}`);
  assert.equal(sizes, '1,1,1,1,5000,4096,1');
});
