import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Drive } from '../drive.js';
import type { BlockHost } from '../format.js';
import { fromJson, NodeGraph, nested } from '../graph.js';
import { MemoryNode } from '../memory.js';
import { OverlayNode } from '../overlay.js';
import { BlkdebugNode } from './blkdebug.js';
import { CopyOnReadNode } from './copy-on-read.js';
import { ThrottleGroup, ThrottleNode, type ThrottleOptions, throttleOptions } from './throttle.js';

const MIB = 1 << 20;

const limitsOf = (text: string): ThrottleOptions => {
  const said = new Map(text.split(',').map((p) => p.split('=') as [string, string]));
  return throttleOptions((name) => said.get(name))!;
};

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
  const node = new ThrottleNode(
    new MemoryNode(MIB),
    new ThrottleGroup(limitsOf('iops-total=10,bps-write=1000')),
    clock,
  );
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

test('throttling: bursts, sizes of requests, and limits that nodes share', () => {
  const burst = new ThrottleGroup(limitsOf('bps-total=1000,bps-total-max=2000,bps-total-max-length=3'));
  assert.equal(burst.wait(200, 'read', 0), 0);
  assert.equal(burst.wait(400, 'read', 0), 0, 'up to a tenth of the faster rate at once');
  assert.ok(Math.abs(burst.wait(1, 'read', 0) - 0.2) < 1e-9, 'then at the faster rate');
  let now = 0;
  for (let i = 0; i < 100; i++) now += burst.wait(1000, 'write', now);
  assert.ok(now > 92 && now < 96, `100 000 bytes take ${now} s: 6000 of them may be ahead`);
  const sized = new ThrottleGroup(limitsOf('iops-total=10,iops-size=4096'));
  assert.equal(sized.wait(40960, 'read', 0), 0);
  assert.ok(sized.wait(1, 'read', 0) > 0.8, 'the first counted as ten');
  const group = new ThrottleGroup(limitsOf('iops-read=1'));
  group.wait(1, 'read', 0);
  assert.equal(group.wait(1, 'write', 0), 0);
  assert.ok(group.wait(1, 'read', 0) > 0.8);
  group.limit(limitsOf('iops-read=1000'));
  assert.equal(group.wait(1, 'read', 0), 0);
});

test('throttling: limits that contradict each other are refused in QEMU’s words', () => {
  for (const [text, message] of [
    ['bps-total=1,bps-read=1', /total values and read\/write values cannot be used/],
    ['iops-size=512,bps-total=1', /iops size requires an iops value/],
    ['bps-total-max=5', /require corresponding/],
    ['bps-total=5,bps-total-max=4', /cannot be lower/],
    ['bps-total=5,bps-total-max-length=4', /without burst rate/],
    ['bps-total=5,bps-total-max=6,bps-total-max-length=0', /cannot be 0/],
    ['bps-total=x', /expects a number/],
  ] as const)
    assert.throws(() => limitsOf(text), message);
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
  const throttleGroups = new Map([['g', new ThrottleGroup(limitsOf('bps-total=5'))]]);
  const graph = new NodeGraph(host, { secrets: new Map(), credentials: new Map(), throttleGroups });
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
  await graph.add(pairs('driver=throttle,node-name=t2,throttle-group=g,file=r'));
  for (const [text, message] of [
    ['driver=throttle,node-name=x,throttle-group=h,file=r', /Throttle group 'h' does not exist/],
    ['driver=throttle,node-name=x,limits.bps=5,file.driver=null-co', /'limits.bps' is unexpected/],
    ['driver=null-co,node-name=1x', /Invalid node-name/],
    ['driver=file,node-name=x,filename=/c,bogus=1', /'bogus' is unexpected/],
    ['driver=file,node-name=x,filename=/c,aio=native', /requires cache.direct=on/],
    ['driver=null-co,node-name=x,detect-zeroes=unmap', /not allowed without setting discard/],
  ] as const)
    await assert.rejects(graph.add(pairs(text)), message);
});
