import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTrace, setTraceSink } from '../../base/trace.js';
import type { SliceEnd } from '../accelerator.js';
import { Answers } from './answers.js';
import { Question } from './control.js';
import type { KvmExit } from './interface.js';
import { KVM_TRACE } from './trace.js';
import type { KvmVcpu } from './vcpu.js';
import type { VcpuThreads } from './vcpu-threads.js';
import type { NotifyPolicy } from './vm-tuning.js';

/** What comes of an exit: the machine's stop, what the user is told, what the guest gets. */
function answer(exit: KvmExit, notify: NotifyPolicy = 'run') {
  const reports: string[] = [];
  const results: bigint[] = [];
  const kvm = {
    exit: () => exit,
    regs: () => ({ rip: 0x1234n }),
    answerHypercall: (result: bigint) => results.push(result),
  } as unknown as KvmVcpu;
  const threads = { get: () => Question.exit } as unknown as VcpuThreads;
  const none = {} as never;
  const answers = new Answers(
    threads,
    none,
    undefined,
    () => none,
    notify,
    (text) => reports.push(text),
  );
  const stop: SliceEnd | undefined = answers.answer({ index: 1, kvm, debugger: none, base: 0, held: false });
  return { stop: stop?.reason, reports, results };
}

test("a hypercall that is not KVM's own is answered: there is none of that number", () => {
  assert.deepEqual(answer({ reason: 'hypercall', number: 99n, args: [] }), {
    stop: undefined,
    reports: [],
    results: [-1000n],
  });
});

test('a processor that takes no interrupts goes on or stops, as notify-vmexit says; always without a state', () => {
  const notice = (contextInvalid: boolean): KvmExit => ({ reason: 'notify', contextInvalid });
  assert.deepEqual(answer(notice(false)).stop, undefined);
  const told = answer(notice(false), 'internal-error');
  assert.deepEqual(
    [told.stop, ...told.reports],
    ['internalError', 'processor 1 at 0x1234 took no interrupt for a whole window: the machine stops (notify-vmexit)'],
  );
  assert.match(answer(notice(true)).reports.join(), /and KVM no longer knows its state: the machine stops/);
});

test('an exit of an unknown kind stops the machine and is told with its number', () => {
  const { stop, reports } = answer({ reason: 'other', number: 77 });
  assert.deepEqual(
    [stop, ...reports],
    [
      'internalError',
      'KVM: unhandled exit 77 (processor 1 at 0x1234): the machine stops (info registers of the monitor tells more)',
    ],
  );
});

test('an exit that is not known is traced with its number', (t) => {
  const lines: string[] = [];
  setTraceSink((line) => lines.push(line));
  setTrace([KVM_TRACE.kvm_exit], '*', true);
  t.after(() => setTrace([KVM_TRACE.kvm_exit], '*', false));
  answer({ reason: 'other', number: 99 });
  assert.deepEqual(lines, ['kvm_exit cpu 1 reason number 99 rip 0x1234']);
});
