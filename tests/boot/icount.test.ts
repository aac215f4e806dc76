/** Under -icount with nothing from outside, a run repeats itself to the instruction. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { VirtualMachine } from '../../src/app/lib/index.js';
import { biosFile } from '../../tools/guest/guests.js';
import { missing } from '../../tools/guest/missing.js';

const TICKS = 20;

/** Boot sector: at each of 20 timer interrupts that end a HLT, RDTSC's low half to the serial port in letters; then a reset. */
// biome-ignore format: an instruction a line
const BOOT_SECTOR = [
  0xfb, // sti
  0xb9, TICKS, 0x00, // mov cx, TICKS
  0x51, // next: push cx
  0xb4, 0x00, 0xcd, 0x1a, // ticks since midnight: dx
  0x89, 0xd3, // mov bx, dx
  0xf4, // same: hlt
  0xb4, 0x00, 0xcd, 0x1a,
  0x39, 0xda, // cmp dx, bx
  0x74, 0xf7, // je same
  0x0f, 0x31, // rdtsc
  0xbe, 0x08, 0x00, // mov si, 8
  0x66, 0xc1, 0xc0, 0x04, // digit: rol eax, 4
  0x50, // push ax
  0x24, 0x0f, // and al, 15
  0x04, 0x41, // add al, 'A'
  0xba, 0xf8, 0x03, // mov dx, 0x3f8
  0xee, // out dx, al
  0x58, // pop ax
  0x4e, // dec si
  0x75, 0xef, // jnz digit
  0xb0, 0x0a, 0xee, // line feed
  0x59, // pop cx
  0xe2, 0xd4, // loop next
  0xb0, 0xfe, 0xe6, 0x64, // reset through the keyboard controller
  0xf4,
];

/** What the guest says, and the processor when it ends. */
async function start(disk: string): Promise<{ said: string; registers: string }> {
  const vm = await VirtualMachine.create({
    bios: await biosFile('bios-256k.bin'),
    cpu: 'qemu64',
    memory: '32M',
    drives: [`file=${disk},format=raw,if=floppy`],
    args: [
      '-icount',
      'shift=3,sleep=off',
      '-rtc',
      'base=2026-01-01,clock=vm',
      '-no-reboot',
      '-no-shutdown',
      '-boot',
      'a',
    ],
  });
  try {
    vm.start();
    await vm.serial.waitFor(new RegExp(`([A-P]{8}\\n){${TICKS}}`), { timeout: 120 });
    while (vm.state === 'running') await new Promise((resolve) => setTimeout(resolve, 10));
    return { said: vm.serial.text, registers: vm.monitor('info registers') };
  } finally {
    await vm.dispose();
  }
}

const skip = await missing('seabios');

test('two runs under -icount see the same time at the same instruction', { skip, timeout: 300_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tinamou-icount-'));
  try {
    const disk = join(folder, 'disk.img');
    const image = new Uint8Array(1_474_560);
    image.set(BOOT_SECTOR);
    image.set([0x55, 0xaa], 510);
    writeFileSync(disk, image);
    const first = await start(disk);
    assert.deepEqual(await start(disk), first);
    const times = first.said.match(/[A-P]{8}/g)!;
    assert.equal(new Set(times).size, TICKS);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
