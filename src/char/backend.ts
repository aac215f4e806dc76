/**
 * Character backends: where the bytes of a serial port, a monitor or a debug console go to and come from.
 *
 * A frontend (a UART, a monitor) is attached to one backend. Output is pushed with `write`; input is pushed by the backend
 * with `receive`, never more than `canReceive()` bytes at a time. Both directions have flow control.
 */

/** `break`: the other side sent a break. `mux-in`/`mux-out`: a multiplexer gave this frontend the focus or took it. */
export type CharEvent = 'opened' | 'closed' | 'break' | 'mux-in' | 'mux-out';

/** What a backend calls. */
export interface CharFrontend {
  /** How many bytes `receive` takes now. A frontend that grows able calls the backend's `acceptInput`. */
  canReceive(): number;
  /** At most `canReceive()` bytes, valid during the call only. */
  receive(data: Uint8Array): void;
  event?(event: CharEvent): void;
  /** After a short write: the backend takes more. */
  writable?(): void;
}

/** How a serial line is set up, for backends that are real lines. */
export interface SerialLine {
  /** Bits per second. */
  readonly speed: number;
  readonly dataBits: 5 | 6 | 7 | 8;
  readonly stopBits: 1 | 2;
  readonly parity: 'none' | 'odd' | 'even';
}

export interface CharBackend {
  /** QEMU's name of the backend: `null`, `ringbuf`, `stdio`. */
  readonly type: string;
  /** What `info chardev` says about it: `null`, `pty:/dev/pts/3`. */
  readonly filename: string;
  /** One frontend at a time; null detaches. An open backend answers with the event `opened`. */
  attach(frontend: CharFrontend | null): void;
  /** Takes the first n bytes of `data` (valid during the call only) and returns n; if short, `writable` follows. */
  write(data: Uint8Array): number;
  /** The frontend can receive again. */
  acceptInput(): void;
  setLine?(line: SerialLine): void;
  setBreak?(on: boolean): void;
  dispose?(): void;
}
