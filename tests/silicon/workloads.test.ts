/** Compiled C run by the host's processor and by the guest, interpreted and compiled: same result, same memory. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { VCPU } from '../../src/ir/layout.js';
import { BareMachine } from '../support/bare-machine.js';

const HALTED = VCPU.at['halted'] as number;
const NAMES = ['bytes', 'words', 'dwords', 'quads', 'gathers', 'strings', 'crypto', 'floats', 'x87', 'mmx', 'integer'];
const SOURCES = new URL('../../../tests/silicon/', import.meta.url).pathname;
/** Where the binary runs, natively and in the guest; where the guest's 64 KiB of data are. */
const LOAD = 0x800000;
const MEMORY = 0x400000;
const BYTES = 65536;
const STUB = 0x3000;
const LINK = `SECTIONS { . = ${LOAD}; .all : { *(.entry) *(.text*) *(.rodata*) *(.data*) *(.bss*) }
  /DISCARD/ : { *(.eh_frame*) *(.note*) *(.comment*) } }`;

/** Builds and natively runs the workloads; a string says why that is impossible. */
function onSilicon(flags: readonly string[], tasks: readonly (readonly [number, number])[]) {
  if (process.arch !== 'x64' || process.platform !== 'linux') return 'not Linux on x86-64';
  const folder = mkdtempSync(join(tmpdir(), 'workloads-'));
  try {
    const gcc = (...args: string[]): string | undefined => {
      const done = spawnSync('gcc', args, { encoding: 'utf8', timeout: 60_000 });
      if (done.error !== undefined) return 'no gcc';
      if (done.status !== 0) throw new Error(done.stderr);
      return undefined;
    };
    writeFileSync(join(folder, 'link'), LINK);
    const binary = join(folder, 'binary');
    const host = join(folder, 'host');
    const failed =
      gcc('-O1', '-o', host, join(SOURCES, 'workloads-host.c')) ??
      gcc(
        ...['-ffreestanding', '-fno-stack-protector', '-fno-pic', '-no-pie', '-mno-red-zone', '-fcf-protection=none'],
        ...[
          '-fno-asynchronous-unwind-tables',
          '-fno-math-errno',
          '-fno-tree-loop-distribute-patterns',
          '-nostdlib',
          '-static',
        ],
        ...flags,
        ...['-T', join(folder, 'link'), '-Wl,--oformat=binary', '-Wl,--build-id=none', '-o', binary],
        join(SOURCES, 'workloads.c'),
      );
    if (failed !== undefined) return failed;
    const input = Buffer.from(Uint32Array.from(tasks.flat()).buffer);
    const done = spawnSync(host, [binary, String(LOAD)], { input, maxBuffer: 1 << 26, timeout: 60_000 });
    if (done.status !== 0) return `this processor cannot run it (${done.status ?? done.signal})`;
    return { binary: new Uint8Array(readFileSync(binary)), output: done.stdout };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const TARGETS: Readonly<Record<string, readonly string[]>> = {
  'SSE4.2 and AES': ['-O3', '-march=x86-64-v2', '-maes', '-mpclmul'],
  AVX2: ['-O3', '-march=x86-64-v3', '-mno-fma', '-maes', '-mpclmul'],
};

for (const [target, flags] of Object.entries(TARGETS)) {
  const tasks = NAMES.flatMap((_, which) => [1, 77, 12345].map((seed) => [which, seed * 0x10001] as const));
  const silicon = onSilicon(flags, tasks);
  for (const hotThreshold of [Number.POSITIVE_INFINITY, 8]) {
    const tier = hotThreshold === 8 ? 'compiled' : 'interpreted';
    test(`workloads for ${target}, ${tier}`, { skip: typeof silicon === 'string' ? silicon : false }, () => {
      if (typeof silicon === 'string') return;
      const wrong: string[] = [];
      const machine = new BareMachine({ mode: 'long64', hotThreshold });
      machine.load(LOAD, silicon.binary);
      tasks.forEach(([which, seed], k) => {
        // call rax; hlt
        machine.load(STUB, [0xff, 0xd0, 0xf4]);
        const { registers } = machine;
        // HLT of the workload before
        new DataView(machine.accelerator.memory.buffer).setUint32(registers.state + HALTED, 0, true);
        registers.set('rsp', 0x80000n);
        registers.set('rax', BigInt(LOAD));
        registers.set('rdi', BigInt(MEMORY));
        registers.set('rsi', BigInt(which));
        registers.set('rdx', BigInt(seed));
        machine.ram.fill(0, MEMORY, MEMORY + BYTES);
        let end = machine.run(50);
        for (let n = 0; n < 200 && end.reason === 'running'; n++) end = machine.run(50);
        const at = k * (8 + BYTES);
        const expected = silicon.output.readBigUInt64LE(at);
        const memory = silicon.output.subarray(at + 8, at + 8 + BYTES);
        const ours = machine.ram.subarray(MEMORY, MEMORY + BYTES);
        const name = `${NAMES[which]} ${seed}`;
        if (end.reason !== 'halted') wrong.push(`${name}: ${end.reason} at ${registers.get('rip').toString(16)}`);
        else if (registers.get('rax') !== expected) wrong.push(`${name}: ${registers.get('rax')} not ${expected}`);
        const different = ours.findIndex((b, i) => b !== memory[i]);
        if (different >= 0) wrong.push(`${name}: memory differs from ${different} on`);
      });
      assert.deepEqual(wrong, []);
    });
  }
}
