/**
 * A PS/2 mouse that becomes an IntelliMouse (wheel) or IntelliMouse Explorer (five buttons) when asked.
 * Sources: IBM PS/2 Technical Reference, Auxiliary Device; Microsoft, "Intellimouse and five-button" whitepapers.
 *
 *   e6 scaling 1:1   e7 scaling 2:1   e8 resolution   e9 status   ea stream mode   eb read data   ec reset wrap   ee wrap
 *   f0 remote mode   f2 identify      f3 sample rate  f4 enable   f5 disable       f6 defaults    fe resend       ff reset
 *
 *   packet byte 0: y overflow, x overflow, y sign, x sign, 1, middle, right, left;  1: dx;  2: dy (up is positive)
 *   byte 3: wheel (id 3), or 0, 0, extra, side, wheel in 4 bits (id 4)
 */
import type { PointerButton, PointerSink } from '../../display/input.js';
import { stateOf } from '../../machine/state.js';
import { emptyOutput, type Ps2Device, Ps2Output } from './ps2-port.js';

const COMMAND = {
  SCALING_1: 0xe6,
  SCALING_2: 0xe7,
  RESOLUTION: 0xe8,
  STATUS: 0xe9,
  STREAM: 0xea,
  READ_DATA: 0xeb,
  RESET_WRAP: 0xec,
  WRAP: 0xee,
  REMOTE: 0xf0,
  IDENTIFY: 0xf2,
  RATE: 0xf3,
  ENABLE: 0xf4,
  DISABLE: 0xf5,
  DEFAULTS: 0xf6,
  RESEND: 0xfe,
  RESET: 0xff,
};
const ACK = 0xfa;
const NACK = 0xfe;
const SELF_TEST_PASSED = 0xaa;
const ID = { PLAIN: 0, WHEEL: 3, FIVE_BUTTONS: 4 };
const STATUS = { REMOTE: 0x40, ENABLED: 0x20, SCALING_2: 0x10 };

const BUTTON: { readonly [button in PointerButton]: number } = { left: 1, right: 2, middle: 4, side: 8, extra: 16 };
const BASIC_BUTTONS = 7;

const defaults = () => ({
  enabled: false,
  remote: false,
  wrap: false,
  scaling2: false,
  /** 2^n counts a millimetre. */
  resolution: 2,
  /** Reports a second. */
  rate: 100,
  command: 0,
});

const powerOn = () => ({
  ...defaults(),
  id: ID.PLAIN,
  /** The last three sample rates: the knock that changes the id. */
  knock: [0, 0, 0],
  buttons: 0,
  /** What moved since the last packet; y up. */
  dx: 0,
  dy: 0,
  dz: 0,
  /** Buttons as the last packet told them. */
  told: 0,
  output: emptyOutput(),
});

const clamp = (n: number, low: number, high: number) => Math.max(low, Math.min(high, n));

export class Ps2Mouse implements Ps2Device, PointerSink {
  onReady: () => void = () => {};
  readonly #s = powerOn();
  #output = new Ps2Output(this.#s.output);
  readonly #stateful = stateOf(this.#s, 1, undefined, () => {
    this.#output = new Ps2Output(this.#s.output);
  });
  readonly save = this.#stateful.save;
  readonly load = this.#stateful.load;

  reset(): void {
    Object.assign(this.#s, powerOn());
    this.#output = new Ps2Output(this.#s.output);
  }

  move(dx: number, dy: number, wheel: number): void {
    const s = this.#s;
    s.dx = clamp(s.dx + Math.trunc(dx), -0x7fff, 0x7fff);
    s.dy = clamp(s.dy - Math.trunc(dy), -0x7fff, 0x7fff);
    s.dz = clamp(s.dz + Math.trunc(wheel), -0x7fff, 0x7fff);
    this.#stream();
  }

  button(button: PointerButton, down: boolean): void {
    const s = this.#s;
    s.buttons = down ? s.buttons | BUTTON[button] : s.buttons & ~BUTTON[button];
    this.#stream();
  }

  next(): number {
    // Movement is summed up until the packet before it has left.
    if (this.#output.idle) this.#queuePacket();
    return this.#output.next();
  }

  receive(byte: number): void {
    const s = this.#s;
    const pending = s.command;
    s.command = 0;
    if (s.wrap && byte !== COMMAND.RESET && byte !== COMMAND.RESET_WRAP) this.#output.reply(byte);
    else if (pending !== 0) this.#parameter(pending, byte);
    else this.#command(byte);
    this.onReady();
  }

  /** In stream mode: says that there is something to fetch. */
  #stream(): void {
    if (this.#s.enabled && !this.#s.remote && this.#changed()) this.onReady();
  }

  #changed(): boolean {
    const { dx, dy, dz, buttons, told, id } = this.#s;
    return dx !== 0 || dy !== 0 || (dz !== 0 && id !== ID.PLAIN) || buttons !== told;
  }

  #queuePacket(): void {
    const s = this.#s;
    if (s.enabled && !s.remote && !s.wrap && this.#changed()) this.#output.event(this.#packet());
  }

  #packet(): number[] {
    const s = this.#s;
    const dx = clamp(s.dx, -255, 255);
    const dy = clamp(s.dy, -255, 255);
    s.dx -= dx;
    s.dy -= dy;
    s.told = s.buttons;
    const bytes = [(s.buttons & BASIC_BUTTONS) | 8 | (dx < 0 ? 0x10 : 0) | (dy < 0 ? 0x20 : 0), dx & 0xff, dy & 0xff];
    if (s.id === ID.PLAIN) s.dz = 0;
    if (s.id === ID.WHEEL) {
      const dz = clamp(s.dz, -127, 127);
      s.dz -= dz;
      bytes.push(dz & 0xff);
    }
    if (s.id === ID.FIVE_BUTTONS) {
      const dz = clamp(s.dz, -7, 7);
      s.dz -= dz;
      bytes.push((dz & 0xf) | ((s.buttons & (BUTTON.side | BUTTON.extra)) << 1));
    }
    return bytes;
  }

  #command(byte: number): void {
    const s = this.#s;
    switch (byte) {
      case COMMAND.SCALING_1:
      case COMMAND.SCALING_2:
        s.scaling2 = byte === COMMAND.SCALING_2;
        this.#output.reply(ACK);
        break;
      case COMMAND.RESOLUTION:
      case COMMAND.RATE:
        s.command = byte;
        this.#output.reply(ACK);
        break;
      case COMMAND.STATUS:
        this.#output.reply(ACK, this.#status(), s.resolution, s.rate);
        break;
      case COMMAND.STREAM:
      case COMMAND.REMOTE:
        s.remote = byte === COMMAND.REMOTE;
        this.#output.dropEvents();
        this.#output.reply(ACK);
        break;
      case COMMAND.READ_DATA:
        this.#output.reply(ACK, ...this.#packet());
        break;
      case COMMAND.RESET_WRAP:
      case COMMAND.WRAP:
        s.wrap = byte === COMMAND.WRAP;
        this.#output.reply(ACK);
        break;
      case COMMAND.IDENTIFY:
        this.#output.reply(ACK, s.id);
        break;
      case COMMAND.ENABLE:
      case COMMAND.DISABLE:
        s.enabled = byte === COMMAND.ENABLE;
        this.#output.dropEvents();
        this.#output.reply(ACK);
        break;
      case COMMAND.DEFAULTS:
        Object.assign(s, defaults());
        this.#output.dropEvents();
        this.#output.reply(ACK);
        break;
      case COMMAND.RESEND:
        this.#output.resend();
        break;
      case COMMAND.RESET:
        Object.assign(s, defaults());
        s.id = ID.PLAIN;
        s.dx = s.dy = s.dz = 0;
        this.#output.dropEvents();
        this.#output.reply(ACK, SELF_TEST_PASSED, s.id);
        break;
      default:
        this.#output.reply(NACK);
    }
  }

  #status(): number {
    const s = this.#s;
    const { left, right, middle } = BUTTON;
    // Status has left in bit 2 and right in bit 0, unlike a packet.
    const buttons = (s.buttons & left ? 4 : 0) | (s.buttons & middle ? 2 : 0) | (s.buttons & right ? 1 : 0);
    return (
      (s.remote ? STATUS.REMOTE : 0) | (s.enabled ? STATUS.ENABLED : 0) | (s.scaling2 ? STATUS.SCALING_2 : 0) | buttons
    );
  }

  #parameter(command: number, byte: number): void {
    const s = this.#s;
    if (command === COMMAND.RESOLUTION) s.resolution = byte & 3;
    else {
      s.rate = byte;
      s.knock = [...s.knock.slice(1), byte];
      const [a, b, c] = s.knock;
      if (a === 200 && b === 100 && c === 80) s.id = ID.WHEEL;
      if (a === 200 && b === 200 && c === 80) s.id = ID.FIVE_BUTTONS;
    }
    this.#output.reply(ACK);
  }
}
