/** Options of the commands, taken apart as getopt_long does: letters may be joined, and files may stand between options. */
import { UserError } from '../../base/errors.js';

/** The name that messages begin with. */
export const PROGRAM = 'tinamou-img';

export const TRY_HELP = `Try '${PROGRAM} --help' for more information`;

/** A command line that cannot be understood; the user is sent to the help. */
export class UsageError extends UserError {}

export interface Syntax {
  /** As getopt has them: `f:pq` is -f with a value, -p and -q. */
  readonly short: string;
  /** Long names; the value is the letter it stands for, or undefined for itself. `name=` takes a value. */
  readonly long?: Readonly<Record<string, string | undefined>>;
}

const COMMON_LONG: Readonly<Record<string, string | undefined>> = {
  help: 'h',
  'object=': undefined,
  'image-opts': undefined,
};

export class Options {
  readonly operands: string[] = [];
  readonly #given: [name: string, value: string][] = [];

  constructor(args: readonly string[], syntax: Syntax) {
    const long = { ...COMMON_LONG, ...syntax.long };
    for (let i = 0; i < args.length; i++) {
      const arg = args[i]!;
      if (arg === '--') {
        this.operands.push(...args.slice(i + 1));
        break;
      }
      if (arg.startsWith('--')) {
        const [, name = '', value] = /^--([^=]*)(?:=(.*))?$/s.exec(arg) ?? [];
        const known = Object.keys(long).filter((k) => k.replace(/=$/, '').startsWith(name));
        const key = known.find((k) => k.replace(/=$/, '') === name) ?? (known.length === 1 ? known[0] : undefined);
        if (key === undefined) throw new UsageError(`unrecognized option '${arg}'`);
        const plain = key.replace(/=$/, '');
        if (key.endsWith('=')) {
          const given = value ?? args[++i];
          if (given === undefined) throw new UsageError(`option '--${plain}' requires an argument`);
          this.#given.push([long[key] ?? plain, given]);
        } else this.#given.push([long[key] ?? plain, '']);
        continue;
      }
      if (!arg.startsWith('-') || arg === '-') {
        this.operands.push(arg);
        continue;
      }
      for (let at = 1; at < arg.length; at++) {
        const letter = arg[at]!;
        const place = letter === ':' ? -1 : `h${syntax.short}`.indexOf(letter);
        if (place < 0) throw new UsageError(`unrecognized option '${arg}'`);
        if (`h${syntax.short}`[place + 1] !== ':') {
          this.#given.push([letter, '']);
          continue;
        }
        const value = at + 1 < arg.length ? arg.slice(at + 1) : args[++i];
        if (value === undefined) throw new UsageError(`missing argument for option '-${letter}'`);
        this.#given.push([letter, value]);
        break;
      }
    }
  }

  has(name: string): boolean {
    return this.#given.some(([n]) => n === name);
  }

  /** The last value given. */
  get(name: string): string | undefined {
    return this.#given.findLast(([n]) => n === name)?.[1];
  }

  all(name: string): string[] {
    return this.#given.filter(([n]) => n === name).map(([, v]) => v);
  }

  /** All in the order given. */
  get given(): readonly (readonly [string, string])[] {
    return this.#given;
  }
}

const UNITS = 'bkmgtpe';

/**
 * `10`, `4k`, `1.5G`: bytes. Above 2^53 they are rounded, which only tells that they are too many for anything; infinite when 63 bits do not
 * hold them. Undefined when it is no size.
 */
export function parseSize(text: string): number | undefined {
  const m = /^\s*\+?(0x[0-9a-f]+|\d+(?:\.\d*)?)([bkmgtpe]?)$/i.exec(text);
  if (!m) return undefined;
  const unit = UNITS.indexOf(m[2]!.toLowerCase() || 'b');
  const number = Number(m[1]);
  if (unit === 0 && !Number.isInteger(number)) return undefined;
  const value = Math.round(number * 1024 ** unit);
  return value < 2 ** 63 ? value : Number.POSITIVE_INFINITY;
}

/** For options with a size: `what` names it in the message. */
export function sizeOption(what: string, text: string, least = 0, most = Number.POSITIVE_INFINITY): number {
  const size = parseSize(text);
  if (size === undefined)
    throw new UserError(
      `Invalid ${what} specified. You may use k, M, G, T, P or E suffixes for\n${PROGRAM}: kilobytes, megabytes, gigabytes, terabytes, petabytes and exabytes.`,
    );
  if (size < least || size > most || size === Number.POSITIVE_INFINITY)
    throw new UserError(
      `Invalid ${what} specified. Must be between ${least} and ${Number.isFinite(most) ? most : 2n ** 63n - 1n}.`,
    );
  return size;
}

/** `a=1,b=2,,3`: pairs; a doubled comma is one. A word without `=` is `on`, with `no` in front `off`. */
export function keyValues(text: string): Map<string, string> {
  const pairs = new Map<string, string>();
  for (const part of text.split(/(?<!,),(?!,)/)) {
    const whole = part.replaceAll(',,', ',');
    if (whole === '') continue;
    const at = whole.indexOf('=');
    if (at >= 0) pairs.set(whole.slice(0, at), whole.slice(at + 1));
    else if (whole.startsWith('no')) pairs.set(whole.slice(2), 'off');
    else pairs.set(whole, 'on');
  }
  return pairs;
}
