/** What a killed process leaves behind: nothing. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { tool } from './tool.js';

const skip = tool('setpriv', ['--pdeathsig', 'KILL', '--', 'true']).status !== 0 && 'no setpriv of util-linux';
const BOUND = new URL('./bound.js', import.meta.url).href;

/** Not there, or ended and nobody has asked for its status. */
const gone = (pid: number): boolean =>
  !existsSync(`/proc/${pid}/stat`) || /\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));

async function orphanOf(program: string): Promise<number> {
  const parent = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [said] = (await once(parent.stdout, 'data')) as [Buffer];
  parent.kill('SIGKILL');
  await once(parent, 'exit');
  return Number(said.toString());
}

async function assertEnds(pid: number): Promise<void> {
  for (let i = 0; i < 200 && !gone(pid); i++) await sleep(50);
  const ended = gone(pid);
  if (!ended) process.kill(pid, 'SIGKILL');
  assert.ok(ended, `process ${pid} goes on`);
}

test('a guest ends with a test that is killed', { skip }, async () => {
  const start = `import { spawnBound } from '${BOUND}';
    console.log(spawnBound('sleep', ['60']).pid);
    setInterval(() => {}, 1000);`;
  await assertEnds(await orphanOf(start));
});

test('a test that runs guests itself ends with its runner', { skip: process.platform !== 'linux' }, async () => {
  const child = `import { endWithParent } from '${BOUND}'; endWithParent(); setInterval(() => {}, 1000); console.log('up');`;
  const start = `import { spawn } from 'node:child_process';
    const child = spawn(process.execPath, ['--input-type=module', '-e', ${JSON.stringify(child)}]);
    child.stdout.once('data', () => console.log(child.pid));`;
  await assertEnds(await orphanOf(start));
});
