/** Time as a machine hands it to its devices. Nothing below `host/` reads a real clock. */

/** One armed or idle deadline. Callbacks run on the machine thread, between slices of guest code. */
export interface Timer {
  /** When it fires, in ns of its clock; Infinity when idle. Part of the owner's snapshot. */
  readonly deadline: number;
  /** Fires once at `atNs` (at once when that has passed). Re-arming moves it. */
  arm(atNs: number): void;
  disarm(): void;
}

/** Nanoseconds since the clock's start, as a double (exact for 104 days). */
export interface Clock {
  now(): number;
  /** An idle timer on this clock that lives as long as the machine. */
  timer(name: string, callback: () => void): Timer;
}

/**
 * `virtual` stands still while the machine is stopped and is driven by instructions under -icount; guests see only this
 * one. `realtime` always runs. `host` is wall time: ns since 1970 (RTC).
 */
export interface Clocks {
  readonly virtual: Clock;
  readonly realtime: Clock;
  readonly host: Clock;
}
