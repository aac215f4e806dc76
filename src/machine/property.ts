/**
 * Properties of a device type, declared once: parsing of `-device type,name=value` and `-global`, `-device type,help`,
 * device-list-properties and `info qtree` derive from the declaration.
 */
import { UserError } from '../base/errors.js';

export type PropertyKind =
  | 'bool'
  | 'uint8'
  | 'uint16'
  | 'uint32'
  | 'int32'
  | 'uint64'
  | 'size'
  | 'str'
  | 'enum'
  | 'chardev'
  | 'drive';

export interface PropertySpec<T = unknown> {
  readonly kind: PropertyKind;
  /** QEMU's name of the type in help texts: `bool`, `uint32`, `str`. */
  readonly typeName: string;
  readonly default: T;
  readonly description: string;
  /** Throws UserError; `what` names the property for the message. */
  parse(text: string, what: string): T;
  /** As `info qtree` shows it. */
  show(value: T): string;
}

export type PropertySpecs = Readonly<Record<string, PropertySpec>>;
export type PropertyValues<P extends PropertySpecs> = { readonly [K in keyof P]: P[K]['default'] };

function integer(kind: PropertyKind, low: number, high: number) {
  return (fallback: number, description: string): PropertySpec<number> => ({
    kind,
    typeName: kind,
    default: fallback,
    description,
    parse(text, what) {
      const value = parseInteger(text);
      if (value === undefined) throw new UserError(`Parameter '${what}' expects ${kind}`);
      if (value < low || value > high) {
        throw new UserError(`Property '${what}' doesn't take value ${text} (minimum: ${low}, maximum: ${high})`);
      }
      return value;
    },
    show: (value) => (kind.startsWith('u') ? showNumber(value) : String(value)),
  });
}

/** C's notation: decimal, 0x hexadecimal, 0 octal. */
export function parseInteger(text: string): number | undefined {
  if (!/^[+-]?(0x[0-9a-f]+|\d+)$/i.test(text)) return undefined;
  const negative = text.startsWith('-');
  const digits = text.replace(/^[+-]/, '');
  const value = /^0[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : Number(digits);
  return negative ? -value : value;
}

/** A size with an optional suffix (b, k, M, G, T); bytes when there is none. */
export function parseSize(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?|0x[0-9a-f]+)([bkmgt]?)$/i.exec(text);
  if (!match) return undefined;
  const power = 'bkmgt'.indexOf(match[2]!.toLowerCase() || 'b');
  return Math.floor(Number(match[1]) * 1024 ** power);
}

const BOOLEANS: Readonly<Record<string, boolean>> = {
  on: true,
  yes: true,
  true: true,
  y: true,
  off: false,
  no: false,
  false: false,
  n: false,
};

function text(kind: 'str' | 'chardev' | 'drive', typeName: string) {
  return (description: string, fallback = ''): PropertySpec<string> => ({
    kind,
    typeName,
    default: fallback,
    description,
    parse: (given) => given,
    show: (value) => `"${value}"`,
  });
}

/** A number as `info qtree` shows it. */
export const showNumber = (value: number): string => `${value} (0x${value.toString(16)})`;

/** Makers of properties: `prop.uint32(115200, 'clock of the baud rate generator in Hz')`. */
export const prop = {
  bool: (fallback: boolean, description: string): PropertySpec<boolean> => ({
    kind: 'bool',
    typeName: 'bool',
    default: fallback,
    description,
    parse(given, what) {
      const value = BOOLEANS[given];
      if (value === undefined) throw new UserError(`Parameter '${what}' expects 'on' or 'off'`);
      return value;
    },
    show: String,
  }),
  uint8: integer('uint8', 0, 0xff),
  uint16: integer('uint16', 0, 0xffff),
  uint32: integer('uint32', 0, 0xffff_ffff),
  int32: integer('int32', -0x8000_0000, 0x7fff_ffff),
  /** Exact up to 2^53. */
  uint64: integer('uint64', 0, Number.MAX_SAFE_INTEGER),
  /** All 64 bits, as names of devices have. */
  bits64: (description: string): PropertySpec<bigint> => ({
    kind: 'uint64',
    typeName: 'uint64',
    default: 0n,
    description,
    parse(given, what) {
      if (!/^(0x[0-9a-f]+|\d+)$/i.test(given)) throw new UserError(`Parameter '${what}' expects integer`);
      const value = BigInt(given);
      if (value >> 64n) throw new UserError(`Property '${what}' doesn't take value ${given} (64 bits at most)`);
      return value;
    },
    show: (value) => `${value} (0x${value.toString(16)})`,
  }),
  size: (fallback: number, description: string): PropertySpec<number> => ({
    kind: 'size',
    typeName: 'size',
    default: fallback,
    description,
    parse(given, what) {
      const value = parseSize(given);
      if (value === undefined) {
        throw new UserError(
          `Parameter '${what}' expects a non-negative number below 2^64 with an optional suffix k, M, G, T`,
        );
      }
      return value;
    },
    show: (value) => `${value} (${value} B)`,
  }),
  str: text('str', 'str'),
  /** The id of a character backend; '' for none. */
  chardev: text('chardev', 'str'),
  /** The id of a drive; '' for none. */
  drive: text('drive', 'str'),
  enumeration: <const V extends string>(values: readonly V[], fallback: V, description: string): PropertySpec<V> => ({
    kind: 'enum',
    typeName: values.join('|'),
    default: fallback,
    description,
    parse(given, what) {
      const value = values.find((v) => v === given);
      if (value === undefined)
        throw new UserError(`Property '${what}' doesn't take value '${given}' (one of: ${values.join(', ')})`);
      return value;
    },
    show: (value) => `"${value}"`,
  }),
};

/** Of devices that firmware may boot from (`boards/boot-order.ts`). */
export const BOOT_INDEX = prop.int32(-1, 'place in the order in which firmware tries devices, the lowest first');

export function defaults<P extends PropertySpecs>(specs: P): PropertyValues<P> {
  return Object.fromEntries(Object.entries(specs).map(([name, spec]) => [name, spec.default])) as PropertyValues<P>;
}

/** Values from text; throws UserError in QEMU's words for an unknown name or a wrong value. */
export function parseProperties<P extends PropertySpecs>(
  type: string,
  specs: P,
  given: Readonly<Record<string, string>>,
): PropertyValues<P> {
  const values: Record<string, unknown> = { ...defaults(specs) };
  for (const [name, value] of Object.entries(given)) {
    const spec = Object.hasOwn(specs, name) ? specs[name] : undefined;
    if (!spec) throw new UserError(`Property '${type}.${name}' not found`);
    values[name] = spec.parse(value, name);
  }
  return values as PropertyValues<P>;
}

/** The lines of `-device type,help`, sorted by name. */
export function describeProperties(specs: PropertySpecs): string[] {
  return Object.entries(specs)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, spec]) => {
      const left = `  ${name}=<${spec.typeName}>`;
      const fallback = spec.default === '' ? '' : ` (default: ${showDefault(spec.default)})`;
      return `${left.padEnd(24)} - ${spec.description}${fallback}`;
    });
}

const showDefault = (value: unknown): string => (typeof value === 'boolean' ? (value ? 'on' : 'off') : String(value));
