/** A video terminal in memory (the useful part of ECMA-48 and DEC's VT102): what a virtual console shows. */

import type { TextScreen } from './console.js';
import { CP437 } from './cp437.js';

const PLAIN = 0x07;
/** Colours in the order of terminals to those of a VGA, whose bit 0 is blue. */
const VGA_COLORS = [0, 4, 2, 6, 1, 5, 3, 7] as const;
const TO_CP437 = new Map(Array.from(CP437, (character, code) => [character, code] as const).reverse());
const UNKNOWN = 0x3f;

export class VideoTerminal {
  readonly #cells: Uint16Array;
  readonly #decoder = new TextDecoder();
  #column = 0;
  #row = 0;
  #attribute = PLAIN;
  #cursor = true;
  /** The next character first goes to a new line. */
  #wrap = false;
  /** A control sequence that has begun. */
  #pending = '';
  #saved: readonly [column: number, row: number] = [0, 0];

  constructor(
    readonly columns = 80,
    readonly rows = 25,
  ) {
    this.#cells = new Uint16Array(columns * rows).fill(this.#blank());
  }

  write(bytes: Uint8Array): void {
    for (const character of this.#decoder.decode(bytes, { stream: true })) this.#put(character);
  }

  screen(): TextScreen {
    const { columns, rows } = this;
    const cursor = this.#cursor ? { column: this.#column, row: this.#row } : null;
    return { columns, rows, cells: this.#cells, cursor, blink: false };
  }

  #blank(): number {
    return (this.#attribute << 8) | 0x20;
  }

  #put(character: string): void {
    if (this.#pending !== '' || character === '\x1b') {
      this.#sequence(character);
      return;
    }
    switch (character) {
      case '\r':
        this.#move(0, this.#row);
        return;
      case '\n':
      case '\v':
      case '\f':
        this.#lineFeed();
        return;
      case '\b':
        this.#move(this.#column - 1, this.#row);
        return;
      case '\t':
        this.#move((this.#column | 7) + 1, this.#row);
        return;
    }
    if (character < ' ' || character === '\x7f') return;
    if (this.#wrap) {
      this.#column = 0;
      this.#lineFeed();
    }
    this.#cells[this.#row * this.columns + this.#column] =
      (this.#attribute << 8) | (TO_CP437.get(character) ?? UNKNOWN);
    if (this.#column < this.columns - 1) this.#column++;
    else this.#wrap = true;
  }

  #lineFeed(): void {
    this.#wrap = false;
    if (this.#row < this.rows - 1) this.#row++;
    else {
      this.#cells.copyWithin(0, this.columns);
      this.#cells.fill(this.#blank(), (this.rows - 1) * this.columns);
    }
  }

  #move(column: number, row: number): void {
    this.#column = Math.max(0, Math.min(column, this.columns - 1));
    this.#row = Math.max(0, Math.min(row, this.rows - 1));
    this.#wrap = false;
  }

  #sequence(character: string): void {
    if (this.#pending === '') {
      this.#pending = character;
      return;
    }
    this.#pending += character;
    if (this.#pending.length === 2) {
      if (character === '[') return;
      this.#pending = '';
      if (character === '7') this.#saved = [this.#column, this.#row];
      else if (character === '8') this.#move(...this.#saved);
      return;
    }
    if (character < '@' && this.#pending.length < 32) return;
    const parameters = this.#pending.slice(2, -1);
    this.#pending = '';
    this.#control(character, parameters);
  }

  #control(final: string, parameters: string): void {
    const numbers = parameters.replace(/^[?>]/, '').split(';').map(Number);
    const first = numbers[0] || 0;
    const many = first || 1;
    switch (final) {
      case 'A':
        this.#move(this.#column, this.#row - many);
        return;
      case 'B':
        this.#move(this.#column, this.#row + many);
        return;
      case 'C':
        this.#move(this.#column + many, this.#row);
        return;
      case 'D':
        this.#move(this.#column - many, this.#row);
        return;
      case 'G':
        this.#move(many - 1, this.#row);
        return;
      case 'H':
      case 'f':
        this.#move((numbers[1] || 1) - 1, many - 1);
        return;
      case 'd':
        this.#move(this.#column, many - 1);
        return;
      case 'J':
        this.#erase(first, 0, this.#cells.length);
        return;
      case 'K':
        this.#erase(first, this.#row * this.columns, (this.#row + 1) * this.columns);
        return;
      case 'm':
        for (const n of numbers) this.#rendition(n);
        return;
      case 'h':
      case 'l':
        if (parameters === '?25') this.#cursor = final === 'h';
        return;
      case 's':
        this.#saved = [this.#column, this.#row];
        return;
      case 'u':
        this.#move(...this.#saved);
    }
  }

  /** Of the cells from `start` to `end`: 0 those from the cursor on, 1 those up to it, 2 all. */
  #erase(which: number, start: number, end: number): void {
    const at = this.#row * this.columns + this.#column;
    if (which === 0) this.#cells.fill(this.#blank(), at, end);
    else if (which === 1) this.#cells.fill(this.#blank(), start, at + 1);
    else this.#cells.fill(this.#blank(), start, end);
  }

  #rendition(n: number): void {
    const a = this.#attribute;
    if (n === 0) this.#attribute = PLAIN;
    else if (n === 1) this.#attribute = a | 0x08;
    else if (n === 22) this.#attribute = a & ~0x08;
    else if (n === 7 || n === 27) this.#attribute = ((a & 0x07) << 4) | (a & 0x88) | ((a & 0x70) >> 4);
    else if (n >= 30 && n <= 37) this.#attribute = (a & ~0x07) | VGA_COLORS[(n - 30) as 0]!;
    else if (n === 39) this.#attribute = (a & ~0x07) | 7;
    else if (n >= 40 && n <= 47) this.#attribute = (a & ~0x70) | (VGA_COLORS[(n - 40) as 0]! << 4);
    else if (n === 49) this.#attribute = a & ~0x70;
    else if (n >= 90 && n <= 97) this.#attribute = (a & ~0x07) | 0x08 | VGA_COLORS[(n - 90) as 0]!;
  }
}
