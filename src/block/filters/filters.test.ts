import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Drive } from '../drive.js';
import type { BlockHost } from '../format.js';
import { fromJson, NodeGraph, nested } from '../graph.js';
import { MemoryNode } from '../memory.js';
import { OverlayNode } from '../overlay.js';
import { BlkdebugNode } from './blkdebug.js';
import { CopyOnReadNode } from './copy-on-read.js';
import { ThrottleNode } from './throttle.js';

const MIB = 1 << 20;

test('throttling: requests wait as long as the limits say', async () => {
  let now = 0;
  const slept: number[] = [];
  const clock = {
    now: () => now,
    sleep: async (seconds: number) => {
      slept.push(Math.round(seconds * 1000));
      now += seconds;
    },
  };
  const node = new ThrottleNode(new MemoryNode(MIB), { limits: { 'iops-total': 10, 'bps-write': 1000 } }, clock);
  const sector = new Uint8Array(512);
  for (let i = 0; i < 4; i++) await node.read(0, sector);
  // The first goes at once, a tenth of a second's worth may be ahead.
  assert.deepEqual(slept, [100, 100]);
  now += 10;
  slept.length = 0;
  await node.write(0, sector);
  await node.write(0, sector);
  assert.deepEqual(slept, [412], '512 bytes with 100 ahead, at 1000 a second');
});

test('copy-on-read keeps what comes from below', async () => {
  const base = MemoryNode.of(new Uint8Array(MIB).fill(7));
  const store = new MemoryNode(0);
  const overlay = new OverlayNode(base, store);
  overlay.status = (offset, length) => ({
    length: Math.min(length, 65536 - (offset % 65536)),
    data: false,
    zero: false,
    allocated: copied.has(Math.floor(offset / 65536)),
  });
  const copied = new Set<number>();
  const write = overlay.write.bind(overlay);
  overlay.write = (offset, from) => {
    copied.add(Math.floor(offset / 65536));
    return write(offset, from);
  };
  const node = new CopyOnReadNode(overlay);
  const into = new Uint8Array(1000);
  await node.read(65000, into);
  assert.ok(into.every((b) => b === 7));
  assert.deepEqual([...copied], [0, 1]);
  assert.equal(store.length, 2 * 65536);
});

test('faults: as many as are asked for, where they are asked for', async () => {
  const node = new BlkdebugNode(new MemoryNode(MIB), [
    { kinds: ['write'], errno: 'ENOSPC', offset: 4096, once: true },
    { kinds: ['read'], errno: 'EIO', after: 2 },
  ]);
  const sector = new Uint8Array(512);
  await node.write(0, sector);
  assert.throws(() => node.write(4096, sector), { errno: 'ENOSPC' });
  await node.write(4096, sector);
  await node.read(0, sector);
  await node.read(0, sector);
  assert.throws(() => node.read(0, sector), { errno: 'EIO' });
  // With werror=stop the guest does not notice a full disk that is mended in time.
  const full = new BlkdebugNode(new MemoryNode(MIB), [{ kinds: ['write'], errno: 'ENOSPC' }]);
  const drive = new Drive(full, { id: 'd', werror: 'stop' });
  let stops = 0;
  drive.onStop = () => stops++;
  const done = drive.write(0, new Uint8Array(512).fill(9));
  assert.equal(stops, 1);
  full.heal();
  drive.resume();
  await done;
  await drive.read(0, sector);
  assert.equal(sector[0], 9);
});

test('-blockdev: nodes by name and inside one another', async () => {
  const opened: string[] = [];
  const host: BlockHost = {
    openFile: (name, { readOnly }) => {
      opened.push(`${name}${readOnly ? ' ro' : ''}`);
      return MemoryNode.of(new Uint8Array(MIB).fill(1), readOnly);
    },
    now: () => 0,
    sleep: async () => {},
  };
  const graph = new NodeGraph(host, { secrets: new Map(), credentials: new Map() });
  const pairs = (text: string) => nested(text.split(',').map((p) => p.split('=') as [string, string]));
  await graph.add(pairs('driver=file,node-name=f,filename=/a'));
  await graph.add(pairs('driver=raw,node-name=r,file=f,offset=512'));
  await graph.add(
    fromJson(
      '{"driver":"throttle","node-name":"t","limits":{"iops-total":5},"file":{"driver":"raw","read-only":true,"file":{"driver":"file","filename":"/b","read-only":true}}}',
    ),
  );
  assert.deepEqual(opened, ['/a', '/b ro']);
  assert.deepEqual(
    graph.roots.map((r) => [r.name, r.node.driver, r.node.length]),
    [
      ['r', 'raw', MIB - 512],
      ['t', 'throttle', MIB],
    ],
  );
  await assert.rejects(graph.add(pairs('driver=raw,node-name=x,file=f')), /in use already/);
  await assert.rejects(graph.add(pairs('driver=raw,node-name=x,file=nothing')), /Cannot find device/);
  await assert.rejects(graph.add(pairs('driver=nonsense,node-name=x')), /Unknown driver/);
  await assert.rejects(graph.add(pairs('driver=raw,node-name=r,file=f')), /Duplicate nodes/);
});
