/** `tinamou-kvm-ok` as a user runs it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { main } from '../../src/app/kvm-ok/main.js';
import { skip } from './rig.js';

function run(...args: string[]): { status: number; text: string } {
  let text = '';
  const status = main(args, (t) => {
    text += t;
  });
  return { status, text };
}

test('wrong usage shows the help', () => {
  const { status, text } = run('--what');
  assert.equal(status, 3);
  assert.match(text, /^usage:/);
});

test('says why KVM cannot be used, or what it can do', () => {
  const { status, text } = run('--json');
  const report = JSON.parse(text);
  assert.equal(report.usable, skip === false);
  assert.equal(status === 1, !report.usable);
  if (!report.usable) assert.match(report.reason, /kvm/i);
});

test('on a usable KVM real mode runs and capabilities are listed', { skip }, () => {
  const report = JSON.parse(run('--json').text);
  assert.equal(report.apiVersion, 12);
  assert.ok(report.capabilities.KVM_CAP_IMMEDIATE_EXIT > 0);
  const works = Object.fromEntries(report.modes.map((m: { mode: string; works: boolean }) => [m.mode, m.works]));
  assert.equal(works.real, true);
  assert.equal(works.protected, true);
  const { text } = run();
  assert.match(text, /KVM can be used/);
  assert.match(text, /KVM_CAP_IRQCHIP/);
});
