import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GuestClock } from './guest-clock.js';

const MS = 1e6;

/** A host that makes whoever looks at KVM's clock, or sets it, wait for so many ms each time. */
class BusyHost {
  now = 5 * MS;
  #offset = 0;
  readonly waits: number[] = [];
  readonly vm = {
    capability: () => 1,
    clock: (): bigint => {
      this.#wait();
      return BigInt(this.now + this.#offset);
    },
    setClock: (ns: bigint): void => {
      this.#wait();
      this.#offset = Number(ns) - this.now;
    },
  };

  #wait(): void {
    this.now += (this.waits.shift() ?? 0) * MS;
  }
}

test('the clock goes on where it was, however long looking at it takes', () => {
  const host = new BusyHost();
  let stopped = 0;
  const clock = new GuestClock(host.vm, () => host.now - stopped);
  const before = Number(host.vm.clock()) - host.now;
  host.waits.push(70, 90);
  clock.park();
  host.now += 1000 * MS;
  stopped = 1000 * MS;
  host.waits.push(0, 80, 60);
  assert.equal(clock.resume(), true);
  const after = Number(host.vm.clock()) - (host.now - stopped);
  assert.ok(Math.abs(after - before) < MS, `${(after - before) / MS} ms`);
});

test('one that did not stand still is left alone', () => {
  const host = new BusyHost();
  const clock = new GuestClock(host.vm, () => host.now);
  clock.park();
  host.now += 1000 * MS;
  host.waits.push(0, 50);
  assert.equal(clock.resume(), false);
});
