/**
 * The three scan code sets of PS/2 keyboards, and the controller's translation from set 2 to set 1.
 * Sources: Microsoft, Keyboard Scan Code Specification, rev. 1.3a, appendix C; IBM PS/2 Technical Reference, keyboard;
 * for the whole translation table: A. Brouwer, Keyboard scancodes, section 10.3.
 */
import { KEY_CODES, type Key } from '../../display/keys.js';

const hex = (text: string) => Uint8Array.from(text.trim().split(/\s+/), (byte) => Number.parseInt(byte, 16));

/** What the 8042 makes of a keyboard byte below 0x88; all others pass through. */
const TRANSLATION = hex(`
  ff 43 41 3f 3d 3b 3c 58 64 44 42 40 3e 0f 29 59
  65 38 2a 70 1d 10 02 5a 66 71 2c 1f 1e 11 03 5b
  67 2e 2d 20 12 05 04 5c 68 39 2f 21 14 13 06 5d
  69 31 30 23 22 15 07 5e 6a 72 32 24 16 08 09 5f
  6b 33 25 17 18 0b 0a 60 6c 34 35 26 27 19 0c 61
  6d 73 28 74 1a 0d 62 6e 3a 36 1c 1b 75 2b 63 76
  55 56 77 78 79 7a 0e 7b 7c 4f 7d 4b 47 7e 7f 6f
  52 53 50 4c 4d 48 01 45 57 4e 51 4a 37 49 46 54
  80 81 82 41 54 85 86 87
`);

/** A byte of set 2 as set 1; the break prefix 0xf0 is the caller's. */
export function translated(byte: number): number {
  return byte < TRANSLATION.length ? TRANSLATION[byte]! : byte;
}

/** Set 1 to set 2: the table above backwards. Where two codes of set 2 give one of set 1 (F7, SysRq), the later is meant. */
const SET2_OF_SET1 = new Uint8Array(0x80);
TRANSLATION.forEach((set1, set2) => {
  if (set1 < 0x80) SET2_OF_SET1[set1] = set2;
});

/** Codes of set 3 that differ from set 2's second byte or that set 2 gives in two bytes. */
const SET3: { readonly [key in Key]?: number } = {
  esc: 0x08,
  f1: 0x07,
  f2: 0x0f,
  f3: 0x17,
  f4: 0x1f,
  f5: 0x27,
  f6: 0x2f,
  f7: 0x37,
  f8: 0x3f,
  f9: 0x47,
  f10: 0x4f,
  f11: 0x56,
  f12: 0x5e,
  print: 0x57,
  sysrq: 0x57,
  scroll_lock: 0x5f,
  pause: 0x62,
  backslash: 0x5c,
  less: 0x13,
  ctrl: 0x11,
  shift: 0x12,
  caps_lock: 0x14,
  alt: 0x19,
  alt_r: 0x39,
  ctrl_r: 0x58,
  insert: 0x67,
  delete: 0x64,
  left: 0x61,
  home: 0x6e,
  end: 0x65,
  up: 0x63,
  down: 0x60,
  pgup: 0x6f,
  pgdn: 0x6d,
  right: 0x6a,
  num_lock: 0x76,
  kp_divide: 0x77,
  kp_multiply: 0x7e,
  kp_subtract: 0x84,
  kp_add: 0x7c,
  kp_enter: 0x79,
  meta_l: 0x8b,
  meta_r: 0x8c,
  menu: 0x8d,
  compose: 0x8d,
};

/** Keys that in set 3 make and break but never repeat, or that repeat, by default; the others only make (typematic). */
export const SET3_MAKE_BREAK: ReadonlySet<number> = new Set(
  (['ctrl', 'shift', 'caps_lock', 'shift_r', 'alt'] as const).map((key) => scanCode3(key)),
);

function scanCode3(key: Key): number {
  return SET3[key] ?? SET2_OF_SET1[KEY_CODES[key] & 0x7f]!;
}

/** PrintScreen and Pause send what other keys with their modifiers would. */
export interface Modifiers {
  readonly alt: boolean;
  readonly ctrl: boolean;
  readonly shift: boolean;
}

const PRINT = KEY_CODES.print;
const PAUSE = KEY_CODES.pause;
/** With Alt, PrintScreen is SysRq; with Ctrl, Pause is Break. */
const SHIFT_PAGE = 0xe000 | KEY_CODES.shift;

/** The codes of set 1 (each one or two bytes as in KEY_CODES) that a key stands for. */
function codesOf(key: Key, held: Modifiers): readonly number[] {
  const code = KEY_CODES[key];
  if (code !== PRINT) return [code];
  if (held.alt) return [KEY_CODES.sysrq];
  return held.ctrl || held.shift ? [PRINT] : [SHIFT_PAGE, PRINT];
}

/** The bytes a keyboard sends for a key going down or up in the given set. */
export function scanCodes(set: 1 | 2 | 3, key: Key, down: boolean, held: Modifiers): readonly number[] {
  if (set === 3) return down ? [scanCode3(key)] : [0xf0, scanCode3(key)];
  const one = (code: number, isDown: boolean): number[] => {
    const page = code > 0xff ? [code >> 8] : [];
    const low = code & 0x7f;
    if (set === 1) return [...page, isDown ? low : low | 0x80];
    return [...page, ...(isDown ? [] : [0xf0]), SET2_OF_SET1[low]!];
  };
  if (KEY_CODES[key] === PAUSE) {
    // Pause sends make and break when it goes down, nothing when it comes up.
    if (!down) return [];
    if (held.ctrl) return [...one(PAUSE, true), ...one(PAUSE, false)];
    const sequence = [KEY_CODES.ctrl, KEY_CODES.num_lock];
    return [true, false].flatMap((make) => [0xe1, ...sequence.flatMap((code) => one(code, make))]);
  }
  const codes = codesOf(key, held);
  return (down ? codes : codes.toReversed()).flatMap((code) => one(code, down));
}
