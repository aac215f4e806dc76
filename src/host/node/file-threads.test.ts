import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { POOL_CALLS } from './file-pool.js';
import { fileThreads } from './file-threads.js';
import { loadKoffi } from './koffi.js';

const skip = process.platform !== 'linux' || !loadKoffi() ? 'needs Linux and koffi' : false;
const MODULE = new URL('./file-threads.js', import.meta.url).href;

/** Without a call, the thread does not begin; until it is there, the pool answers. */
async function started(): Promise<ReturnType<typeof fileThreads>> {
  const thread = fileThreads();
  const name = path.join(os.tmpdir(), `tinamou-test-${process.pid}`);
  const fd = fs.openSync(name, 'w+');
  fs.rmSync(name);
  // Calls of the pool and of the thread in turns, so that both are met on the way.
  for (let i = 0; i < 50; i++) {
    assert.equal(await thread.write(fd, Buffer.from([i]), i), 1);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const all = Buffer.alloc(64, 0xff);
  assert.equal(await thread.read(fd, all, 0), 50);
  assert.deepEqual(
    [...all.subarray(0, 50)],
    Array.from({ length: 50 }, (_, i) => i),
  );
  assert.equal(all[50], 0xff);
  fs.closeSync(fd);
  const unused = async (): Promise<never> => assert.fail('the thread is not there');
  Object.assign(POOL_CALLS, { read: unused, write: unused, flush: unused, punchHole: unused, zeroRange: unused });
  return thread;
}

test('threads read, writes, flush and make holes, and their errors are those of the pool', { skip }, async () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tinamou-test-'));
  try {
    const thread = await started();
    const name = path.join(folder, 'disk');
    const fd = fs.openSync(name, 'w+');
    const shared = new Uint8Array(new SharedArrayBuffer(3 << 20)).map((_, i) => i * 7);
    const part = shared.subarray(4096, 4096 + (1 << 20));
    assert.equal(await thread.write(fd, part, 0), 1 << 20);
    await thread.flush(fd);
    assert.equal(Buffer.compare(fs.readFileSync(name), part), 0);
    // Some, not shared and small, at once: each into its own place.
    const into = Array.from({ length: 64 }, () => new Uint8Array(16));
    await Promise.all(into.map((bytes, i) => thread.read(fd, bytes, i * 1000)));
    into.forEach((bytes, i) => {
      assert.deepEqual(bytes, new Uint8Array(part.subarray(i * 1000, i * 1000 + 16)));
    });
    const kept = await thread.punchHole(fd, 0, 65536);
    if (kept)
      assert.ok(
        fs
          .readFileSync(name)
          .subarray(0, 65536)
          .every((byte) => byte === 0),
      );
    assert.equal(await thread.zeroRange(-1, 0, 4096), false);
    fs.closeSync(fd);

    const readOnly = fs.openSync(name, 'r');
    await assert.rejects(thread.write(readOnly, part, 0), { code: 'EBADF', message: /bad file descriptor/ });
    fs.closeSync(readOnly);
    const full = fs.openSync('/dev/full', 'w');
    await assert.rejects(thread.write(full, part, 0), { code: 'ENOSPC' });
    fs.closeSync(full);
    await assert.rejects(thread.flush(readOnly), { code: 'EBADF' });
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
});

test('a program ends when it waits for nothing of the thread, and not before', { skip }, () => {
  const run = (body: string): ReturnType<typeof spawnSync> =>
    spawnSync(
      process.execPath,
      [
        '--input-type=module',
        '-e',
        `import fs from 'node:fs';
        import { fileThreads } from ${JSON.stringify(MODULE)};
        const thread = fileThreads();
        const fd = fs.openSync('/dev/zero', 'r');
        const buffer = new Uint8Array(4 << 20);
        for (let i = 0; i < 30; i++) {
          await thread.read(fd, buffer, 0);
          await new Promise((resolve) => setTimeout(resolve, 10));
        }
        ${body}`,
      ],
      { encoding: 'utf8', timeout: 60_000 },
    );
  const waits = run(`thread.read(fd, buffer, 0).then((n) => console.log(n));`);
  assert.deepEqual([waits.status, waits.stdout, waits.stderr], [0, `${4 << 20}\n`, '']);
  const exits = run(`thread.read(fd, buffer, 0); process.exit(3);`);
  assert.deepEqual([exits.status, exits.stderr], [3, '']);
});

test('a program may end at any moment while a thread starts', { skip }, () => {
  const program = `import fs from 'node:fs';
    import { fileThreads } from '${MODULE}';
    const fd = fs.openSync('/dev/null', 'r+');
    fileThreads().read(fd, new Uint8Array(1), 0);
    setTimeout(() => process.exit(7), Number(process.argv[1]));`;
  for (let ms = 5; ms < 105; ms += 2) {
    const { status, signal, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program, String(ms)], {
      encoding: 'utf8',
    });
    assert.deepEqual([status, signal, stderr], [7, null, ''], `after ${ms} ms`);
  }
});
