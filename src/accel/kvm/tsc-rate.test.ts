import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KvmError } from './error.js';
import { setTscRate } from './tsc-rate.js';

const HOST_KHZ = 2_000_000;

/** What was set, on a host that can scale or cannot. */
function set(khz: number, scales: boolean, refuses = false): number | undefined {
  let rate: number | undefined;
  const vcpu = {
    tscKhz: () => HOST_KHZ,
    setTscKhz: (to: number) => {
      if (refuses) throw new KvmError('KVM_SET_TSC_KHZ', 22, 'EINVAL');
      rate = to;
    },
  };
  setTscRate(vcpu, (name) => Number(name === 'GET_TSC_KHZ' || scales), khz);
  return rate;
}

test("the host's own rate needs nothing", () => assert.equal(set(HOST_KHZ, false), undefined));

test('a rate is set where KVM scales, or makes up for the difference', () => {
  assert.equal(set(1_500_000, true), 1_500_000);
  assert.equal(set(HOST_KHZ + 400, false), HOST_KHZ + 400);
});

test('one that cannot be is refused', () => {
  const message =
    /^tsc-frequency: this host's processors count 2000000 kHz and cannot show a guest 1500000 kHz: leave it out$/;
  assert.throws(() => set(1_500_000, false), { name: 'UserError', message });
  assert.throws(() => set(1_500_000, true, true), { name: 'UserError', message });
});
