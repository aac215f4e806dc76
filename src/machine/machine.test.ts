/** Timers, clocks, lifecycle. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTrace, setTraceSink } from '../base/trace.js';
import { LIFECYCLE_TRACE, Lifecycle, type LifecycleOptions } from './lifecycle.js';
import { MachineClocks } from './machine-clocks.js';
import { randomNumbers } from './testing/conformance.js';
import { ManualTime } from './testing/manual-time.js';
import { TimerQueue } from './timer-queue.js';

test('timers fire in order of deadline, equal ones in order of arming, however they were moved about', () => {
  const queue = new TimerQueue();
  const random = randomNumbers(42);
  const fired: number[] = [];
  const deadlines: number[] = [];
  const timers = Array.from({ length: 200 }, (_, i) => queue.create(`t${i}`, () => fired.push(deadlines[i]!)));
  for (let round = 0; round < 1000; round++) {
    const i = random() % timers.length;
    if (random() % 4 === 0) {
      timers[i]!.disarm();
      deadlines[i] = Number.POSITIVE_INFINITY;
    } else {
      deadlines[i] = random() % 500;
      timers[i]!.arm(deadlines[i]!);
    }
    assert.equal(timers[i]!.deadline, deadlines[i]);
  }
  const expected = deadlines.filter((d) => d <= 250).sort((a, b) => a - b);
  assert.equal(queue.nextDeadline, Math.min(...deadlines.filter((d) => d !== undefined)));
  queue.run(250);
  assert.deepEqual(fired, expected);

  const order: string[] = [];
  const a = queue.create('a', () => order.push('a'));
  const b = queue.create('b', () => order.push('b'));
  b.arm(-1);
  a.arm(-1);
  queue.run(0);
  assert.deepEqual(order, ['b', 'a']);
});

test('a timer that keeps re-arming itself in the past cannot hold the machine', () => {
  const queue = new TimerQueue();
  let fired = 0;
  const timer = queue.create('eager', () => {
    fired++;
    timer.arm(0);
  });
  timer.arm(0);
  queue.run(100);
  assert.equal(fired, 1);
  queue.run(100);
  assert.equal(fired, 2);
});

test('an earlier deadline wakes the sleeper, a later one does not', () => {
  let woken = 0;
  const queue = new TimerQueue(() => woken++);
  const first = queue.create('first', () => {});
  const second = queue.create('second', () => {});
  first.arm(100);
  second.arm(200);
  assert.equal(woken, 1);
  second.arm(50);
  assert.equal(woken, 2);
});

test('virtual time stands still while stopped and can be driven by another source without a jump', () => {
  const time = new ManualTime();
  const clocks = new MachineClocks(time);
  time.advance(clocks, 500);
  assert.equal(clocks.virtual.now(), 0);
  clocks.start();
  time.advance(clocks, 300);
  clocks.stop();
  time.advance(clocks, 1000);
  assert.equal(clocks.virtual.now(), 300);
  clocks.start();
  time.advance(clocks, 10);
  assert.equal(clocks.virtual.now(), 310);
  let instructions = 7_000_000;
  clocks.driveVirtual(() => instructions);
  assert.equal(clocks.virtual.now(), 310);
  instructions += 25;
  assert.equal(clocks.virtual.now(), 335);
});

test('virtual timers wait while the machine is stopped; real ones do not', () => {
  const time = new ManualTime();
  const clocks = new MachineClocks(time);
  const fired: string[] = [];
  clocks.virtual.timer('v', () => fired.push('virtual')).arm(100);
  clocks.realtime.timer('r', () => fired.push('realtime')).arm(100);
  time.advance(clocks, 200);
  assert.deepEqual(fired, ['realtime']);
  assert.equal(clocks.untilNext(), Number.POSITIVE_INFINITY);
  clocks.start();
  assert.equal(clocks.untilNext(), 100);
  time.advance(clocks, 100);
  assert.deepEqual(fired, ['realtime', 'virtual']);
});

function lifecycle(options: LifecycleOptions = {}) {
  const log: string[] = [];
  const life = new Lifecycle(
    {
      reset: (cause) => log.push(`reset ${cause}`),
      setRunning: (running) => log.push(running ? 'go' : 'halt'),
      kick: () => log.push('kick'),
    },
    options,
  );
  life.ended.subscribe(({ cause, exitCode }) => log.push(`ended ${cause} ${exitCode}`));
  return { life, log };
}

test('requests from the guest take effect between slices', () => {
  const { life, log } = lifecycle();
  life.start();
  life.reset('guest-reset');
  assert.deepEqual(log, ['go', 'kick']);
  life.service();
  assert.deepEqual(log, ['go', 'kick', 'reset guest-reset']);
  life.shutdown('guest-shutdown');
  life.service();
  assert.deepEqual(log.slice(3), ['kick', 'halt', 'ended guest-shutdown 0']);
  assert.equal(life.state, 'shutdown');
});

test('a machine that is told to stop and to go on between two slices goes on', () => {
  const { life, log } = lifecycle();
  life.start();
  life.pause();
  assert.deepEqual([life.state, life.told, life.pending], ['running', 'paused', true]);
  life.start();
  assert.deepEqual([life.told, life.pending], ['running', false]);
  life.service();
  assert.equal(life.state, 'running');
  assert.deepEqual(log, ['go', 'kick']);
  // What stops it for a reason of its own is not taken back.
  life.pause('internal-error');
  life.start();
  life.service();
  assert.equal(life.state, 'internal-error');
});

test('changes of state are traced as QEMU traces them', (t) => {
  const lines: string[] = [];
  setTraceSink((line) => lines.push(line));
  setTrace(Object.values(LIFECYCLE_TRACE), 'runstate_*', true);
  t.after(() => {
    setTrace(Object.values(LIFECYCLE_TRACE), '*', false);
    setTraceSink(() => {});
  });
  const { life } = lifecycle();
  life.start();
  life.shutdown('host-ui');
  life.service();
  assert.deepEqual(lines, [
    'runstate_set current_run_state 6 (prelaunch) new_state 9 (running)',
    'runstate_set current_run_state 9 (running) new_state 11 (shutdown)',
  ]);
});

test('-no-reboot ends instead; -no-shutdown stops but quit still ends', () => {
  const once = lifecycle({ noReboot: true });
  once.life.start();
  once.life.reset('guest-reset');
  once.life.service();
  assert.equal(once.log.at(-1), 'ended guest-reset 0');

  const kept = lifecycle({ noShutdown: true });
  kept.life.start();
  kept.life.shutdown('guest-shutdown');
  kept.life.service();
  assert.equal(kept.life.state, 'shutdown');
  assert.ok(!kept.log.some((l) => l.startsWith('ended')));
  kept.life.shutdown('host-qmp-quit', 3);
  assert.equal(kept.log.at(-1), 'ended host-qmp-quit 3');
});

test('pause, go on, suspend, wake up', () => {
  const { life } = lifecycle();
  life.start();
  life.pause();
  life.service();
  assert.equal(life.state, 'paused');
  life.start();
  life.suspend();
  life.service();
  assert.equal(life.state, 'suspended');
  life.start();
  assert.equal(life.state, 'suspended');
  let woken = 0;
  life.wakeupRequested.subscribe(() => woken++);
  life.wakeup();
  assert.equal(woken, 1);
  assert.equal(life.state, 'running');
});
