import assert from 'node:assert/strict';
import { closeSync, openSync } from 'node:fs';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { type Koffi, loadKoffi } from '../koffi.js';
import { runCall } from './run-call.js';

const EBADF = 9;
const ENOTTY = 25;

const koffi = loadKoffi();
const here = process.platform === 'linux' && process.arch === 'x64' && koffi !== null;
const skip = here ? false : 'Linux on x86-64 with koffi only';

test('the kernel is asked, about that descriptor', { skip }, () => {
  const run = runCall(koffi as Koffi)!;
  assert.equal(run(0x7fff_ffff), -EBADF);
  assert.equal(run(-1), -EBADF);
  // A request that a device does not know.
  const device = openSync('/dev/null', 'r');
  assert.equal(run(device), -ENOTTY);
  closeSync(device);
  assert.equal(run(device), -EBADF);
});

/** Takes its own function, and says how often another thread's answer came. */
const THREAD = `
const { parentPort, workerData } = require('node:worker_threads');
const at = ${JSON.stringify(new URL('.', import.meta.url).href)};
Promise.all([import(at + '../koffi.js'), import(at + 'run-call.js')]).then(([{ loadKoffi }, { runCall }]) => {
  const run = runCall(loadKoffi());
  let wrong = 0;
  for (let i = 0; i < 20000; i++) if (run(workerData.fd) !== workerData.expected) wrong++;
  parentPort.postMessage(wrong);
});`;

test('each thread has its own, at once and one after the other', { skip }, async () => {
  const device = openSync('/dev/null', 'r');
  for (let round = 0; round < 3; round++) {
    const wrong = await Promise.all(
      [
        { fd: device, expected: -ENOTTY },
        { fd: -1, expected: -EBADF },
        { fd: device, expected: -ENOTTY },
      ].map(
        (workerData) =>
          new Promise<number>((resolve, reject) => {
            const worker = new Worker(THREAD, { eval: true, workerData });
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
  closeSync(device);
});
