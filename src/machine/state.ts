/** The state of a device, declared once: snapshot, migration, the reset test and `info` derive from it. */

export type StateValue =
  | number
  | bigint
  | boolean
  | string
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | readonly StateValue[]
  | { readonly [key: string]: StateValue };

/** A device's whole guest-visible state as plain data, with the version of its shape. */
export interface DeviceState {
  readonly version: number;
  readonly fields: { readonly [field: string]: StateValue };
}

export interface Stateful {
  save(): DeviceState;
  /** Restores what `save` gave; throws UserError for a version it does not know. */
  load(state: DeviceState): void;
}

/**
 * `stateOf(this, 1, ['lcr', 'ier', ...])`: save and load the named own properties. Typed arrays are copied in place,
 * so views that others hold stay valid; a property that is Stateful itself (a RegisterFile, a PciFunction), or an array
 * of such, saves and loads itself. Only public properties can be named. `afterLoad` re-derives what is not stored (irq levels, timers).
 */
export { asDeviceState, asFields, stateOf } from './state-of.js';
