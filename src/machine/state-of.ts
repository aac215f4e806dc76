import { UserError } from '../base/errors.js';
import type { DeviceState, Stateful, StateValue } from './state.js';

type TypedArray = Uint8Array | Uint16Array | Uint32Array;
const isTyped = (v: unknown): v is TypedArray =>
  v instanceof Uint8Array || v instanceof Uint16Array || v instanceof Uint32Array;

const isStateful = (v: unknown): v is Stateful =>
  typeof v === 'object' && v !== null && 'save' in v && typeof v.save === 'function';

const copy = (v: StateValue): StateValue => (isTyped(v) ? v.slice() : structuredClone(v));

/** A value, a part that saves itself, or an array of such parts. */
function capture(value: unknown): StateValue {
  if (isStateful(value)) return { ...value.save() };
  if (Array.isArray(value) && value.some(isStateful)) return value.map(capture);
  return copy(value as StateValue);
}

/** Restores `saved` into `own` where that is possible in place; gives what the owner's field must hold. */
function restore(own: unknown, saved: StateValue, name: string): unknown {
  if (isStateful(own)) {
    own.load(saved as unknown as DeviceState);
    return own;
  }
  if (Array.isArray(own) && own.some(isStateful)) {
    const list = saved as readonly StateValue[];
    if (!Array.isArray(list) || list.length !== own.length)
      throw new UserError(`saved state of '${name}' does not fit`);
    own.forEach((part, i) => {
      restore(part, list[i]!, name);
    });
    return own;
  }
  if (isTyped(own) && isTyped(saved) && own.length === saved.length) {
    own.set(saved);
    return own;
  }
  return copy(saved);
}

/** save/load over the named own properties of `object` (all that it has unless named); see `state.ts`. */
export function stateOf<T extends object>(
  object: T,
  version: number,
  names: readonly (keyof T & string)[] = Object.keys(object) as (keyof T & string)[],
  afterLoad?: () => void,
): Stateful {
  const record = object as Record<string, unknown>;
  return {
    save(): DeviceState {
      const fields: Record<string, StateValue> = {};
      for (const n of names) fields[n] = capture(record[n]);
      return { version, fields };
    },
    load(state: DeviceState): void {
      if (state.version !== version)
        throw new UserError(`saved state has version ${state.version}, this build reads ${version}`);
      for (const n of names) {
        const value = state.fields[n];
        if (value === undefined) throw new UserError(`saved state lacks field '${n}'`);
        const restored = restore(record[n], value, n);
        if (restored !== record[n]) record[n] = restored;
      }
      afterLoad?.();
    },
  };
}
