/** `tinamou-kvm-ok` as a user runs it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Kvm } from '../../src/accel/kvm/kvm.js';
import { main } from '../../src/app/kvm-ok/main.js';
import { checkCount, chooseAccelerator } from '../../src/app/lib/kvm.js';
import type { WantedAccelerator } from '../../src/app/options/wishes.js';
import { linuxCalls } from '../../src/host/node/kvm/linux.js';
import { skip } from './rig.js';

function run(...args: string[]): { status: number; text: string; errors: string } {
  let text = '';
  let errors = '';
  const print = (t: string): void => {
    text += t;
  };
  const complain = (t: string): void => {
    errors += t;
  };
  const status = main(args, print, complain);
  return { status, text, errors };
}

const wanted = (...names: string[]): WantedAccelerator[] => names.map((name) => ({ name, origin: `-accel ${name}` }));

const choosing =
  (icount: boolean, notes: string[]) =>
  (...names: string[]): string =>
    chooseAccelerator(wanted(...names), { icount, cpus: 1, irqchip: 'on', smm: false }, (text) => notes.push(text))
      .name;

test('wrong usage is told in one line that names it', () => {
  const { status, text, errors } = run('--json', '--what');
  assert.equal(status, 3);
  assert.equal(text, '');
  assert.equal(errors, 'tinamou-kvm-ok: --what: invalid option: --json is the only one, --help tells more\n');
  assert.match(run('--help').text, /^usage:/);
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

test('a preference list passes over a KVM that cannot do what operating systems need, and says why', () => {
  const notes: string[] = [];
  const options = { icount: false, cpus: 1, irqchip: 'on', smm: false } as const;
  const { name, host } = chooseAccelerator(wanted('kvm', 'tcg'), options, (text) => notes.push(text));
  if (name === 'kvm') {
    assert.deepEqual(notes, []);
    assert.ok(host);
    return;
  }
  assert.match(notes[0]!, /^-accel kvm: failed to initialize kvm: .*; falling back to tcg$/);
  if (skip !== false) return;
  // Asked for alone, it is used as far as it goes.
  notes.length = 0;
  assert.equal(chooseAccelerator(wanted('kvm'), options, (text) => notes.push(text)).name, 'kvm');
  assert.match(notes[0]!, /firmware runs, most operating systems do not/);
});

test('smm=on asks for a KVM that has system management mode', { skip }, () => {
  const kvm = new Kvm(linuxCalls());
  const there = kvm.capability('X86_SMM') !== 0;
  kvm.close();
  const choose = (): unknown =>
    chooseAccelerator(wanted('kvm'), { icount: false, cpus: 1, irqchip: 'on', smm: true }, () => {});
  if (there) assert.doesNotThrow(choose);
  else assert.throws(choose, /failed to initialize kvm: this KVM has no system management mode \(KVM_CAP_X86_SMM\)/);
});

test('accelerators that there are not are passed over with a line each, and what is left may be none', () => {
  const notes: string[] = [];
  const choose = choosing(false, notes);
  assert.equal(choose('foo', 'hvf', 'tcg', 'kvm'), 'tcg');
  assert.deepEqual(notes, [
    '-accel foo: invalid accelerator foo: use tcg or kvm; falling back to tcg',
    '-accel hvf: Tinamou does not have the accelerator hvf yet: use tcg or kvm; falling back to tcg',
  ]);
  notes.length = 0;
  assert.throws(() => choose('foo', 'bar'), /^UserError: -accel bar: invalid accelerator bar: use tcg or kvm$/);
  assert.deepEqual(notes, ['-accel foo: invalid accelerator foo: use tcg or kvm']);
});

test('-icount asks for tcg: kvm is passed over, or refused where it is all', () => {
  const notes: string[] = [];
  const choose = choosing(true, notes);
  assert.equal(choose('kvm', 'tcg'), 'tcg');
  assert.match(notes[0]!, /^-accel kvm: -icount is not allowed with hardware virtualization: .*; falling back to tcg$/);
  assert.throws(() => choose('kvm'), /-icount is not allowed with hardware virtualization: use -accel tcg with it/);
});

test('more processors than KVM recommends are told of, more than it can have are refused', () => {
  const notes: string[] = [];
  const check = (cpus: number, recommended: number, most: number): void =>
    checkCount({ capability: (name) => (name === 'NR_VCPUS' ? recommended : most) }, cpus, (text) => notes.push(text));
  check(2, 2, 8);
  check(4, 0, 0);
  assert.deepEqual(notes, []);
  check(3, 2, 8);
  assert.deepEqual(notes, [
    'warning: Number of SMP cpus requested (3) exceeds the recommended cpus supported by KVM (2)',
  ]);
  assert.throws(
    () => check(9, 2, 8),
    /^UserError: Number of SMP cpus requested \(9\) exceeds the maximum cpus supported by KVM \(8\)$/,
  );
});
