import { UserError } from '../base/errors.js';
import type { DeviceState, Stateful, StateValue } from './state.js';

type TypedArray = Uint8Array | Uint16Array | Uint32Array;
const isTyped = (v: unknown): v is TypedArray =>
  v instanceof Uint8Array || v instanceof Uint16Array || v instanceof Uint32Array;

const copy = (v: StateValue): StateValue => (isTyped(v) ? v.slice() : structuredClone(v));

/** save/load over the named own properties of `object`; see `state.ts`. */
export function stateOf<T extends object>(
  object: T,
  version: number,
  names: readonly (keyof T & string)[],
  afterLoad?: () => void,
): Stateful {
  const record = object as Record<string, StateValue>;
  return {
    save(): DeviceState {
      const fields: Record<string, StateValue> = {};
      for (const n of names) fields[n] = copy(record[n] as StateValue);
      return { version, fields };
    },
    load(state: DeviceState): void {
      if (state.version !== version)
        throw new UserError(`saved state has version ${state.version}, this build reads ${version}`);
      for (const n of names) {
        const value = state.fields[n];
        if (value === undefined) throw new UserError(`saved state lacks field '${n}'`);
        const own = record[n];
        if (isTyped(own) && isTyped(value) && own.length === value.length) own.set(value as never);
        else record[n] = copy(value);
      }
      afterLoad?.();
    },
  };
}
