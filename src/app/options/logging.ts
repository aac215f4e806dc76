/** The items of `-d` and the events of `-trace`, as data. */
import { KVM_TRACE } from '../../accel/kvm/trace.js';
import { UserError } from '../../base/errors.js';
import type { TraceEvent } from '../../base/trace.js';
import { DEVICE_TRACES } from '../../devices/trace.js';
import { LIFECYCLE_TRACE } from '../../machine/lifecycle.js';

export const LOG_ITEMS = {
  out_asm: 'the WebAssembly text of every compiled region',
  in_asm: 'the guest instructions of every translated block',
  op: 'the micro operations of every translated block',
  op_opt: 'the micro operations after optimisation',
  int: 'interrupts and exceptions in protected mode, as they are delivered',
  exec: 'blocks before they run; without nochain only those that the dispatcher enters',
  mmu: 'writes to the control registers, which decide how addresses are translated',
  cpu_reset: 'the registers before a processor is reset',
  unimp: 'what the guest asks for and Tinamou lacks',
  guest_errors: 'what the guest does against the specification',
  nochain: 'every block goes through the dispatcher, interpreted, so that exec shows all',
} as const;
export type LogItem = keyof typeof LOG_ITEMS;

const NOT_YET = ['op_ind', 'cpu', 'fpu', 'pcall', 'page', 'plugin', 'strace', 'tid', 'vpu'];

export const LOG_HELP = `Log items (comma separated):\n${Object.entries(LOG_ITEMS)
  .map(([name, what]) => `${name.padEnd(15)} ${what}\n`)
  .join('')}trace:PATTERN   trace events whose names match\n`;

/** Throws UserError for an unknown item. `trace:PATTERN` is kept as it is. */
export function logItems(text: string): string[] {
  return text.split(',').flatMap((item) => {
    if (item.startsWith('trace:')) return [item];
    if (item === 'all') return Object.keys(LOG_ITEMS);
    if (Object.hasOwn(LOG_ITEMS, item)) return [item];
    if (NOT_YET.includes(item)) throw new UserError(`Tinamou does not have the log item '${item}' yet: see -d help`);
    throw new UserError(`unknown log item '${item}': see -d help`);
  });
}

/** Every trace event, by name. */
export function traceEvents(): TraceEvent[] {
  return [...DEVICE_TRACES, KVM_TRACE, LIFECYCLE_TRACE]
    .flatMap((group) => Object.values(group))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

export const traceHelp = (): string =>
  traceEvents()
    .map((event) => `${event.name}\n`)
    .join('');
