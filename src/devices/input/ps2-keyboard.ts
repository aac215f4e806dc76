/**
 * A PS/2 keyboard (enhanced, 102 keys).
 * Source: IBM Personal System/2 Hardware Interface Technical Reference, Keyboard and Auxiliary Device (1988/1990).
 *
 *   ed LEDs    ee echo     f0 scan code set   f2 identify    f3 typematic rate    f4 enable    f5 disable with defaults
 *   f6 defaults            f7-fa key modes of all keys (set 3)    fb-fd of some keys    fe resend    ff reset
 *
 * Repeating a held key is left to whoever delivers key events, as terminals and windowing systems do it already.
 */
import type { KeyboardLeds, KeyboardSink } from '../../display/input.js';
import type { Key } from '../../display/keys.js';
import { stateOf } from '../../machine/state.js';
import { emptyOutput, type Ps2Device, Ps2Output } from './ps2-port.js';
import { SET3_MAKE_BREAK, scanCodes } from './scan-codes.js';

const COMMAND = {
  LEDS: 0xed,
  ECHO: 0xee,
  SCAN_SET: 0xf0,
  IDENTIFY: 0xf2,
  RATE: 0xf3,
  ENABLE: 0xf4,
  DISABLE: 0xf5,
  DEFAULTS: 0xf6,
  ALL_TYPEMATIC: 0xf7,
  ALL_MAKE_BREAK: 0xf8,
  ALL_MAKE: 0xf9,
  ALL_BOTH: 0xfa,
  KEY_TYPEMATIC: 0xfb,
  KEY_MAKE_BREAK: 0xfc,
  KEY_MAKE: 0xfd,
  RESEND: 0xfe,
  RESET: 0xff,
};
const ACK = 0xfa;
const RESEND = 0xfe;
const SELF_TEST_PASSED = 0xaa;
const IDENTITY = [0xab, 0x83];
const DEFAULT_RATE = 0x2b;

const LED = { SCROLL: 1, NUM: 2, CAPS: 4 };

const powerOn = () => ({
  /** Keys are reported. */
  scanning: true,
  set: 2 as 1 | 2 | 3,
  rate: DEFAULT_RATE,
  leds: 0,
  /** The command that waits for its parameter; 0 when none does. */
  command: 0,
  /** Set 3: by scan code, 1 when releasing the key is reported. */
  breaks: Uint8Array.from({ length: 256 }, (_, code) => (SET3_MAKE_BREAK.has(code) ? 1 : 0)),
  alt: 0,
  ctrl: 0,
  shift: 0,
  output: emptyOutput(),
});

/** Left and right modifier keys as bits. */
const MODIFIERS: { readonly [key in Key]?: readonly ['alt' | 'ctrl' | 'shift', number] } = {
  alt: ['alt', 1],
  alt_r: ['alt', 2],
  ctrl: ['ctrl', 1],
  ctrl_r: ['ctrl', 2],
  shift: ['shift', 1],
  shift_r: ['shift', 2],
};

export class Ps2Keyboard implements Ps2Device, KeyboardSink {
  onReady: () => void = () => {};
  onLeds: (leds: KeyboardLeds) => void = () => {};
  #s = powerOn();
  #output = new Ps2Output(this.#s.output);
  readonly #stateful = stateOf(this.#s, 1, undefined, () => {
    this.#output = new Ps2Output(this.#s.output);
  });
  readonly save = this.#stateful.save;
  readonly load = this.#stateful.load;

  reset(): void {
    Object.assign(this.#s, powerOn());
    this.#output = new Ps2Output(this.#s.output);
    this.#tellLeds();
  }

  key(key: Key, down: boolean): void {
    const s = this.#s;
    const modifier = MODIFIERS[key];
    if (modifier) {
      const [name, bit] = modifier;
      s[name] = down ? s[name] | bit : s[name] & ~bit;
    }
    if (!s.scanning) return;
    const codes = scanCodes(s.set, key, down, { alt: s.alt !== 0, ctrl: s.ctrl !== 0, shift: s.shift !== 0 });
    if (codes.length === 0 || (s.set === 3 && !down && !s.breaks[codes[1]!])) return;
    if (this.#output.event(codes)) this.onReady();
  }

  next(): number {
    return this.#output.next();
  }

  receive(byte: number): void {
    const pending = this.#s.command;
    this.#s.command = 0;
    // A byte of the command range ends a command that waits, except where a list of keys is awaited.
    if (pending !== 0 && byte < COMMAND.LEDS) this.#parameter(pending, byte);
    else this.#command(byte);
    this.onReady();
  }

  #command(byte: number): void {
    const s = this.#s;
    switch (byte) {
      case COMMAND.LEDS:
      case COMMAND.SCAN_SET:
      case COMMAND.RATE:
      case COMMAND.KEY_TYPEMATIC:
      case COMMAND.KEY_MAKE_BREAK:
      case COMMAND.KEY_MAKE:
        s.command = byte;
        this.#output.reply(ACK);
        break;
      case COMMAND.ECHO:
        this.#output.reply(COMMAND.ECHO);
        break;
      case COMMAND.IDENTIFY:
        this.#output.reply(ACK, ...IDENTITY);
        break;
      case COMMAND.ENABLE:
        this.#output.dropEvents();
        s.scanning = true;
        this.#output.reply(ACK);
        break;
      case COMMAND.DISABLE:
      case COMMAND.DEFAULTS:
        this.#defaults();
        s.scanning = byte === COMMAND.DEFAULTS;
        this.#output.reply(ACK);
        break;
      case COMMAND.ALL_TYPEMATIC:
      case COMMAND.ALL_MAKE_BREAK:
      case COMMAND.ALL_MAKE:
      case COMMAND.ALL_BOTH:
        s.breaks.fill(byte === COMMAND.ALL_MAKE_BREAK || byte === COMMAND.ALL_BOTH ? 1 : 0);
        this.#output.reply(ACK);
        break;
      case COMMAND.RESEND:
        this.#output.resend();
        break;
      case COMMAND.RESET:
        this.#defaults();
        s.leds = 0;
        this.#tellLeds();
        s.scanning = true;
        this.#output.reply(ACK, SELF_TEST_PASSED);
        break;
      default:
        this.#output.reply(RESEND);
    }
  }

  #parameter(command: number, byte: number): void {
    const s = this.#s;
    switch (command) {
      case COMMAND.LEDS:
        s.leds = byte & 7;
        this.#tellLeds();
        this.#output.reply(ACK);
        break;
      case COMMAND.SCAN_SET:
        if (byte === 0) this.#output.reply(ACK, s.set);
        else if (byte <= 3) {
          s.set = byte as 1 | 2 | 3;
          this.#output.dropEvents();
          this.#output.reply(ACK);
        } else this.#output.reply(RESEND);
        break;
      case COMMAND.RATE:
        s.rate = byte & 0x7f;
        this.#output.reply(ACK);
        break;
      default:
        // A list of scan codes: it ends with the next command.
        s.breaks[byte] = command === COMMAND.KEY_MAKE_BREAK ? 1 : 0;
        s.command = command;
        this.#output.reply(ACK);
    }
  }

  #defaults(): void {
    const s = this.#s;
    const fresh = powerOn();
    s.set = fresh.set;
    s.rate = fresh.rate;
    s.breaks.set(fresh.breaks);
    this.#output.dropEvents();
  }

  #tellLeds(): void {
    const leds = this.#s.leds;
    this.onLeds({
      scrollLock: (leds & LED.SCROLL) !== 0,
      numLock: (leds & LED.NUM) !== 0,
      capsLock: (leds & LED.CAPS) !== 0,
    });
  }
}
