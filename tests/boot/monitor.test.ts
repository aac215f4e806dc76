/** The monitor's commands on a machine that has not run yet. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { VirtualMachine } from '../../src/app/lib/index.js';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tinamou-test-'));
const at = (name: string): string => path.join(folder, name);
const KIB = 1024;
let vm: VirtualMachine;

before(async () => {
  // Firmware that halts: HLT at the reset vector, and a pattern before it.
  const image = Uint8Array.from({ length: 64 * KIB }, (_, i) => i % 251);
  image[64 * KIB - 16] = 0xf4;
  fs.writeFileSync(at('firmware'), image);
  const args = ['-chardev', 'ringbuf,id=ring', '-debugcon', 'chardev:ring', '-nodefaults', '-vga', 'none'];
  args.push('-object', 'iothread,id=io1', '-object', 'iothread,id=io0,poll-max-ns=0');
  vm = await VirtualMachine.create({ bios: at('firmware'), smp: 2, args });
});
after(async () => {
  await vm?.dispose();
  fs.rmSync(folder, { recursive: true });
});

test('info lapic: every line, of the processor with that APIC ID', () => {
  const zero = vm.monitor('info lapic');
  assert.match(
    zero,
    /^dumping local APIC state for CPU 0 \n\nLVT0\t 0x00010000 active-hi edge {2}masked {22}Fixed {2}\(vec 0\)\n/,
  );
  assert.match(zero, /^Timer\t DCR=0x0 \(divide by 2\) initial_count = 0 current_count = 0$/m);
  assert.match(zero, /^ICR2\t 0x00000000 cpu 0 \(APIC ID\)$/m);
  assert.match(zero, /\nAPR 0x00 TPR 0x00 DFR 0x0f LDR 0x00 PPR 0x00\n$/);
  assert.match(vm.monitor('info lapic 1'), /^dumping local APIC state for CPU 1 /);
  assert.equal(vm.monitor('info lapic 9'), 'No CPU available\n');
});

test('info iothreads: as QEMU shows them', () => {
  const thread = (id: string, poll: number): string =>
    `${id}:\n  thread_id=${process.pid}\n  poll-max-ns=${poll}\n  poll-grow=0\n  poll-shrink=0\n  aio-max-batch=0\n`;
  assert.equal(vm.monitor('info iothreads'), thread('io1', 32768) + thread('io0', 0));
});

test('info registers takes a processor', () => {
  assert.match(vm.monitor('info registers 1'), /^\nCPU#1\n/);
  assert.equal(vm.monitor('info registers -a').match(/^CPU#/gm)!.length, 2);
  assert.equal(vm.monitor('info registers 2'), 'CPU#2 not available\n');
});

test('info mtree: an alias has the kind of what it shows, -D shows disabled regions, -f the flat views', () => {
  const tree = vm.monitor('info mtree');
  assert.match(tree, /\(prio 0, ram\): alias ram-below-4g @pc\.ram 0{16}-0000000007ffffff\n/);
  assert.match(tree, /\(prio 1, rom\): alias isa-bios @pc\.bios/);
  assert.doesNotMatch(tree, /disabled/);
  assert.match(vm.monitor('info mtree -D'), /\(prio 1, rom\): alias pam-rom @pc\.ram .* \[disabled\]\n/);
  const flat = vm.monitor('info mtree -f');
  assert.match(
    flat,
    /^FlatView #0\n AS "memory", root: system\n AS "cpu-smm", root: memory-smm\n Root memory region: system\n {2}0/,
  );
  assert.match(flat, /\n {2}00000000ffff0000-00000000ffffffff \(prio 1, rom\): pc\.bios\n/);
  assert.throws(() => vm.monitor('info mtree -x'), /unsupported option '-x'/);
});

test('memory can be summed, translated and saved', () => {
  const image = fs.readFileSync(at('firmware'));
  let sum = 0;
  for (const byte of image) sum = (((sum >> 1) | (sum << 15)) + byte) & 0xffff;
  assert.equal(vm.monitor('sum 0xf0000 65536'), `${String(sum).padStart(5, '0')}\n`);
  assert.equal(vm.monitor('gva2gpa 0xfffffff0'), 'gpa: 0xfffffff0\n');
  vm.monitor(`pmemsave 0xf0000 65536 ${at('saved')}`);
  assert.deepEqual(fs.readFileSync(at('saved')), image);
  vm.monitor(`memsave 0xffff0000 0x10000 "${at('virtual')}"`);
  assert.deepEqual(fs.readFileSync(at('virtual')), image);
  assert.throws(() => vm.monitor(`memsave 0 0x100000000000 ${at('huge')}`), /a size between 0 and/);
});

test('ports are read and written as a processor does', () => {
  vm.monitor('o /w 0xcf8 0x80000000');
  assert.equal(vm.monitor('i /w 0xcf8'), 'portl[0x0cf8] = 0x80000000\n');
  assert.equal(vm.monitor('i /w 0xcfc'), 'portl[0x0cfc] = 0x12378086\n');
  assert.equal(vm.monitor('i /h 0xcfc'), 'portw[0x0cfc] = 0x8086\n');
  assert.equal(vm.monitor('i 0xcfd'), 'portb[0x0cfd] = 0x80\n');
});

test('a ringbuf keeps what a device says until it is read', () => {
  for (const letter of 'hi\t') vm.monitor(`o /b 0xe9 ${letter.charCodeAt(0)}`);
  assert.equal(vm.monitor('ringbuf_read ring 100'), 'hi\\u0009\n');
  assert.equal(vm.monitor('ringbuf_read ring 100'), '\n');
  assert.throws(() => vm.monitor('ringbuf_read nothing 1'), /Device 'nothing' not found/);
});

test('help knows what there is', () => {
  assert.match(vm.monitor('help'), /^xp \/fmt addr -- /m);
  assert.match(vm.monitor('help info registers'), /^info registers \[-a\|vcpu\] -- /);
  assert.throws(() => vm.monitor('help nothing'), /unknown command: 'nothing'/);
  assert.throws(() => vm.monitor('help info nothing'), /unknown command: 'info nothing'/);
  assert.equal(vm.monitor('info kvm'), 'kvm support: disabled\n');
});

test('drives come, grow and go while the machine is there', async () => {
  fs.writeFileSync(at('disk.img'), Buffer.alloc(64 * KIB));
  assert.equal(await vm.monitorAsync(`drive_add 0 if=none,id=hot,file=${at('disk.img')},format=raw`), 'OK\n');
  assert.match(vm.monitor('info block'), /^hot: .*disk\.img \(raw\)$/m);
  vm.monitor('device_add virtio-blk-pci,drive=hot,id=plugged');
  assert.match(vm.monitor('info qtree'), /dev: virtio-blk-pci, id "plugged"/);
  assert.match(vm.monitor('info block hot'), /^hot: .*\n {4}Attached to: {6}\/machine\/peripheral\/plugged\n/);
  assert.equal(vm.monitor('info block nothing'), '');
  assert.match(
    await vm.monitorAsync('info block -v hot'),
    /\nImages:\nimage: .*disk\.img\nfile format: raw\nvirtual size: 64 KiB/,
  );
  await assert.rejects(vm.monitorAsync('change hot nofile'), /Device 'hot' is not removable/);
  await vm.monitorAsync('block_resize hot 1M');
  assert.equal(fs.statSync(at('disk.img')).size, 1 << 20);
  await vm.monitorAsync('block_resize hot 2');
  assert.equal(fs.statSync(at('disk.img')).size, 2 << 20);
  await assert.rejects(vm.monitorAsync('block_resize hot lots'), /invalid size/);
  await assert.rejects(vm.monitorAsync('block_resize none 1M'), /Device 'none' not found/);
  await assert.rejects(vm.monitorAsync(`drive_add 0 if=none,id=hot,file=${at('disk.img')}`), /Duplicate ID 'hot'/);
  await assert.rejects(vm.monitorAsync(`drive_add 0 if=ide,file=${at('disk.img')}`), /Can't hot-add drive to type ide/);
  await assert.rejects(vm.monitorAsync(`drive_add 0 if=none,file=${at('missing')}`), /No such file or directory/);
  await vm.monitorAsync('drive_del hot');
  assert.doesNotMatch(vm.monitor('info block'), /hot/);
  await assert.rejects(vm.monitorAsync('drive_del hot'), /Device 'hot' not found/);
  // The image is nobody's now.
  await vm.monitorAsync(`drive_add 0 if=none,id=hot,file=${at('disk.img')},format=raw`);
  await vm.monitorAsync('drive_del hot');
});

test('an image is written by two machines only where a disk of each shares it', async (t) => {
  fs.writeFileSync(at('shared.img'), Buffer.alloc(64 * KIB));
  const drive = ['-drive', `if=none,id=d,file=${at('shared.img')},format=raw`];
  const start = (shared: string): Promise<VirtualMachine> => {
    const disk = ['-device', `virtio-blk-pci,drive=d,share-rw=${shared}`];
    return VirtualMachine.create({
      bios: at('firmware'),
      args: [...drive, ...disk, '-nodefaults', '-vga', 'none'],
    });
  };
  const first = await start('on');
  try {
    const second = await start('on');
    await second.dispose();
    if (process.platform === 'linux') await assert.rejects(start('off'), /Failed to get shared "write" lock/);
    else t.diagnostic('this host has no such locks');
  } finally {
    await first.dispose();
  }
});
