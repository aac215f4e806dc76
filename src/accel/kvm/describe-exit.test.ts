import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeStop } from './describe-exit.js';
import type { KvmExit, KvmProcessor } from './interface.js';

const vcpu = { regs: () => ({ rip: 0x1234n }) } as unknown as KvmProcessor;
const said = (exit: KvmExit): string => describeStop(1, exit, vcpu);

test('what stopped a processor is told with all that KVM says', () => {
  assert.equal(
    said({ reason: 'internalError', suberror: 1, instruction: Uint8Array.of(0x0f, 0x0b), data: [] }),
    'KVM internal error. Suberror: 1 (processor 1 at 0x1234: emulation failure, instruction 0f 0b): the machine stops (info registers of the monitor tells more)',
  );
  assert.match(
    said({ reason: 'internalError', suberror: 3, data: [0x80000b0en, 0x31n] }),
    /^KVM internal error\. Suberror: 3 \(processor 1 at 0x1234: extra data 0x80000b0e 0x31\)/,
  );
  assert.match(
    said({ reason: 'failEntry', hardwareReason: 0x80000021n, cpu: 0 }),
    /^KVM: entry failed, hardware error 0x80000021 \(processor 1 at 0x1234\)/,
  );
  assert.equal(
    said({ reason: 'systemEvent', type: 3, data: [] }),
    'processor 1 at 0x1234 says crash: the machine stops',
  );
  assert.match(said({ reason: 'systemEvent', type: 9, data: [] }), /asked for event 9/);
  assert.match(
    said({ reason: 'other', number: 99 }),
    /^KVM: unhandled exit 99 \(processor 1 at 0x1234\): the machine stops/,
  );
});
