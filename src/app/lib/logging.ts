/** Carries out `-d`, `-D` and `-trace`: log items and trace events to standard error or a file. Process-wide. */
import fs from 'node:fs';
import { type Disposable, toDisposable } from '../../base/disposable.js';
import { UserError } from '../../base/errors.js';
import { log, setLogSink } from '../../base/log.js';
import { setTrace, setTraceRecorder, setTraceSink } from '../../base/trace.js';
import { dumpRegisters, linearPc, longCode } from '../../control/hmp/registers.js';
import { Disassembler } from '../../guest/x86/disassemble.js';
import type { X86Registers } from '../../guest/x86/registers.js';
import { hostReason } from '../../host/node/host-error.js';
import { monotonicNs } from '../../host/node/time-source.js';
import { BLOCK, TraceBit } from '../../ir/layout.js';
import { type Names, NO_NAMES, printOps } from '../../ir/text.js';
import { traceEvents } from '../options/logging.js';
import type { Wishes } from '../options/wishes.js';
import { ChromeTrace } from './chrome-trace.js';
import type { Composed, Composition } from './compose.js';

const toStandardError = (text: string): void => {
  process.stderr.write(text);
};
let write = toStandardError;

/** Opens the log file and turns on what was asked for. Throws UserError. */
export function openLog(w: Wishes): Disposable {
  const json = w.traceFile?.endsWith('.json') ? w.traceFile : undefined;
  const path = w.logFile ?? (json === undefined ? w.traceFile : undefined);
  const fd = path === undefined ? -1 : openFile('-D', path);
  if (fd >= 0) {
    write = (text) => {
      fs.writeSync(fd, text);
    };
  }
  const jsonFd = json === undefined ? -1 : openFile('-trace file', json);
  const chrome = jsonFd < 0 ? undefined : new ChromeTrace((text) => void fs.writeSync(jsonFd, text), monotonicNs);
  if (chrome) setTraceRecorder((event, args) => chrome.record(event, args));
  setLogSink((line) => write(`${line}\n`));
  setTraceSink((line) => write(`${line}\n`));
  const events = traceEvents();
  for (const pattern of w.traces) {
    if (setTrace(events, pattern, true) === 0) {
      throw new UserError(`-trace ${pattern}: no event matches: see -trace help`);
    }
  }
  return toDisposable(() => {
    setTrace(events, '*', false);
    write = toStandardError;
    if (fd >= 0) fs.closeSync(fd);
    if (!chrome) return;
    setTraceRecorder(undefined);
    chrome.finish();
    fs.closeSync(jsonFd);
  });
}

function openFile(option: string, path: string): number {
  try {
    return fs.openSync(path, 'w');
  } catch (error) {
    throw new UserError(`${option} ${path}: could not open the log file: ${hostReason(error)}`);
  }
}

const hex = (value: bigint | number, digits: number): string =>
  (typeof value === 'bigint' ? BigInt.asUintN(64, value) : value >>> 0).toString(16).padStart(digits, '0');

/** Where guest code runs. */
export type Logged = Pick<Composed, 'accelerator' | 'registers'> & Pick<Composition, 'guest'>;

/** Items as `logItems` gives them; all others are turned off. */
export function applyLogItems(machine: Logged, items: readonly string[]): void {
  const has = (item: string): boolean => items.includes(item);
  log.guestErrors = has('guest_errors');
  log.unimplemented = has('unimp');
  for (const item of items) {
    if (item.startsWith('trace:')) setTrace(traceEvents(), item.slice('trace:'.length), true);
  }
  const { accelerator, registers } = machine;
  const registersOf = (state: number): X86Registers => registers.find((r) => r.state === state)!;
  const stateText = (state: number): string => {
    const r = registersOf(state);
    const { halted } = accelerator.vcpus.find((v) => v.state === state)!;
    return dumpRegisters(r, { halted, a20: r.wide('a20Closed', 0) === 0n });
  };
  const names: Names = {
    ...NO_NAMES,
    slotName: (slot) => machine.guest.slotName(slot),
    helperName: (id) => machine.guest.helpers[id]?.name,
  };
  const before = [accelerator.log.translated, accelerator.jit.outAsm].some(Boolean);
  accelerator.log.translated =
    has('in_asm') || has('op')
      ? (state, host, mode, bytes, words, count) => {
          if (has('in_asm')) write(guestCode(machine, registersOf(state), host, mode, bytes));
          if (has('op')) write(`OP:\n${printOps(words, count, names)}\n\n`);
        }
      : undefined;
  accelerator.log.optimised = has('op_opt')
    ? (words, count) => write(`OP after optimization and liveness analysis:\n${printOps(words, count, names)}\n\n`)
    : undefined;
  accelerator.jit.outAsm = has('out_asm')
    ? (head, text) => write(`OUT: [region headed by block 0x${hex(head, 0)}]\n${text}\n\n`)
    : undefined;
  let number = 0;
  accelerator.log.interrupt = (state, kind, vector, code) => {
    const r = registersOf(state);
    if (kind === CONTROL_REGISTER) write(`CR${vector} update: CR${vector}=0x${hex(r.get(`cr${vector}`), 8)}\n`);
    // QEMU tells of none in real mode, where firmware calls itself by them all the time.
    else if (r.get('cr0') & CR0_PE) write(interruptLine(r, number++, kind, vector, code) + stateText(state));
  };
  accelerator.log.block = (state, block) => write(traceLine(machine, registersOf(state), block));
  accelerator.log.reset = has('cpu_reset')
    ? (state) => {
        const { index } = accelerator.vcpus.find((v) => v.state === state)!;
        write(`CPU Reset (CPU ${index})\n${stateText(state)}`);
      }
    : undefined;
  const mask =
    (has('int') ? TraceBit.int : 0) |
    (has('exec') ? TraceBit.exec : 0) |
    (has('mmu') ? TraceBit.mmu : 0) |
    (has('nochain') ? TraceBit.noChain : 0);
  // Code that is there already would not be shown: it is made again.
  if (items.length > 0 || before) accelerator.setTraceMask(mask);
}

function guestCode(machine: Logged, r: X86Registers, host: number, mode: number, bytes: number): string {
  const code = new Uint8Array(machine.accelerator.memory.buffer).slice(host, host + bytes);
  const disassembler = new Disassembler();
  const start = linearPc(r);
  const digits = longCode(r) ? 16 : 8;
  let text = '----------------\nIN: \n';
  for (let at = 0; at < code.length; ) {
    const pc = BigInt.asUintN(64, start + BigInt(at));
    const { length, text: instruction } = disassembler.disassemble(code, at, code.length, mode, pc);
    const raw = Array.from(code.subarray(at, at + length), (b) => hex(b, 2)).join(' ');
    text += `0x${hex(pc, digits)}:  ${raw.padEnd(24)} ${instruction}\n`;
    at += length;
  }
  return `${text}\n`;
}

/** Kinds of events: see traceInterrupt in src/runtime/core/env.ts. */
const HARDWARE = 4;
const EXCEPTION = 0;
const CONTROL_REGISTER = 5;
const PAGE_FAULT = 14;
const CR0_PE = 1n;

function interruptLine(r: X86Registers, number: number, kind: number, vector: number, code: number): string {
  const software = kind === EXCEPTION || kind === HARDWARE ? 0 : 1;
  const sp = `SP=${hex(r.segment('ss').selector, 4)}:${hex(r.get('rsp'), 16)}`;
  const ip = `IP=${hex(r.segment('cs').selector, 4)}:${hex(r.get('rip'), 16)} pc=${hex(linearPc(r), 16)}`;
  const last = vector === PAGE_FAULT ? `CR2=${hex(r.get('cr2'), 16)}` : `env->regs[R_EAX]=${hex(r.get('rax'), 16)}`;
  return `${String(number).padStart(6)}: v=${hex(vector, 2)} e=${hex(code, 4)} i=${software} cpl=${r.field('cpl')} ${ip} ${sp} ${last}\n`;
}

function traceLine({ accelerator }: Logged, r: X86Registers, block: number): string {
  const mode = new DataView(accelerator.memory.buffer).getUint32(block + BLOCK.at['mode']!, true);
  const { index } = accelerator.vcpus.find((v) => v.state === r.state)!;
  return `Trace ${index}: 0x${hex(block, 0)} [${hex(r.segment('cs').base, 8)}/${hex(linearPc(r), 16)}/${hex(mode, 8)}/00000000] \n`;
}
