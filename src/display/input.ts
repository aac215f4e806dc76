/** User input on its way to the guest. */
import type { Key } from './keys.js';

export interface KeyboardSink {
  key(key: Key, down: boolean): void;
}

/** Lights that the guest sets. */
export interface KeyboardLeds {
  readonly scrollLock: boolean;
  readonly numLock: boolean;
  readonly capsLock: boolean;
}

export type PointerButton = 'left' | 'right' | 'middle' | 'side' | 'extra';

export interface PointerSink {
  /** Relative movement: right and down are positive, in counts; `wheel` is positive towards the user. */
  move(dx: number, dy: number, wheel: number): void;
  button(button: PointerButton, down: boolean): void;
}
