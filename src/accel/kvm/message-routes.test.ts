import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTrace, setTraceSink } from '../../base/trace.js';
import type { HostCalls } from './host-calls.js';
import type { GsiRoute, KvmMachine } from './interface.js';
import { MessageRoutes } from './message-routes.js';
import { KVM_TRACE } from './trace.js';

const ADDRESS = 0xfee00000;
const OFTEN = 16;

/** Notes what MessageRoutes does with KVM: messages arrive as `data`, by either way. */
class FakeKvm {
  routes: readonly GsiRoute[] = [];
  readonly signalled: number[] = [];
  readonly written: number[] = [];
  readonly gsiOf = new Map<number, number>();
  open = new Set<number>();
  #descriptors = 100;

  readonly vm = {
    setRoutes: (routes: readonly GsiRoute[]) => {
      this.routes = routes;
    },
    signalMsi: (_address: bigint, data: number) => {
      this.signalled.push(data);
      return true;
    },
    irqfd: (fd: number, gsi: number, attach: boolean) => {
      if (attach) this.gsiOf.set(fd, gsi);
      else this.gsiOf.delete(fd);
    },
  } as unknown as KvmMachine;

  readonly calls = {
    eventfd: () => {
      this.open.add(++this.#descriptors);
      return this.#descriptors;
    },
    signalEvent: (fd: number) => {
      const route = this.routes.find(({ gsi }) => gsi === this.gsiOf.get(fd));
      assert.ok(route && 'data' in route, `descriptor ${fd} leads nowhere`);
      this.written.push(route.data);
    },
    close: (fd: number) => void this.open.delete(fd),
  } as unknown as HostCalls;
}

function send(routes: MessageRoutes, data: number, times: number): void {
  for (let i = 0; i < times; i++) routes.send(ADDRESS, data);
}

test('a message that comes often goes by a descriptor of its own', () => {
  const kvm = new FakeKvm();
  const routes = new MessageRoutes(kvm.vm, kvm.calls, [{ gsi: 1, chip: 0, pin: 1 }]);
  send(routes, 0x41, OFTEN - 1);
  assert.deepEqual([kvm.signalled.length, kvm.written.length, routes.routed], [OFTEN - 1, 0, 0]);
  send(routes, 0x41, 5);
  send(routes, 0x42, 1);
  assert.deepEqual(kvm.written, Array(5).fill(0x41));
  assert.equal(kvm.signalled.at(-1), 0x42);
  assert.deepEqual(kvm.routes, [
    { gsi: 1, chip: 0, pin: 1 },
    { gsi: 24, address: BigInt(ADDRESS), data: 0x41 },
  ]);
  routes.dispose();
  assert.equal(kvm.open.size, 0);
});

test('there are never more descriptors than a machine needs, whatever messages a guest makes up', () => {
  const kvm = new FakeKvm();
  const routes = new MessageRoutes(kvm.vm, kvm.calls, []);
  for (let data = 0; data < 1000; data++) {
    const before = kvm.signalled.length + kvm.written.length;
    send(routes, data, OFTEN + 1);
    assert.equal(kvm.signalled.length + kvm.written.length, before + OFTEN + 1);
    assert.equal(kvm.written.at(-1), data);
  }
  assert.ok(kvm.open.size <= 64 && kvm.gsiOf.size === kvm.open.size);
  assert.ok(kvm.routes.length <= 64 && kvm.routes.every(({ gsi }) => gsi >= 24 && gsi < 24 + 65));
  for (let data = 0; data < 1000; data++) send(routes, 0x10000 + data, 1);
  routes.dispose();
  assert.equal(kvm.open.size, 0);
});

test('ends of level-triggered interrupts are told for the messages that came last', () => {
  const kvm = new FakeKvm();
  const routes = new MessageRoutes(kvm.vm, kvm.calls, []);
  for (let data = 0; data < 30; data++) routes.tellEndOf(ADDRESS, data);
  routes.tellEndOf(ADDRESS, 29);
  assert.deepEqual(
    kvm.routes.map((r) => [r.gsi, 'data' in r && r.data]),
    Array.from({ length: 24 }, (_, i) => [i, i + 6]),
  );
});

test('a trace tells of each route once, and again when it leads elsewhere', (t) => {
  const lines: string[] = [];
  setTraceSink((line) => lines.push(line));
  setTrace([KVM_TRACE.kvm_route], '*', true);
  t.after(() => setTrace([KVM_TRACE.kvm_route], '*', false));
  const kvm = new FakeKvm();
  const fixed: GsiRoute[] = [
    { gsi: 1, chip: 0, pin: 1 },
    { gsi: 1, chip: 2, pin: 1 },
  ];
  const routes = new MessageRoutes(kvm.vm, kvm.calls, fixed);
  send(routes, 0x41, OFTEN);
  send(routes, 0x42, OFTEN);
  assert.deepEqual(lines, [
    'kvm_route gsi 1 to chip 0 pin 1',
    'kvm_route gsi 1 to chip 2 pin 1',
    'kvm_route gsi 24 to message address 0xfee00000 data 0x41',
    'kvm_route gsi 25 to message address 0xfee00000 data 0x42',
  ]);
  routes.dispose();
});
