/** `profile`: where the emulator's time goes, by what it does and by guest function. */
import { UserError } from '../../base/errors.js';
import type { Session } from './context.js';
import { findKallsyms } from './kallsyms.js';
import { parseSystemMap, SymbolTable } from './symbols.js';

/** A function of the emulator, or a compiled region of guest code (`guest <pc>`), and its own time. */
export interface ProfiledCall {
  readonly name: string;
  readonly url: string;
  readonly microseconds: number;
  readonly callers: readonly string[];
}

/** A sample of the guest's pc at the end of a slice. */
export interface SliceSample {
  readonly pc: bigint;
  readonly cold: boolean;
}

export interface Profiler {
  /** Throws UserError. */
  start(intervalUs: number): void;
  stop(): { readonly calls: readonly ProfiledCall[]; readonly slices: readonly SliceSample[] };
  /** Throws UserError. */
  readFile(file: string): string;
  /** Memory in which the guest's RAM lies. */
  ram(): Uint8Array;
}

const DEFAULT_INTERVAL_US = 500;
const ROWS = 25;

/** What a function's time counts as: the first whose test holds. */
const KINDS: readonly (readonly [kind: string, test: (name: string, url: string) => boolean])[] = [
  ['compiled guest code', (name) => name.startsWith('guest ')],
  ['interpreter (cold tier)', (name) => name.endsWith('/interpret')],
  ['dispatcher, block lookup', (name) => /core\/(run|code)\//.test(name)],
  ['software MMU, page walks', (name) => /core\/memory\/|x86\/paging\//.test(name)],
  ['runtime: helpers of instructions', (_, url) => url.startsWith('wasm:')],
  ['translation of blocks', (_, url) => /\/src\/(guest|ir)\//.test(url)],
  ['compilation of regions', (_, url) => url.includes('/src/jit/')],
  ['run loop, timers', (_, url) => /\/src\/(accel|machine)\//.test(url)],
  ['host interface', (_, url) => url.includes('/src/host/')],
  ['devices, backends', (_, url) => url.includes('/src/')],
  ['garbage collection', (name) => name === '(garbage collector)'],
  ['idle', (name) => name === '(idle)'],
  ['JavaScript engine, host', () => true],
];

const kindOf = (call: ProfiledCall): string => KINDS.find(([, test]) => test(call.name, call.url))![0];

class Tally {
  private readonly times = new Map<string, number>();
  total = 0;

  add(key: string, amount: number): void {
    this.times.set(key, (this.times.get(key) ?? 0) + amount);
    this.total += amount;
  }

  /** Lines with their share of `whole`, the greatest first. */
  lines(whole: number, rows = Number.POSITIVE_INFINITY): string {
    return [...this.times]
      .sort(([, a], [, b]) => b - a)
      .slice(0, rows)
      .map(([key, amount]) => `${((100 * amount) / whole).toFixed(1).padStart(6)} %  ${key}\n`)
      .join('');
  }
}

/** A guest function's name, or where it is. */
function place(symbols: SymbolTable | undefined, pc: bigint): string {
  const name = symbols?.find(pc);
  if (name !== undefined) return name;
  // Without a name: what belongs together by 256 bytes.
  return `${pc >> 63n || (pc >= 0xc0000000n && pc < 0x100000000n) ? 'kernel' : 'user'} 0x${((pc >> 8n) << 8n).toString(16)}`;
}

/** From a file, or the kernel's own. */
function loadSymbols(s: Session, file: string | undefined): SymbolTable | undefined {
  if (file === undefined) {
    const symbols = findKallsyms(s.profiler.ram());
    return symbols && new SymbolTable(symbols);
  }
  const table = new SymbolTable(parseSystemMap(s.profiler.readFile(file)));
  const r = s.registers[0]!;
  table.locate([
    ['entry_SYSCALL_64', r.wide('lstar', 0)],
    ['entry_SYSENTER_32', r.wide('sysenterEip', 0)],
  ]);
  return table;
}

export function profileText(
  calls: readonly ProfiledCall[],
  slices: readonly SliceSample[],
  symbols: SymbolTable | undefined,
): string {
  const kinds = new Tally();
  const functions = new Tally();
  const guest = new Tally();
  let cold = 0;
  for (const call of calls) {
    // Starting and ending the profiler itself.
    if (call.name === 'dispatch' && call.callers[0] === 'post') continue;
    const kind = kindOf(call);
    kinds.add(kind, call.microseconds);
    if (kind === 'idle') continue;
    if (!call.name.startsWith('guest ')) functions.add(`${call.name}  (${kind})`, call.microseconds);
    const region = [call.name, ...call.callers].find((n) => n.startsWith('guest '));
    if (region !== undefined && kind !== 'interpreter (cold tier)')
      guest.add(place(symbols, BigInt(`0x${region.slice('guest '.length)}`)), call.microseconds);
    else if (kind === 'interpreter (cold tier)') cold += call.microseconds;
  }
  // The engine sees one function for all of the cold tier: its time goes to where slices ended in it.
  const ends = slices.filter((e) => e.cold);
  for (const { pc } of ends) guest.add(`${place(symbols, pc)}  (cold)`, cold / ends.length);
  const header = `${(kinds.total / 1000).toFixed(0)} ms\n`;
  return [
    `${header}by what the emulator did:\n${kinds.lines(kinds.total)}`,
    `functions of the emulator, own time:\n${functions.lines(kinds.total, ROWS)}`,
    `guest functions, with what compiled code calls in the runtime${symbols ? '' : ' (no symbols)'}:\n${guest.lines(kinds.total, ROWS)}`,
  ].join('\n');
}

/** `profile start [interval in µs]`, `profile stop [System.map]`. */
export function profile(s: Session, text: string): void {
  const [action, argument] = text.split(/\s+/).filter(Boolean);
  if (action === 'start') {
    const interval = argument === undefined ? DEFAULT_INTERVAL_US : Number(argument);
    if (!Number.isInteger(interval) || interval < 50 || interval > 1_000_000)
      throw new UserError(`profile start: interval '${argument}' is not a number of microseconds from 50 to 1000000`);
    s.profiler.start(interval);
  } else if (action === 'stop') {
    const { calls, slices } = s.profiler.stop();
    s.print(profileText(calls, slices, loadSymbols(s, argument)));
  } else throw new UserError('profile: start or stop');
}
