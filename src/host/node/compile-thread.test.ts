import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import { after, test } from 'node:test';
import type { CompiledJob, CompileJob } from '../../accel/tcg/compiler.js';
import { compileThread } from './compile-thread.js';

const EMPTY: CompileJob = { regions: [], x87Control: 0x37f, text: false };
const only = availableParallelism() > 1 ? test : test.skip;

// The thread keeps no program running.
const awake = setInterval(() => {}, 1000);
after(() => clearInterval(awake));

async function whenReady(thread: { readonly ready: boolean }): Promise<void> {
  while (!thread.ready) await new Promise((resolve) => setTimeout(resolve, 5));
}

only('the thread compiles, one job after the other', async () => {
  const thread = compileThread({ guest: 'x86_64' })!;
  assert.equal(thread.ready, false);
  thread.prepare();
  await whenReady(thread);
  for (let i = 0; i < 2; i++) {
    const result = new Promise<CompiledJob | undefined>((done) => thread.compile(EMPTY, done));
    assert.equal(thread.ready, false);
    assert.ok((await result)?.module instanceof WebAssembly.Module);
    assert.equal(thread.ready, true);
  }
  thread.dispose();
  assert.equal(thread.ready, false);
});

only('a job that the thread dies of comes back undone', async () => {
  const thread = compileThread({ guest: 'x86_64' })!;
  thread.prepare();
  await whenReady(thread);
  const bad = { ...EMPTY, regions: [{ code: { words: new Int32Array(0) }, name: '' }] } as unknown as CompileJob;
  assert.equal(await new Promise((done) => thread.compile(bad, done)), undefined);
  assert.equal(thread.ready, false);
});

only('a thread that cannot start is never ready', async () => {
  const thread = compileThread({ guest: 'none such' })!;
  thread.prepare();
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.equal(thread.ready, false);
});
