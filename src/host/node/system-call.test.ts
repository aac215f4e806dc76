import assert from 'node:assert/strict';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { type Koffi, loadKoffi } from './koffi.js';
import { systemCall } from './system-call.js';

const LSEEK = 8;
const GETPID = 39;
const EBADF = 9;
const IOCTL = 16;
const GETTID = 186;

const koffi = loadKoffi();
const here = process.platform === 'linux' && process.arch === 'x64' && koffi !== null;
const skip = here ? false : 'Linux on x86-64 with koffi only';

test('a system call gives its result or a negative errno', { skip }, () => {
  const call = systemCall(koffi as Koffi)!;
  assert.equal(call(GETPID, 0, 0, 0), process.pid);
  assert.equal(call(IOCTL, 0x7fff_ffff, 0xae80, 0), -EBADF);
});

test('all 53 bits of an argument reach the kernel', { skip }, () => {
  const call = systemCall(koffi as Koffi)!;
  const file = openSync(process.execPath, 'r');
  const far = 2 ** 41 + 2 ** 31 + 5;
  call(LSEEK, file, far, 0);
  assert.match(readFileSync(`/proc/self/fdinfo/${file}`, 'utf8'), new RegExp(`^pos:\\s+${far}$`, 'm'));
  closeSync(file);
});

/** Takes its own function, says which thread the kernel sees, and goes on for as long as it is asked to. */
const THREAD = `
const { parentPort } = require('node:worker_threads');
const at = ${JSON.stringify(new URL('.', import.meta.url).href)};
Promise.all([import(at + 'koffi.js'), import(at + 'system-call.js')]).then(([{ loadKoffi }, { systemCall }]) => {
  const koffi = loadKoffi();
  const call = systemCall(koffi);
  const expected = koffi.load('libc.so.6').func('int gettid()')();
  let wrong = 0;
  for (let i = 0; i < 20000; i++) if (call(${GETTID}, 0, 0, 0) !== expected) wrong++;
  parentPort.postMessage(wrong);
});`;

test('each thread has its own, at once and one after the other', { skip }, async () => {
  for (let round = 0; round < 3; round++) {
    const wrong = await Promise.all(
      [0, 1, 2].map(
        () =>
          new Promise<number>((resolve, reject) => {
            const worker = new Worker(THREAD, { eval: true });
            let said = -1;
            worker.on('message', (message: number) => {
              said = message;
            });
            worker.on('error', reject);
            worker.on('exit', () => resolve(said));
          }),
      ),
    );
    assert.deepEqual(wrong, [0, 0, 0]);
  }
});
