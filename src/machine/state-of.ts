import { UserError } from '../base/errors.js';
import type { DeviceState, Stateful, StateValue } from './state.js';

type TypedArray = Uint8Array | Uint16Array | Uint32Array;
const isTyped = (v: unknown): v is TypedArray =>
  v instanceof Uint8Array || v instanceof Uint16Array || v instanceof Uint32Array;

const isStateful = (v: unknown): v is Stateful =>
  typeof v === 'object' && v !== null && 'save' in v && typeof v.save === 'function';

const copy = (v: StateValue): StateValue => (isTyped(v) ? v.slice() : structuredClone(v));

/** More in a list than any device has. */
const LONGEST = 1 << 16;

/** Throws UserError unless the value has fields. */
export function asFields(value: StateValue | undefined, what: string): { readonly [key: string]: StateValue } {
  if (isFields(value)) return value;
  throw new UserError(`the saved state is broken: that of ${what} is none`);
}

/** Throws UserError unless this is a device's state. */
export function asDeviceState(value: StateValue | undefined, what: string): DeviceState {
  const state = asFields(value, what) as unknown as DeviceState;
  if (typeof state.version === 'number' && isFields(state.fields)) return state;
  throw new UserError(`the saved state is broken: that of ${what} is none`);
}

const isFields = (v: StateValue | undefined): v is { readonly [key: string]: StateValue } =>
  typeof v === 'object' && !Array.isArray(v) && !isTyped(v);

/** A value, a part that saves itself, or an array of such parts. */
function capture(value: unknown): StateValue {
  if (isStateful(value)) return { ...value.save() };
  if (Array.isArray(value) && value.some(isStateful)) return value.map(capture);
  return copy(value as StateValue);
}

/** What is known of fields beyond the kind of value that they hold. What is loaded may come from anywhere. */
export interface StateLimits<N extends string> {
  /** Whole numbers, least and most. */
  readonly ranges?: Partial<Readonly<Record<N, readonly [least: number, most: number]>>>;
  /** Numbers that may be infinite. */
  readonly infinite?: readonly N[];
  /** What an element of a list is like that may be empty. */
  readonly elements?: Partial<Readonly<Record<N, StateValue>>>;
}

function keeps<N extends string>({ ranges, infinite, elements }: StateLimits<N>, name: N, value: StateValue): boolean {
  const range = ranges?.[name];
  if (range && !(Number.isInteger(value) && (value as number) >= range[0] && (value as number) <= range[1]))
    return false;
  if (typeof value === 'number' && !Number.isFinite(value)) {
    return !Number.isNaN(value) && (infinite?.includes(name) ?? false);
  }
  const element = elements?.[name];
  if (element === undefined) return true;
  return Array.isArray(value) && (value as readonly StateValue[]).every((each) => fits(element, each));
}

/** Restores `saved` into `own` where that is possible in place; gives what the owner's field must hold. */
function restore(own: unknown, saved: StateValue, name: string): unknown {
  if (isStateful(own)) {
    own.load(asDeviceState(saved, `'${name}'`));
    return own;
  }
  if (Array.isArray(own) && own.some(isStateful)) {
    if (!Array.isArray(saved) || saved.length !== own.length) return unfit(name);
    own.forEach((part, i) => {
      restore(part, saved[i] as StateValue, name);
    });
    return own;
  }
  if (!fits(own as StateValue, saved)) return unfit(name);
  if (isTyped(own) && isTyped(saved) && own.length === saved.length) {
    own.set(saved);
    return own;
  }
  return copy(saved);
}

function unfit(name: string): never {
  throw new UserError(`saved state of '${name}' does not fit`);
}

/** Whether a saved value is of the kind that the field holds: what is loaded may come from anywhere. */
function fits(own: StateValue, saved: StateValue): boolean {
  if (typeof own !== 'object') return typeof own === typeof saved && !Number.isNaN(saved);
  if (isTyped(own)) {
    return isTyped(saved) && saved.constructor === own.constructor && saved.length === own.length;
  }
  if (Array.isArray(own)) {
    const [first] = own as readonly StateValue[];
    if (!Array.isArray(saved) || saved.length > LONGEST) return false;
    return first === undefined || (saved as readonly StateValue[]).every((element) => fits(first, element));
  }
  if (!isFields(saved)) return false;
  return Object.entries(own as Record<string, StateValue>).every(
    ([key, value]) => saved[key] !== undefined && fits(value, saved[key]),
  );
}

/** save/load over the named own properties of `object` (all that it has unless named); see `state.ts`. */
export function stateOf<T extends object>(
  object: T,
  version: number,
  names: readonly (keyof T & string)[] = Object.keys(object) as (keyof T & string)[],
  afterLoad?: () => void,
  limits: StateLimits<keyof T & string> = {},
): Stateful {
  const record = object as Record<string, unknown>;
  return {
    save(): DeviceState {
      const fields: Record<string, StateValue> = {};
      for (const n of names) fields[n] = capture(record[n]);
      return { version, fields };
    },
    load(state: DeviceState): void {
      if (state.version > version)
        throw new UserError(`saved state has version ${state.version}, newer than ${version}, the newest known here`);
      if (state.version !== version)
        throw new UserError(`saved state has version ${state.version}, this build reads ${version}`);
      for (const n of names) {
        const value = state.fields[n];
        if (value === undefined) throw new UserError(`saved state lacks field '${n}'`);
        if (!keeps(limits, n, value)) unfit(n);
        const restored = restore(record[n], value, n);
        if (restored !== record[n]) record[n] = restored;
      }
      afterLoad?.();
    },
  };
}
