/** tinamou-img beside qemu-img: the same commands on copies of the same images must say the same and leave the same. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { filled, ours, sideBySide, theirs } from './side-by-side.js';
import { inScratch, needsQemu, qemuImg, qemuIo } from './support.js';

sideBySide(
  'convert: images named by options, and bitmaps that were in use when their program died',
  [
    'convert --image-opts driver=raw,file.driver=file,file.filename=raw -O raw out',
    'compare raw out',
    'create -q -f qcow2 t 1M',
    'convert -f raw -n --target-image-opts raw driver=qcow2,file.driver=file,file.filename=t',
    'compare raw t',
    'convert -f raw --target-image-opts raw driver=qcow2,file.driver=file,file.filename=t',
    'convert -f qcow2 -O qcow2 --skip-broken-bitmaps broken x',
    'convert -f qcow2 -O qcow2 --bitmaps --skip-broken-bitmaps broken y',
    'info y',
    'compare broken y',
  ],
  (folder) => {
    filled(folder);
    const broken = path.join(folder, 'broken');
    qemuImg('create', '-q', '-f', 'qcow2', broken, '1M');
    qemuImg('bitmap', '--add', broken, 'used');
    spawnSync('qemu-io', ['-f', 'qcow2', '-c', 'write 0 64k', '-c', 'abort', broken]);
    qemuImg('bitmap', '--add', broken, 'whole');
  },
);

sideBySide('what cannot be', [
  'create -f qcow2 a',
  'create -f nonsense a 1M',
  'create -f qcow2 a 1X',
  'create -f qcow2 -o cluster_size=1000 a 1M',
  'create -f qcow2 -o nonsense=1 a 1M',
  'create -f qcow2 -o refcount_bits=3 a 1M',
  'create -f qcow2 -o compat=0.10,lazy_refcounts=on a 1M',
  'info none',
  'bogus',
  'check none',
]);

sideBySide(
  'snapshots, bitmaps, check, map and measure',
  [
    'create -f qcow2 a 3M',
    'dd if=raw of=b -O qcow2',
    'convert -f raw -O qcow2 raw c',
    'check c',
    'check --output=json c',
    'map c',
    'map --output=json c',
    'snapshot -c one c',
    'snapshot -c two c',
    'snapshot -l c',
    'snapshot -d one c',
    'snapshot -a two c',
    'snapshot -d none c',
    'info c',
    'info --output=json c',
    'bitmap --add c b0',
    'bitmap --add --disable -g 4k c b1',
    'info c',
    'bitmap --remove c b0',
    'bitmap --add c b1',
    'info --output=json c',
    'measure -O qcow2 c',
    'measure --output=json -O qcow2 c',
    'measure -O raw c',
    'measure --output=json -O qcow2 --size 1T',
    'measure -O qcow2 -o cluster_size=4k,extended_l2=off --size 5G',
    'measure -O luks --size 10M',
    'measure -O luks --object secret,id=s,data=x -o key-secret=s --size 1000',
    'measure -O luks --object secret,id=s,data=x -o key-secret=s,cipher-alg=aes-128,cipher-mode=cbc raw',
    'measure -O vmdk --size 10M',
    'check c',
    'resize c +1M',
    'resize c 8M',
    'resize c 1M',
    'resize --shrink c 1M',
    'info c',
    'check raw',
  ],
  filled,
);

sideBySide(
  'convert and compare',
  [
    'convert -p -f raw -O qcow2 raw a',
    'compare -f raw raw a',
    'convert -O qcow2 -c a b',
    'check b',
    'compare a b',
    'convert -O raw b c',
    'compare raw c',
    'create -f qcow2 -b a -F qcow2 d',
    'convert -O qcow2 -B a -F qcow2 d e',
    'create -f raw short 512k',
    'compare -f raw -F raw raw short',
    'compare -s -f raw -F raw raw short',
    'convert -O qcow2 raw short f',
    'info f',
    'compare a f',
    'convert -n -O qcow2 raw f',
    'amend -o compat=0.10 a',
    'info a',
    'amend -o compat=1.1,lazy_refcounts=on a',
    'info a',
    'check a',
    'bench -c 5 -f raw raw',
    'bench -c 5 -w -s 64k -q -f qcow2 a',
  ],
  filled,
);

sideBySide(
  'chains',
  [
    'convert -f raw -O qcow2 raw base',
    'create -f qcow2 -b base -F qcow2 mid',
    'create -f qcow2 -b mid -F qcow2 top 2M',
    'map --output=json top',
    'rebase -b base -F qcow2 top',
    'info top',
    'rebase -u -b mid -F qcow2 top',
    'commit top',
    'info mid',
    'check mid',
    'check top',
    'commit -b base mid',
    'rebase -b  top'.replace('-b ', "-b ''"),
    'info top',
    'commit top',
  ],
  filled,
);

test('tinamou-img: broken images are repaired to what qemu-img finds in order', needsQemu, () =>
  inScratch(async (folder) => {
    const file = path.join(folder, 'a');
    const fresh = (): void => {
      qemuImg('create', '-f', 'qcow2', file, '4M');
      qemuIo(file, 'qcow2', 'write -P 3 0 2M', 'write -P 4 3M 100k');
    };
    const patch = (at: number, bytes: readonly number[]): void => {
      const fd = fs.openSync(file, 'r+');
      fs.writeSync(fd, Uint8Array.from(bytes), 0, bytes.length, at);
      fs.closeSync(fd);
    };
    for (const [what, at, bytes] of [
      ['a leak', 2 * 65536 + 2 * 45, [0, 1]],
      ['a count that is too low', 2 * 65536 + 2 * 7, [0, 0]],
      ['a count that is too high', 2 * 65536 + 2 * 7, [0, 3]],
      ['no refcount block', 65536, [0, 0, 0, 0, 0, 0, 0, 0]],
      ['a refcount block outside', 65536, [0, 0, 0, 0x70, 0, 0, 0, 0]],
      ['a missing COPIED flag', 3 * 65536, [0]],
    ] as const) {
      fresh();
      patch(at, bytes);
      fs.truncateSync(file, 46 * 65536);
      const before = theirs(folder, ['check', 'a']);
      const seen = await ours(folder, ['check', 'a']);
      assert.notEqual(seen.status, 0, what);
      assert.equal(seen.status, before.status, `${what}: ${before.err}${seen.err}`);
      const mended = await ours(folder, ['check', '-r', 'all', 'a']);
      assert.equal(mended.status, 0, `${what}: ${mended.err}${mended.out}`);
      qemuImg('check', file);
      assert.match(qemuIo(file, 'qcow2', 'read -P 3 0 2M', 'read -P 4 3M 100k'), /102400/);
    }
  }),
);

test('convert and commit keep to a rate, and refuse what is none', () =>
  inScratch(async (folder) => {
    filled(folder);
    const run = async (line: string): Promise<number> => {
      const start = performance.now();
      const { status, err } = await ours(folder, line.split(' '));
      assert.equal(status, 0, err);
      return performance.now() - start;
    };
    await run('create -q -f raw base 8M');
    await run('create -q -f qcow2 -b base -F raw top');
    fs.writeFileSync(path.join(folder, 'full'), new Uint8Array(8 << 20).fill(5));
    // 2 MiB at a time: three waits.
    assert.ok((await run('convert -n -r 16M -f raw -O qcow2 full top')) >= 350);
    assert.ok((await run('commit -q -r 16M top')) >= 350);
    await run('compare -q -f raw -F raw full base');
    const { status, err } = await ours(folder, ['commit', '-r', 'fast', 'top']);
    assert.equal(status, 1);
    assert.match(err, /Invalid rate limit specified/);
  }));
