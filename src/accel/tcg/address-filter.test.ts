import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AddressFilter } from './address-filter.js';

test('what was added is there; hardly anything else is said to be', () => {
  const filter = new AddressFilter();
  const addresses = Array.from({ length: 80_000 }, (_, i) => (0x1000_0000 + i * 23) | 0);
  for (const address of addresses) filter.add(address);
  assert.ok(addresses.every((address) => filter.mayHave(address)));
  const others = addresses.filter((address) => filter.mayHave(address + 11));
  assert.ok(others.length < addresses.length / 10, `${others.length} of ${addresses.length}`);
  filter.clear();
  assert.ok(addresses.every((address) => !filter.mayHave(address)));
});
