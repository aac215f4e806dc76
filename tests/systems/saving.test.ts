/** Debian goes on in another process's machine: its shell, its files, its clocks, and its disks in the middle of their work. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { VirtualMachine } from '../../src/app/lib/index.js';
import { linuxMachine, PROMPT, powerOff, run, toPrompt } from './linux.js';

const timeout = 900_000;
let folder: string;

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'tinamou-saving-'));
});
after(() => rmSync(folder, { recursive: true, force: true }));

function image(name: string): string {
  const path = join(folder, name);
  const made = spawnSync('node', ['bin/tinamou-img.js', 'create', '-q', '-f', 'qcow2', path, '64M'], {
    encoding: 'utf8',
  });
  assert.equal(made.status, 0, made.stderr);
  return path;
}

const machine = (disk: string, ...args: string[]): Promise<VirtualMachine> =>
  linuxMachine({
    linux: 'linux-amd64',
    cpu: 'max',
    smp: 2,
    initrdRequest: { modules: ['virtio_pci', 'virtio_blk'] },
    drives: [`file=${disk},if=virtio,format=qcow2`],
    args,
  });

const BLOCKS = 1500;
/** Each block of the disk gets its own number; they are shorter than the terminal's line. */
const FUNCTIONS = [
  `n() { printf '%0512d' $1; }`,
  `r() { dd if=/dev/vda bs=512 skip=$1 count=1 2>/dev/null; }`,
  `w() { n $1 | dd of=/dev/vda bs=512 seek=$1 conv=notrunc 2>/dev/null; }`,
  `c() { [ "$(r $1)" = "$(n $1)" ] || echo wrong $1; }`,
  `all() { for i in $(seq 0 ${BLOCKS}); do w $i; done; touch /tmp/written; }`,
];

async function prepare(vm: VirtualMachine): Promise<void> {
  await toPrompt(vm);
  await run(vm, 'echo in memory >/tmp/file; carried=42');
  for (const line of FUNCTIONS) await run(vm, line);
  // Written all the while.
  await run(vm, 'all &');
  await run(vm, 'sleep 1');
}

async function check(vm: VirtualMachine): Promise<void> {
  assert.equal(await run(vm, 'echo $carried; cat /tmp/file; nproc'), '42\nin memory\n2');
  assert.match(await run(vm, 'cat /proc/uptime; sleep 1; cat /proc/uptime'), /^\d+\.\d+ \d+\.\d+\n\d/);
  await run(vm, 'while [ ! -f /tmp/written ]; do sleep 1; done', 300);
  const wrong = await run(vm, `for i in $(seq 0 53 ${BLOCKS}); do c $i; done`, 300);
  assert.equal(wrong, '');
  assert.doesNotMatch(await run(vm, 'dmesg | tail -n 20'), /stall|lockup|I\/O error|BUG/);
}

test('migrate to a file, and -incoming from it', { timeout }, async () => {
  const disk = image('migrate.qcow2');
  const state = join(folder, 'state');
  let vm = await machine(disk);
  try {
    await prepare(vm);
    await vm.monitorAsync(`migrate "file:${state}"`);
    assert.equal(vm.state, 'postmigrate');
    assert.match(vm.monitor('info migrate'), /Migration status: completed/);
    await vm.dispose();
    assert.ok(existsSync(state));
    vm = await machine(disk, '-incoming', `file:${state}`);
    vm.start();
    await check(vm);
    await powerOff(vm);
  } finally {
    await vm.dispose();
  }
});

test('savevm, and loadvm in the same and in another process', { timeout }, async () => {
  const disk = image('savevm.qcow2');
  let vm = await machine(disk);
  try {
    await prepare(vm);
    await vm.monitorAsync('savevm one');
    assert.equal(vm.state, 'running');
    assert.match(await vm.monitorAsync('info snapshots'), /^-- +one +[\d.]+ MiB/m);
    await run(vm, 'carried=0; rm /tmp/file');
    await vm.monitorAsync('loadvm one');
    vm.serial.write('\n');
    await vm.serial.waitFor(PROMPT);
    await check(vm);
    await vm.dispose();
    vm = await machine(disk, '-loadvm', 'one');
    vm.start();
    vm.serial.write('\n');
    await vm.serial.waitFor(PROMPT);
    await check(vm);
    await vm.monitorAsync('delvm one');
    assert.match(await vm.monitorAsync('info snapshots'), /There is no snapshot/);
    await powerOff(vm);
    await vm.dispose();
    const checked = spawnSync('qemu-img', ['check', disk], { encoding: 'utf8' });
    if (checked.error === undefined) assert.match(checked.stdout, /No errors were found/);
  } finally {
    await vm.dispose();
  }
});
