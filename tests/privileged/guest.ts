/** Runs the guests of testdata/ on the processor alone: RAM, the debug port, an end port. */
import { BareMachine, type BareOptions } from '../support/bare-machine.js';

const IMAGE = 0xf0000;

export interface GuestRun {
  readonly output: string;
  /** Why it stopped. */
  readonly end: string;
}

/** Runs a 64 KiB image from the reset vector's usual place below 1 MiB. */
export function runGuest(image: Uint8Array, options: Partial<BareOptions> = {}, ms = 5000): GuestRun {
  const machine = new BareMachine({ mode: 'real', ...options });
  let output = '';
  machine.load(IMAGE, image);
  machine.registers.setSegment('cs', { selector: 0xf000, base: BigInt(IMAGE), limit: 0xffff, attributes: 0x9b });
  machine.registers.set('rip', 0xfff0n);
  let end = 'running';
  const stop = performance.now() + ms;
  while (performance.now() < stop) {
    const slice = machine.run(100);
    if (slice.reason !== 'running') {
      end = slice.reason;
      break;
    }
  }
  for (const [port, , value] of machine.portWrites) if (port === 0xe9) output += String.fromCharCode(value & 0xff);
  return { output, end };
}
