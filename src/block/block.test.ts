import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Drive } from './drive.js';
import { configured, driveWithMedium } from './drive-properties.js';
import { MemoryNode } from './memory.js';
import { BlockError, type BlockNode, type Completion, Exclusive, isZero } from './node.js';
import { type BlockHost, openImage } from './open.js';
import { OverlayNode } from './overlay.js';
import { RawNode } from './raw.js';

const MIB = 1 << 20;
const ramp = (length: number, start = 0) => Uint8Array.from({ length }, (_, i) => start + i);

/** Answers later, one turn of the event loop per operation. */
class LateNode extends MemoryNode {
  override read(offset: number, into: Uint8Array): Completion {
    return new Promise((resolve) => setImmediate(resolve)).then(() => super.read(offset, into));
  }
  override write(offset: number, from: Uint8Array): Completion {
    return new Promise((resolve) => setImmediate(resolve)).then(() => super.write(offset, from));
  }
}

async function contents(node: BlockNode, offset: number, length: number): Promise<Uint8Array> {
  const into = new Uint8Array(length).fill(0xee);
  await node.read(offset, into);
  return into;
}

test('raw rounds up to whole sectors, with zeroes', async () => {
  const raw = new RawNode(MemoryNode.of(ramp(700)));
  assert.equal(raw.length, 1024);
  const tail = await contents(raw, 512, 512);
  assert.deepEqual(tail.subarray(0, 188), ramp(700).subarray(512));
  assert.ok(tail.subarray(188).every((b) => b === 0));
});

test('raw can show a window of its file', async () => {
  const raw = new RawNode(MemoryNode.of(ramp(4096)), { offset: 1024, size: 512 });
  assert.equal(raw.length, 512);
  assert.deepEqual(await contents(raw, 0, 512), ramp(4096).slice(1024, 1536));
  assert.throws(() => new RawNode(MemoryNode.of(ramp(100)), { offset: 200 }), /do not fit/);
});

for (const [name, make] of [
  ['at once', (n: number) => new MemoryNode(n)],
  ['later', (n: number) => new LateNode(n)],
] as const) {
  test(`an overlay keeps writes from the base until they are committed (nodes that answer ${name})`, async () => {
    const base = make(MIB);
    await base.write(0, new Uint8Array(MIB).fill(7));
    const overlay = new OverlayNode(base, make(0));
    const shadow = new Uint8Array(MIB).fill(7);
    // Overlapping writes in flight at the same time, across cluster boundaries.
    const writes: Completion[] = [];
    for (const [offset, length, value] of [
      [65000, 2000, 1],
      [65536, 65536, 2],
      [131000, 100000, 3],
      [70000, 10, 4],
      [MIB - 100, 100, 5],
    ] as const) {
      const data = new Uint8Array(length).fill(value);
      shadow.set(data, offset);
      writes.push(overlay.write(offset, data));
    }
    await Promise.all(writes);
    assert.deepEqual(await contents(overlay, 0, MIB), shadow);
    assert.deepEqual(await contents(overlay, 64000, 70000), shadow.slice(64000, 134000));
    assert.ok((await contents(base, 0, MIB)).every((b) => b === 7));
    await overlay.commit();
    assert.deepEqual(await contents(base, 0, MIB), shadow);
    assert.deepEqual(await contents(overlay, 0, MIB), shadow);
  });
}

test('a drive checks ranges, medium and write protection', () => {
  const drive = new Drive(MemoryNode.of(new Uint8Array(1024), true), { id: 'd' });
  const errno = (start: () => Completion) => {
    try {
      start();
    } catch (error) {
      return (error as BlockError).errno;
    }
    return null;
  };
  const sector = new Uint8Array(512);
  assert.equal(
    errno(() => drive.read(512, sector)),
    null,
  );
  assert.equal(
    errno(() => drive.read(1024, sector)),
    'EINVAL',
  );
  assert.equal(
    errno(() => drive.write(0, sector)),
    'EROFS',
  );
  drive.eject();
  assert.equal(
    errno(() => drive.read(0, sector)),
    'ENOMEDIUM',
  );
});

test('werror=stop holds the write until the machine goes on', async () => {
  const node = new MemoryNode(1024);
  const write = node.write.bind(node);
  node.write = () => {
    throw new BlockError('ENOSPC', 'full');
  };
  const drive = new Drive(node, { id: 'd' });
  let stops = 0;
  drive.onStop = () => stops++;
  const done = drive.write(0, ramp(512));
  assert.ok(done, 'enospc is the default');
  assert.equal(stops, 1);
  node.write = write;
  drive.resume();
  await done;
  assert.deepEqual(await contents(node, 0, 512), ramp(512));
});

test("a device's rerror, werror and write-cache count more than the drive's, and auto leaves those", async () => {
  const node = new MemoryNode(1024);
  node.read = node.write = () => {
    throw new BlockError('EIO', 'broken');
  };
  const drive = new Drive(node, { id: 'd', rerror: 'report', werror: 'report', writeCache: true });
  const sector = new Uint8Array(512);
  const auto = { 'write-cache': 'auto', rerror: 'auto', werror: 'auto' } as const;
  const context = { drive: () => drive };
  driveWithMedium(context, 'disk', { ...auto, drive: 'd' });
  assert.throws(() => drive.write(0, sector), /broken/);
  assert.equal(drive.writeCache, true);
  driveWithMedium(context, 'disk', { 'write-cache': 'off', rerror: 'ignore', werror: 'ignore', drive: 'd' });
  assert.equal(drive.write(0, sector), undefined);
  assert.equal(drive.read(0, sector), undefined);
  assert.equal(drive.writeCache, false);
  let stops = 0;
  drive.onStop = () => stops++;
  configured(drive, { ...auto, werror: 'stop' });
  const held = drive.write(0, sector);
  assert.ok(held);
  assert.equal(drive.read(0, sector), undefined);
  assert.equal(stops, 1);
  drive.abandon();
  await assert.rejects(held, /broken/);
});

test('a locked tray gives its medium only by force', () => {
  const drive = new Drive(new MemoryNode(512), { id: 'cd' });
  const seen: string[] = [];
  const user = {
    removable: true,
    locked: true,
    trayOpen: false,
    mediumChanged: () => seen.push('changed'),
    ejectRequested: () => seen.push('requested'),
  };
  drive.attach(user);
  assert.throws(() => drive.changeMedium(null), /locked/);
  drive.changeMedium(null, true);
  assert.deepEqual(seen, ['requested', 'changed']);
  assert.equal(drive.inserted, false);
});

test('opening: the format is probed or named, and the file is closed again when that fails', async () => {
  let open = 0;
  const host = (bytes: Uint8Array): BlockHost => ({
    openFile(_name, { readOnly }) {
      open++;
      const node = MemoryNode.of(bytes, readOnly);
      node.close = () => {
        open--;
        return undefined;
      };
      return node;
    },
  });
  await assert.rejects(
    openImage(host(new Uint8Array(512)), { file: 'a', format: 'nonsense' }),
    /Unknown driver 'nonsense'/,
  );
  assert.equal(open, 0);
  const raw = await openImage(host(new Uint8Array(512)), { file: 'a' });
  assert.equal(raw.driver, 'raw');
  await raw.close();
  assert.equal(open, 0);
  const overlay = await openImage(host(new Uint8Array(1024)), { file: 'a', snapshot: true });
  assert.equal(overlay.readOnly, false);
  overlay.write(0, ramp(512));
});

test('zeroes are found and written', async () => {
  assert.ok(isZero(new Uint8Array(1001).subarray(1)));
  for (const at of [0, 1, 500, 999]) {
    const bytes = new Uint8Array(1001);
    bytes[at + 1] = 1;
    assert.ok(!isZero(bytes.subarray(1)), `byte ${at}`);
  }
  const drive = new Drive(MemoryNode.of(new Uint8Array(300_000).fill(1)), { id: 'd' });
  await drive.writeZeroes(1000, 200_000, true);
  const bytes = await contents(drive.node!, 0, 300_000);
  assert.deepEqual([bytes[999], bytes[1000], bytes[200_999], bytes[201_000]], [1, 0, 0, 1]);
});

test('operations under an exclusive lock run in order, one at a time, whether or not they fail', async () => {
  const lock = new Exclusive();
  const seen: string[] = [];
  const late = (name: string) => async () => {
    seen.push(`${name} begins`);
    await new Promise((resolve) => setImmediate(resolve));
    seen.push(`${name} ends`);
    if (name === 'b') throw new BlockError('EIO', 'b');
  };
  assert.equal(
    lock.run(() => undefined),
    undefined,
    'at once when nothing runs',
  );
  const all = ['a', 'b', 'c'].map((name) => lock.run(late(name)));
  await Promise.allSettled(all);
  assert.deepEqual(seen, ['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends']);
  assert.equal(lock.busy, false);
});

test('a raw image whose format was guessed cannot be made to look like another by its guest', async () => {
  const warnings: string[] = [];
  const bytes = new Uint8Array(4096);
  const host = (content: Uint8Array): BlockHost => ({ openFile: () => MemoryNode.of(content) });
  const guessed = await openImage(host(bytes), { file: 'a', warn: (text) => warnings.push(text) });
  assert.match(warnings.join(), /format was not specified for 'a' and probing guessed raw/);
  const header = new Uint8Array(512);
  header.set([0x51, 0x46, 0x49, 0xfb, 0, 0, 0, 3]);
  assert.throws(() => guessed.write(0, header), /would name another format/);
  assert.throws(() => guessed.write(0, header.subarray(0, 8)), /would name another format/);
  await guessed.write(512, header);
  await guessed.write(0, new Uint8Array(1024).fill(7));
  await guessed.close();
  const named = await openImage(host(bytes), { file: 'a', format: 'raw', warn: (text) => warnings.push(text) });
  await named.write(0, header);
  await named.close();
  assert.equal(warnings.length, 1);
});
