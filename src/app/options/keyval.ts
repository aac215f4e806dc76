/**
 * The syntax of option values: `type,key=value,...`. `,,` stands for a comma inside a value; the first part may leave its
 * key out where the option implies one; a part without `=` means `on` (`nofoo`: foo=off).
 */
import { UserError } from '../../base/errors.js';
import { parseInteger, parseSize } from '../../machine/property.js';

export class Keyval {
  readonly #values = new Map<string, string>();
  /** Keys that someone has asked for. */
  readonly #used = new Set<string>();

  constructor(
    readonly pairs: readonly (readonly [key: string, value: string])[],
    /** `help` or `?` was among the parts. */
    readonly help: boolean,
  ) {
    for (const [key, value] of pairs) this.#values.set(key, value);
  }

  /** The last value given for the key. */
  get(key: string): string | undefined {
    this.#used.add(key);
    return this.#values.get(key);
  }

  /** What other options and the monitor name something by. */
  identifier(key: string): string | undefined {
    const value = this.get(key);
    if (value !== undefined && !/^[a-z][a-z0-9._-]*$/i.test(value))
      throw new UserError(
        `Parameter '${key}' expects an identifier: letters, digits, '-', '.', '_', starting with a letter`,
      );
    return value;
  }

  /** What begins with a prefix, by what follows it. */
  under(prefix: string): Record<string, string> {
    const found: Record<string, string> = {};
    for (const [key, value] of this.#values) {
      if (!key.startsWith(prefix)) continue;
      if (prefix !== '') this.#used.add(key);
      found[key.slice(prefix.length)] = value;
    }
    return found;
  }

  flag(key: string): boolean | undefined {
    const value = this.get(key);
    if (value === undefined) return undefined;
    if (value === 'on' || value === 'yes' || value === 'true' || value === 'y') return true;
    if (value === 'off' || value === 'no' || value === 'false' || value === 'n') return false;
    throw new UserError(`Parameter '${key}' expects 'on' or 'off'`);
  }

  number(key: string): number | undefined {
    const value = this.get(key);
    if (value === undefined) return undefined;
    const number = parseInteger(value);
    if (number === undefined || number < 0) throw new UserError(`Parameter '${key}' expects a number`);
    return number;
  }

  /** Bytes; `unit` multiplies a number without suffix. */
  size(key: string, unit = 1): number | undefined {
    const value = this.get(key);
    return value === undefined ? undefined : sizeOf(key, value, unit);
  }

  oneOf<const T extends string>(key: string, values: readonly T[]): T | undefined {
    const value = this.get(key);
    if (value === undefined) return undefined;
    const found = values.find((v) => v === value);
    if (found === undefined) {
      throw new UserError(`Parameter '${key}' does not accept value '${value}' (one of: ${values.join(', ')})`);
    }
    return found;
  }

  required(key: string): string {
    const value = this.get(key);
    if (value === undefined) throw new UserError(`Parameter '${key}' is missing`);
    return value;
  }

  /** All pairs but those with these keys. */
  except(...keys: readonly string[]): Record<string, string> {
    return Object.fromEntries(this.pairs.filter(([key]) => !keys.includes(key)));
  }

  /** Throws for keys that nobody has asked for. */
  finish(): void {
    const unknown = this.pairs.find(([key]) => !this.#used.has(key));
    if (unknown) throw new UserError(`Invalid parameter '${unknown[0]}'`);
  }
}

export function sizeOf(key: string, value: string, unit = 1): number {
  const suffixed = /[a-z]$/i.test(value) && !/^0x/i.test(value);
  const size = parseSize(value);
  if (size === undefined || size > Number.MAX_SAFE_INTEGER) {
    throw new UserError(`Parameter '${key}' expects a size, a number that may end in k, M, G or T; not '${value}'`);
  }
  return suffixed ? size : size * unit;
}

/** Splits at single commas; `,,` is a comma. */
export function splitCommas(text: string): string[] {
  const parts: string[] = [];
  let part = '';
  for (let i = 0; i < text.length; i++) {
    if (text[i] !== ',') part += text[i];
    else if (text[i + 1] === ',') {
      part += ',';
      i++;
    } else {
      parts.push(part);
      part = '';
    }
  }
  return [...parts, part];
}

export function parseKeyval(text: string, impliedKey?: string): Keyval {
  const pairs: [string, string][] = [];
  let help = false;
  splitCommas(text).forEach((part, i) => {
    const equals = part.indexOf('=');
    if (equals > 0) pairs.push([part.slice(0, equals), part.slice(equals + 1)]);
    else if (part === 'help' || part === '?') help = true;
    else if (i === 0 && impliedKey !== undefined) pairs.push([impliedKey, part]);
    else if (part.startsWith('no') && part.length > 2) pairs.push([part.slice(2), 'off']);
    else if (part !== '') pairs.push([part, 'on']);
  });
  return new Keyval(pairs, help);
}
