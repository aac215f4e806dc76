import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEVICE_TYPES } from './index.js';
import { DEVICE_TRACES } from './trace.js';

test('the events of every device type are in the list, and no name is used twice', () => {
  const events = DEVICE_TRACES.flatMap((group) => Object.values(group));
  for (const type of DEVICE_TYPES) {
    for (const event of Object.values(type.trace ?? {}))
      assert.ok(events.includes(event), `${type.name}: ${event.name}`);
  }
  assert.equal(new Set(events.map((event) => event.name)).size, events.length);
});
