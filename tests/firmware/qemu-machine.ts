/**
 * A machine that we did not write, driven by our firmware code: QEMU stopped at power-on, its ports and memory reached
 * through the qtest protocol, then started in a given processor state.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BootState } from '../../src/firmware/boot/boot-state.js';
import type { GuestMemory, PortIo } from '../../src/firmware/platform.js';
import { ConsoleFile } from './console-file.js';

export const qemuInstalled = spawnSync('qemu-system-x86_64', ['-version']).status === 0;

/** Where the boot ROM jumps: code that `start` writes into RAM that no loader uses. */
const CODE_SEGMENT = 0x9400;
const GDTR_AT = 0xf0;

/** A ROM that only has a reset vector: jmp CODE_SEGMENT:0. */
function bootRom(): Uint8Array {
  const rom = new Uint8Array(0x10000);
  rom.set([0xea, 0, 0, CODE_SEGMENT & 0xff, CODE_SEGMENT >> 8], 0xfff0);
  return rom;
}

/** Real-mode code that puts the processor into `state`. */
function startCode(state: BootState): Uint8Array {
  const code: number[] = [];
  const u32 = (v: number): number[] => [v & 0xff, (v >>> 8) & 0xff, (v >>> 16) & 0xff, v >>> 24];
  /** mov r32, imm32 in 16-bit code. */
  const load = (register: number, value: number): void => void code.push(0x66, 0xb8 + register, ...u32(value));
  const [EAX, ECX, EDX] = [0, 1, 2];
  code.push(0xfa); // cli
  code.push(0x66, 0x2e, 0x0f, 0x01, 0x16, GDTR_AT & 0xff, GDTR_AT >> 8); // o32 lgdt [cs:GDTR_AT]
  load(EAX, state.cr4);
  code.push(0x0f, 0x22, 0xe0); // mov cr4, eax
  load(EAX, state.cr3);
  code.push(0x0f, 0x22, 0xd8); // mov cr3, eax
  if (state.efer) {
    load(ECX, 0xc0000080);
    load(EDX, 0);
    load(EAX, state.efer & ~0x400); // LMA follows
    code.push(0x0f, 0x30); // wrmsr
  }
  load(EAX, state.cr0);
  code.push(0x0f, 0x22, 0xc0); // mov cr0, eax
  load(EAX, state.segments.ds.selector);
  for (const modrm of [0xd8, 0xc0, 0xd0, 0xe0, 0xe8]) code.push(0x8e, modrm); // mov ds, es, ss, fs, gs
  // The task register is left out: its descriptor is marked busy, as a loaded one is.
  for (const [i, name] of (['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi'] as const).entries())
    load(i, state.registers[name] ?? 0);
  code.push(0x66, 0xea, ...u32(state.pc), state.segments.cs.selector, 0); // o32 jmp cs:pc
  const out = new Uint8Array(0x100);
  out.set(code);
  out.set([state.gdt.limit & 0xff, state.gdt.limit >> 8, ...u32(state.gdt.base)], GDTR_AT);
  return out;
}

export class QemuMachine {
  private readonly folder = mkdtempSync(join(tmpdir(), 'tinamou-qemu-'));
  private readonly process: ChildProcess;
  private readonly toQemu: number;
  private readonly fromQemu: number;
  private readonly toMonitor: number;
  private readonly console = new ConsoleFile(join(this.folder, 'console'));
  readonly exited: Promise<void>;

  /** What the first serial port has said. */
  get serial(): string {
    return this.console.text;
  }

  constructor(args: readonly string[]) {
    const fifo = (name: string): string => {
      const path = join(this.folder, name);
      spawnSync('mkfifo', [`${path}.in`, `${path}.out`]);
      return path;
    };
    const qtest = fifo('qtest');
    const monitor = fifo('monitor');
    const bios = join(this.folder, 'bios.bin');
    writeFileSync(bios, bootRom());
    // O_RDWR: neither side waits for the other to open.
    this.toQemu = openSync(`${qtest}.in`, 'r+');
    this.fromQemu = openSync(`${qtest}.out`, 'r+');
    this.toMonitor = openSync(`${monitor}.in`, 'r+');
    this.process = spawn(
      'qemu-system-x86_64',
      [
        ...['-accel', 'tcg', '-S', '-nodefaults', '-display', 'none', '-no-reboot', '-bios', bios],
        ...['-serial', this.console.option],
        ...['-qtest', `pipe:${qtest}`, '-qtest-log', 'none', '-monitor', `pipe:${monitor}`, ...args],
      ],
      { stdio: ['ignore', 'ignore', 'inherit'] },
    );
    this.exited = new Promise((resolve) => this.process.on('exit', () => resolve()));
  }

  private ask(line: string): string {
    writeSync(this.toQemu, `${line}\n`);
    const buffer = new Uint8Array(1 << 20);
    let answer = '';
    do answer += Buffer.from(buffer.subarray(0, readSync(this.fromQemu, buffer))).toString('latin1');
    while (!answer.endsWith('\n'));
    if (!answer.startsWith('OK')) throw new Error(`qtest '${line.slice(0, 60)}': ${answer}`);
    return answer.slice(3).trim();
  }

  readonly ports: PortIo = {
    read: (port, size) => Number(this.ask(`in${SUFFIX[size]} ${port}`)),
    write: (port, size, value) => void this.ask(`out${SUFFIX[size]} ${port} ${value}`),
  };

  readonly memory: GuestMemory = {
    read: (address, into) => {
      into.set(Buffer.from(this.ask(`b64read ${address} ${into.length}`), 'base64'));
    },
    write: (address, from) => {
      const CHUNK = 0x8000;
      for (let at = 0; at < from.length; at += CHUNK) {
        const part = from.subarray(at, at + CHUNK);
        this.ask(`b64write ${address + at} ${part.length} ${Buffer.from(part).toString('base64')}`);
      }
    },
  };

  /** Gives the monitor a command. */
  monitor(command: string): void {
    writeSync(this.toMonitor, `${command}\n`);
  }

  /** Lets the processor run from `state`. */
  start(state: BootState): void {
    this.memory.write(CODE_SEGMENT << 4, startCode(state));
    this.monitor('cont');
  }

  /** Waits until the serial port has said `pattern`; fails when the machine ended without. */
  expect(pattern: RegExp, seconds: number): Promise<void> {
    return this.console.expect(pattern, seconds, this.exited);
  }

  async dispose(): Promise<void> {
    this.process.kill('SIGKILL');
    await this.exited;
    for (const fd of [this.toQemu, this.fromQemu, this.toMonitor]) closeSync(fd);
    rmSync(this.folder, { recursive: true, force: true });
  }
}

const SUFFIX = { 1: 'b', 2: 'w', 4: 'l' } as const;
