import assert from 'node:assert/strict';
import { test } from 'node:test';
import { getU16, getU32, getU64 } from '../../../base/bytes.js';
import { type HostFolder, Mode } from '../../../machine/host-folder.js';
import { MappedFolder, METADATA_FOLDER } from '../../../machine/mapped-folder.js';
import { TestDriver } from '../testing.js';
import { MessageWriter, Type } from './message.js';
import { MemoryFolder } from './testing-folder.js';
import { Virtio9p } from './virtio-9p.js';

function setUp(folder: HostFolder = new MemoryFolder()) {
  const device = new Virtio9p({ folder, tag: 'share', now: () => 1_700_000_000e9 });
  const driver = new TestDriver(device, [0]);
  /** Sends a message; gives its answer's body, or the number of its error. */
  const call = async (type: number, build: (w: MessageWriter) => MessageWriter, room = 8192) => {
    const answer = await driver.exchange(0, build(new MessageWriter()).finish(type, 1).slice(), room);
    assert.equal(getU16(answer, 5), 1);
    if (answer[4] === Type.error) return { error: getU32(answer, 7), body: new Uint8Array(0) };
    assert.equal(answer[4], type + 1);
    return { error: 0, body: answer.slice(7, getU32(answer, 0)) };
  };
  const walk = (from: number, to: number, ...names: readonly string[]) =>
    call(Type.walk, (w) => names.reduce((m, name) => m.text(name), w.u32(from).u32(to).u16(names.length)));
  const clunk = (fid: number) => call(Type.clunk, (w) => w.u32(fid));
  const attach = async () => {
    await call(Type.version, (w) => w.u32(8192).text('9P2000.L'));
    await call(Type.attach, (w) => w.u32(0).u32(0xffff_ffff).text('root').text('').u32(0));
  };
  return { device, driver, call, walk, clunk, attach, folder };
}

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const encode = (value: string): Uint8Array => new TextEncoder().encode(value);

test('the tag, the version, and a file made, written, read, listed, renamed and removed', async () => {
  const { device, call, walk, attach, clunk } = setUp();
  assert.equal(text(device.config.subarray(2)), 'share');
  const version = await call(Type.version, (w) => w.u32(1 << 30).text('9P2000.L'));
  assert.equal(getU32(version.body, 0), 512 * 1024);
  assert.equal(text((await call(Type.version, (w) => w.u32(8192).text('9P2000.u'))).body.subarray(6)), 'unknown');
  await attach();
  await walk(0, 1);
  assert.equal((await call(Type.lcreate, (w) => w.u32(1).text('file').u32(0o102).u32(0o644).u32(0))).error, 0);
  const written = await call(Type.write, (w) => w.u32(1).u64(0).u32(5).data(encode('hello')));
  assert.equal(getU32(written.body, 0), 5);
  await clunk(1);
  assert.equal((await walk(0, 1, 'nothing')).error, 2);
  await walk(0, 1, 'file');
  await call(Type.lopen, (w) => w.u32(1).u32(0));
  assert.equal(text((await call(Type.read, (w) => w.u32(1).u64(1).u32(100))).body.subarray(4)), 'ello');
  const attributes = await call(Type.getattr, (w) => w.u32(1).u64(0x7ff));
  assert.equal(getU32(attributes.body, 21), Mode.file | 0o644);
  assert.equal(getU64(attributes.body, 49), 5);
  await call(Type.renameat, (w) => w.u32(0).text('file').u32(0).text('other'));
  assert.equal(getU64((await call(Type.getattr, (w) => w.u32(1).u64(0x7ff))).body, 49), 5, 'a fid follows its file');
  await walk(0, 2);
  await call(Type.lopen, (w) => w.u32(2).u32(0));
  const listing = await call(Type.readdir, (w) => w.u32(2).u64(0).u32(4096));
  assert.match(text(listing.body), /other/);
  assert.equal((await call(Type.unlinkat, (w) => w.u32(0).text('other').u32(0))).error, 0);
  assert.equal((await walk(0, 3, 'other')).error, 2);
});

test('names that would leave the folder, fids that are not there, and messages cut short', async () => {
  const { device, driver, call, walk, attach } = setUp();
  await attach();
  assert.equal((await walk(0, 1, '..')).error, 0, 'above the root is the root');
  for (const name of ['a/b', '', '.']) assert.equal((await walk(0, 2, name)).error, 22);
  assert.equal((await call(Type.mkdir, (w) => w.u32(0).text('..').u32(0o755).u32(0))).error, 22);
  assert.equal((await call(Type.read, (w) => w.u32(77).u64(0).u32(1))).error, 9);
  assert.equal((await call(Type.walk, (w) => w.u32(0))).error, 22);
  assert.equal((await call(200, (w) => w)).error, 95);
  assert.equal(device.broken, false);
  driver.send(0, [{ ...driver.place(3), writable: false }]);
  assert.equal(device.broken, true);
});

test('a saved machine finds its files open again', async () => {
  const { device, call, walk, attach } = setUp();
  await attach();
  await walk(0, 1);
  await call(Type.lcreate, (w) => w.u32(1).text('file').u32(0o102).u32(0o644).u32(0));
  await call(Type.write, (w) => w.u32(1).u64(0).u32(5).data(encode('hello')));
  const saved = structuredClone(device.save());
  device.load(saved);
  assert.deepEqual(device.save(), saved);
  assert.equal(text((await call(Type.read, (w) => w.u32(1).u64(0).u32(100))).body.subarray(4)), 'hello');
});

test('mapped-file: owners, modes and special files are kept beside the files, and not shown', () => {
  const host = new MemoryFolder();
  const folder = new MappedFolder(host);
  folder.open(['file'], { read: false, write: true, create: { permissions: 0o4755, exclusive: true } }).close();
  folder.setOwner(['file'], 1000, -1);
  folder.makeSymbolicLink(['link'], '/etc/passwd');
  folder.makeNode(['null'], Mode.character | 0o666, 0x103);
  assert.equal(host.stat(['file']).mode, Mode.file | 0o600);
  assert.equal(folder.stat(['file']).mode, Mode.file | 0o4755);
  assert.equal(folder.stat(['file']).uid, 1000);
  assert.equal(host.stat(['link']).mode & Mode.type, Mode.file, 'no link for the host to follow');
  assert.equal(folder.stat(['link']).mode & Mode.type, Mode.symbolicLink);
  assert.equal(folder.readLink(['link']), '/etc/passwd');
  assert.equal(folder.stat(['null']).device, 0x103);
  assert.deepEqual([...folder.list([])].sort(), ['file', 'link', 'null']);
  assert.throws(() => folder.stat([METADATA_FOLDER]), { code: 'ENOENT' });
  folder.rename(['file'], ['moved']);
  assert.equal(folder.stat(['moved']).uid, 1000);
  folder.makeFolder(['sub'], 0o700);
  folder.open(['sub', 'x'], { read: false, write: true, create: { permissions: 0o644, exclusive: true } }).close();
  assert.throws(() => folder.remove(['sub'], true), { code: 'ENOTEMPTY' });
  folder.remove(['sub', 'x'], false);
  folder.remove(['sub'], true);
  assert.throws(() => host.stat(['sub']), { code: 'ENOENT' });
});
