/** A stock kernel through the library, on both tiers together. tests/systems has the longer ones. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { UserError, VirtualMachine } from '../../src/app/lib/index.js';
import { initrdImage, linuxImage } from '../../tools/guest/guests.js';
import { missing } from '../../tools/guest/missing.js';

const skip = await missing('linux-amd64', 'busybox-amd64');
const PROMPT = '/ # ';
let vm: VirtualMachine;

before(async () => {
  if (skip) return;
  const [kernel, initrd] = [await linuxImage('linux-amd64'), await initrdImage()];
  vm = await VirtualMachine.create({ kernel, initrd, append: 'console=ttyS0 quiet', memory: '256M', cpu: 'max' });
});
after(() => vm?.dispose());

test('a stock kernel boots to a shell that runs what it is told', { skip, timeout: 180_000 }, async () => {
  assert.equal(vm.state, 'prelaunch');
  vm.start();
  await vm.serial.waitFor(PROMPT, { timeout: 150 });
  assert.match(await vm.serial.run('uname -a', PROMPT), /Linux .* 6\.1\.0-\d+-amd64 .* x86_64 GNU\/Linux/);
  assert.match(await vm.serial.run('echo $((6 * 7))', PROMPT), /^42\r$/m);
});

test('a stopped machine shows its registers, memory, screen and monitor', { skip }, async () => {
  vm.stop();
  while (vm.state === 'running') await new Promise((resolve) => setTimeout(resolve, 10));
  assert.equal(vm.state, 'paused');
  assert.notEqual(vm.register('cr3'), 0n);
  assert.match(vm.monitor('info registers'), new RegExp(`RIP=${vm.register('rip').toString(16).padStart(16, '0')}`));
  assert.match(vm.monitor('info status'), /^VM status: paused\n$/);
  assert.match(vm.monitor('info mem'), /^ffff[0-9a-f]{12}-ffff[0-9a-f]{12} [0-9a-f]{16} -rw$/m);
  assert.equal(vm.monitor('print $cr3'), `${vm.register('cr3')}\n`);
  assert.deepEqual([...vm.screenshot().subarray(1, 4)], [...Buffer.from('PNG')]);
  assert.equal(vm.screenText()?.length, 25);
  vm.writeMemory(0x500, Uint8Array.of(1, 2, 3));
  assert.match(vm.monitor('xp /3xb 0x500'), /^0000000000000500: 0x01 0x02 0x03\n$/);
  assert.throws(() => vm.monitor('info nothing'), UserError);
  vm.start();
});

test('poweroff ends the machine with status 0', { skip, timeout: 60_000 }, async () => {
  vm.serial.write('poweroff\n');
  assert.deepEqual(await vm.ended, { cause: 'guest-shutdown', exitCode: 0 });
  await assert.rejects(vm.serial.waitFor('more'), /the machine ended \(guest-shutdown\)/);
});

test('what cannot be had is a UserError that names it', async () => {
  await assert.rejects(VirtualMachine.create({ kernel: '/nonexistent' }), {
    name: 'UserError',
    message: "could not open kernel file '/nonexistent': No such file or directory: check -kernel",
  });
  await assert.rejects(VirtualMachine.create({ cpu: 'nothing' }), /unable to find CPU model 'nothing'/);
  await assert.rejects(VirtualMachine.create({ args: ['-nothing'] }), /-nothing: invalid option/);
});

test('what the command would say is told', async () => {
  const notes: string[] = [];
  const vm = await VirtualMachine.create({
    args: ['-accel', 'foo', '-accel', 'tcg'],
    cpu: 'qemu64,+vmx',
    note: (text) => notes.push(text),
  });
  assert.equal(vm.exits(), undefined);
  await vm.dispose();
  assert.deepEqual(notes, [
    '-accel foo: invalid accelerator foo: use tcg or kvm; falling back to tcg',
    "warning: TCG doesn't support requested feature: CPUID.01H:ECX.vmx [bit 5]",
  ]);
});
