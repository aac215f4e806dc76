/** Compiled C run by the host's processor and by the guest, interpreted and compiled: same result, same memory. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after } from 'node:test';
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
const STACK = 0x80000;
const LINK = `SECTIONS { . = ${LOAD}; .all : { *(.entry) *(.text*) *(.rodata*) *(.data*) *(.bss*) }
  /DISCARD/ : { *(.eh_frame*) *(.note*) *(.comment*) } }`;

type Task = readonly [which: number, seed: number];
const TASKS: readonly Task[] = NAMES.flatMap((_, which) => [1, 77, 12345].map((seed): Task => [which, seed * 0x10001]));

/** Runs gcc; false when there is none. What it refuses is an error. */
function gcc(...args: string[]): boolean {
  const done = spawnSync('gcc', args, { encoding: 'utf8', timeout: 60_000 });
  if (done.error !== undefined) return false;
  if (done.status !== 0) throw new Error(done.stderr);
  return true;
}

/** The flat binary of the workloads for a target, or why it cannot be made. */
function build(folder: string, flags: readonly string[]): Uint8Array | string {
  const binary = join(folder, 'binary');
  writeFileSync(join(folder, 'link'), LINK);
  const built = gcc(
    ...['-ffreestanding', '-fno-stack-protector', '-fno-pic', '-no-pie', '-mno-red-zone', '-fcf-protection=none'],
    ...['-fno-asynchronous-unwind-tables', '-fno-math-errno', '-fno-tree-loop-distribute-patterns'],
    ...['-nostdlib', '-static', ...flags],
    ...['-T', join(folder, 'link'), '-Wl,--oformat=binary', '-Wl,--build-id=none', '-o', binary],
    join(SOURCES, 'workloads.c'),
  );
  return built ? new Uint8Array(readFileSync(binary)) : 'no gcc';
}

interface Expected {
  readonly result: bigint;
  readonly memory: Uint8Array;
}

/** What the host's processor makes of a 64-bit build, task by task; a string says why it cannot. */
function onSilicon(folder: string, binary: Uint8Array): Expected[] | string {
  const host = join(folder, 'host');
  gcc('-O1', '-o', host, join(SOURCES, 'workloads-host.c'));
  writeFileSync(join(folder, 'binary'), binary);
  const input = Buffer.from(Uint32Array.from(TASKS.flat()).buffer);
  const done = spawnSync(host, [join(folder, 'binary'), String(LOAD)], {
    input,
    maxBuffer: 1 << 27,
    timeout: 60_000,
  });
  if (done.status !== 0) return `this processor cannot run it (${done.status ?? done.signal})`;
  return TASKS.map((_, k) => {
    const at = k * (8 + BYTES);
    return { result: done.stdout.readBigUInt64LE(at), memory: done.stdout.subarray(at + 8, at + 8 + BYTES) };
  });
}

interface Target {
  readonly flags: readonly string[];
  readonly bits: 32 | 64;
  /** Workloads that a build has or whose result does not depend on how it computes; all by default. */
  readonly only?: readonly string[];
}
const SCALAR = ['bytes', 'words', 'dwords', 'gathers', 'x87', 'integer'];
const TARGETS: Readonly<Record<string, Target>> = {
  'SSE4.2 and AES': { flags: ['-O3', '-march=x86-64-v2', '-maes', '-mpclmul'], bits: 64 },
  AVX2: { flags: ['-O3', '-march=x86-64-v3', '-maes', '-mpclmul'], bits: 64 },
  'SSE4.2 in 32-bit mode': {
    flags: ['-m32', '-O3', '-march=nehalem', '-mfpmath=sse', '-maes', '-mpclmul'],
    bits: 32,
    only: [...SCALAR, 'strings', 'crypto', 'floats', 'mmx'],
  },
  'i686 for size': { flags: ['-m32', '-Os', '-march=i686'], bits: 32, only: SCALAR },
  i486: { flags: ['-m32', '-O1', '-march=i486'], bits: 32, only: SCALAR },
};

/** Runs a task in the guest and says what is wrong with the outcome. */
function runTask(machine: BareMachine, bits: 32 | 64, [which, seed]: Task, expected: Expected): string[] {
  const { registers } = machine;
  // call rax; hlt
  machine.load(STUB, [0xff, 0xd0, 0xf4]);
  // HLT of the task before
  new DataView(machine.accelerator.memory.buffer).setUint32(registers.state + HALTED, 0, true);
  registers.set('rsp', BigInt(STACK));
  registers.set('rax', BigInt(LOAD));
  if (bits === 64) {
    registers.set('rdi', BigInt(MEMORY));
    registers.set('rsi', BigInt(which));
    registers.set('rdx', BigInt(seed));
  } else {
    machine.view.setUint32(STACK, MEMORY, true);
    machine.view.setUint32(STACK + 4, which, true);
    machine.view.setUint32(STACK + 8, seed, true);
  }
  machine.ram.fill(0, MEMORY, MEMORY + BYTES);
  let end = machine.run(50);
  for (let n = 0; n < 200 && end.reason === 'running'; n++) end = machine.run(50);
  const name = `${NAMES[which]} ${seed}`;
  if (end.reason !== 'halted') return [`${name}: ${end.reason} at ${registers.get('rip').toString(16)}`];
  const wrong: string[] = [];
  const result = bits === 64 ? registers.get('rax') : (registers.get('rdx') << 32n) | registers.get('rax');
  if (result !== expected.result) wrong.push(`${name}: ${result} not ${expected.result}`);
  const different = machine.ram.subarray(MEMORY, MEMORY + BYTES).findIndex((b, i) => b !== expected.memory[i]);
  if (different >= 0) wrong.push(`${name}: memory differs from ${different} on`);
  return wrong;
}

const folder = mkdtempSync(join(tmpdir(), 'workloads-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const supported = process.arch === 'x64' && process.platform === 'linux';
let reference: Expected[] | undefined;

for (const [name, { flags, bits, only }] of Object.entries(TARGETS)) {
  const binary = supported ? build(folder, flags) : 'not Linux on x86-64';
  // 32-bit builds must compute what 64-bit ones do.
  const silicon = typeof binary === 'string' ? binary : bits === 64 ? onSilicon(folder, binary) : reference;
  if (typeof silicon === 'object') reference ??= silicon;
  const skip = typeof silicon === 'string' ? silicon : silicon === undefined ? 'nothing to compare with' : false;
  for (const hotThreshold of [Number.POSITIVE_INFINITY, 8]) {
    const tier = hotThreshold === 8 ? 'compiled' : 'interpreted';
    test(`workloads for ${name}, ${tier}`, { skip }, () => {
      assert.ok(typeof silicon === 'object' && typeof binary === 'object');
      const machine = new BareMachine({ mode: bits === 64 ? 'long64' : 'protected32', hotThreshold });
      machine.load(LOAD, binary);
      const wrong = TASKS.flatMap((task, k) =>
        only === undefined || only.includes(NAMES[task[0]] as string)
          ? runTask(machine, bits, task, silicon[k] as Expected)
          : [],
      );
      assert.deepEqual(wrong, []);
    });
  }
}
