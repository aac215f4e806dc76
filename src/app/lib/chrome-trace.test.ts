import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KVM_TRACE } from '../../accel/kvm/trace.js';
import { ChromeTrace } from './chrome-trace.js';

test('an exit is a bar from its start to the next entry of its processor; an entry without one is a moment', () => {
  let text = '';
  let now = 0;
  const trace = new ChromeTrace(
    (t) => {
      text += t;
    },
    () => {
      now += 1000;
      return now;
    },
  );
  trace.record(KVM_TRACE.kvm_entry, [0, '0xfff0']);
  trace.record(KVM_TRACE.kvm_exit, [0, 'io', '0x10']);
  trace.record(KVM_TRACE.kvm_pio, [0, 'write', 0x80, 1, 1, '5a']);
  trace.record(KVM_TRACE.kvm_exit, [1, 'mmio', '0x20']);
  trace.record(KVM_TRACE.kvm_entry, [0, '0x12']);
  trace.record(KVM_TRACE.kvm_entry, [0, '0x12']);
  trace.record(KVM_TRACE.kvm_park, []);
  trace.finish();
  const events: Record<string, unknown>[] = JSON.parse(text);
  assert.deepEqual(
    events.map(({ ph, tid, name }) => [ph, tid, name]),
    [
      ['i', 0, 'kvm_entry'],
      ['B', 0, 'io'],
      ['i', 0, 'kvm_pio'],
      ['B', 1, 'mmio'],
      ['E', 0, undefined],
      ['i', 0, 'kvm_entry'],
      ['i', -1, 'kvm_park'],
    ],
  );
  assert.deepEqual(events[1]!['args'], { rip: '0x10' });
  assert.deepEqual(events[2]!['args'], { text: 'cpu 0 write port 0x80 size 1 count 1 data 5a' });
  assert.ok(events.every(({ ts }, i) => ts === i + 1));
});
