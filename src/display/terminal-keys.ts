/** Bytes from a terminal's keyboard (ECMA-48, xterm) as keys of a PC with a US layout. */
import type { Key } from './keys.js';

/** Keys of the US layout: what they type alone and with shift. */
const LAYOUT: readonly (readonly [plain: string, shifted: string, key: Key])[] = [
  ['`', '~', 'grave_accent'],
  ['1', '!', '1'],
  ['2', '@', '2'],
  ['3', '#', '3'],
  ['4', '$', '4'],
  ['5', '%', '5'],
  ['6', '^', '6'],
  ['7', '&', '7'],
  ['8', '*', '8'],
  ['9', '(', '9'],
  ['0', ')', '0'],
  ['-', '_', 'minus'],
  ['=', '+', 'equal'],
  ['[', '{', 'bracket_left'],
  [']', '}', 'bracket_right'],
  ['\\', '|', 'backslash'],
  [';', ':', 'semicolon'],
  ["'", '"', 'apostrophe'],
  [',', '<', 'comma'],
  ['.', '>', 'dot'],
  ['/', '?', 'slash'],
  [' ', ' ', 'spc'],
  ...Array.from('abcdefghijklmnopqrstuvwxyz', (c) => [c, c.toUpperCase(), c as Key] as const),
];

const TYPED = new Map<string, readonly Key[]>();
for (const [plain, shifted, key] of LAYOUT) {
  TYPED.set(shifted, ['shift', key]);
  TYPED.set(plain, [key]);
}
const CONTROLS: { readonly [code: number]: readonly Key[] } = {
  0: ['ctrl', 'spc'],
  8: ['ctrl', 'backspace'],
  9: ['tab'],
  10: ['ret'],
  13: ['ret'],
  27: ['esc'],
  28: ['ctrl', 'backslash'],
  29: ['ctrl', 'bracket_right'],
  30: ['ctrl', '6'],
  31: ['ctrl', 'minus'],
  127: ['backspace'],
};

/** Final bytes of CSI and SS3 sequences. */
const FINALS: { readonly [final: string]: readonly Key[] } = {
  A: ['up'],
  B: ['down'],
  C: ['right'],
  D: ['left'],
  E: ['kp_5'],
  F: ['end'],
  H: ['home'],
  P: ['f1'],
  Q: ['f2'],
  R: ['f3'],
  S: ['f4'],
  Z: ['shift', 'tab'],
};
/** Numbers of CSI sequences that end in `~`. */
const NUMBERS: { readonly [number: number]: Key } = {
  1: 'home',
  2: 'insert',
  3: 'delete',
  4: 'end',
  5: 'pgup',
  6: 'pgdn',
  7: 'home',
  8: 'end',
  11: 'f1',
  12: 'f2',
  13: 'f3',
  14: 'f4',
  15: 'f5',
  17: 'f6',
  18: 'f7',
  19: 'f8',
  20: 'f9',
  21: 'f10',
  23: 'f11',
  24: 'f12',
};

/** The keys that type a character; null when the layout has none for it. */
export function keysFor(character: string): readonly Key[] | null {
  const code = character.charCodeAt(0);
  return TYPED.get(character) ?? CONTROLS[code] ?? (code >= 1 && code <= 26 ? ['ctrl', letter(code)] : null);
}

const letter = (code: number): Key => String.fromCharCode(code + 0x60) as Key;

/** xterm's modifier parameter: 1 plus shift 1, alt 2, ctrl 4. */
function modifiers(parameter: number): Key[] {
  const bits = parameter > 0 ? parameter - 1 : 0;
  return [
    ...(bits & 1 ? (['shift'] as const) : []),
    ...(bits & 2 ? (['alt'] as const) : []),
    ...(bits & 4 ? (['ctrl'] as const) : []),
  ];
}

export class TerminalKeys {
  readonly #send: (keys: readonly Key[]) => void;
  /** An escape sequence that has begun. */
  #pending = '';

  /** `send` is given the keys of one keystroke, modifiers first. */
  constructor(send: (keys: readonly Key[]) => void) {
    this.#send = send;
  }

  /** Whether an escape may be the key or the start of a sequence: ask again after a moment with `flush`. */
  get undecided(): boolean {
    return this.#pending !== '';
  }

  input(bytes: Uint8Array): void {
    for (const byte of bytes) this.#byte(String.fromCharCode(byte));
  }

  /** Nothing followed for a while: what waits was typed as it is. */
  flush(): void {
    const waiting = this.#pending;
    this.#pending = '';
    for (const character of waiting) this.#type(character, []);
  }

  #byte(character: string): void {
    if (this.#pending === '') {
      if (character === '\x1b') this.#pending = character;
      else this.#type(character, []);
      return;
    }
    this.#pending += character;
    const sequence = this.#pending;
    if (sequence.length === 2) {
      if (character === '[' || character === 'O') return;
      this.#pending = '';
      // Escape and a character: the character with Alt.
      if (character === '\x1b') this.#pending = character;
      this.#type(character === '\x1b' ? '\x1b' : character, character === '\x1b' ? [] : ['alt']);
      return;
    }
    // Parameters and intermediate bytes are below the final byte's range.
    if (/[0-9;:<=>? -/]/.test(character) && sequence.length < 32) return;
    this.#pending = '';
    this.#sequence(sequence.slice(2, -1), character);
  }

  #sequence(parameters: string, final: string): void {
    // The Linux console has F1 to F5 as CSI [ A to E.
    const [first = 0, second = 0] = parameters.split(';').map(Number);
    const keys = final === '~' ? (NUMBERS[first] ? [NUMBERS[first]] : null) : FINALS[final];
    if (keys) this.#send([...modifiers(second), ...keys]);
  }

  #type(character: string, held: readonly Key[]): void {
    const keys = keysFor(character);
    if (keys) this.#send([...held, ...keys]);
  }
}
