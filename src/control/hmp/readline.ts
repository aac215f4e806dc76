/** A line editor for terminals: history, completion, and the usual Emacs keys. Lines end at CR or LF. */

const HISTORY = 64;
const ctrl = (letter: string): string => String.fromCharCode(letter.charCodeAt(0) & 31);

export interface LineHandler {
  line(text: string): void;
  /** What the word before the cursor may become; `text` is the line up to the cursor. */
  complete(text: string): readonly string[];
}

export class LineEditor {
  readonly #write: (text: string) => void;
  readonly #handler: LineHandler;
  readonly #history: string[] = [];
  #text = '';
  #cursor = 0;
  #at = 0;
  /** An escape sequence that has begun. */
  #escape = '';
  #lastWasReturn = false;

  constructor(
    readonly prompt: string,
    write: (text: string) => void,
    handler: LineHandler,
  ) {
    this.#write = write;
    this.#handler = handler;
  }

  /** Shows the prompt and what has been typed so far. */
  show(): void {
    this.#write(this.prompt + this.#text);
    this.#back(this.#text.length - this.#cursor);
  }

  /** Lines accepted before, oldest first. */
  get history(): readonly string[] {
    return this.#history;
  }

  input(bytes: Uint8Array): void {
    for (const byte of bytes) this.#key(String.fromCharCode(byte));
  }

  #key(key: string): void {
    const wasReturn = this.#lastWasReturn;
    this.#lastWasReturn = key === '\r';
    if (key === '\n' && wasReturn) return;
    if (this.#escape !== '' || key === '\x1b') {
      this.#sequence(key);
      return;
    }
    switch (key) {
      case '\r':
      case '\n':
        this.#accept();
        break;
      case '\t':
        this.#complete();
        break;
      case '\x7f':
      case '\b':
        if (this.#cursor > 0) this.#replace(this.#cursor - 1, this.#cursor, '');
        break;
      case ctrl('A'):
        this.#move(0);
        break;
      case ctrl('E'):
        this.#move(this.#text.length);
        break;
      case ctrl('B'):
        this.#move(this.#cursor - 1);
        break;
      case ctrl('F'):
        this.#move(this.#cursor + 1);
        break;
      case ctrl('D'):
        this.#replace(this.#cursor, this.#cursor + 1, '');
        break;
      case ctrl('K'):
        this.#replace(this.#cursor, this.#text.length, '');
        break;
      case ctrl('U'):
        this.#replace(0, this.#cursor, '');
        break;
      case ctrl('W'):
        this.#replace(this.#text.slice(0, this.#cursor).search(/\S*\s*$/), this.#cursor, '');
        break;
      case ctrl('C'):
        this.#write('\r\n');
        this.#text = '';
        this.#cursor = 0;
        this.show();
        break;
      case ctrl('P'):
        this.#recall(-1);
        break;
      case ctrl('N'):
        this.#recall(1);
        break;
      default:
        if (key >= ' ') this.#replace(this.#cursor, this.#cursor, key);
    }
  }

  #sequence(key: string): void {
    this.#escape += key;
    const body = this.#escape.slice(1);
    if (body === '' || body === '[' || body === 'O' || /^\[[0-9;]+$/.test(body)) return;
    this.#escape = '';
    const keys: Readonly<Record<string, () => void>> = {
      A: () => this.#recall(-1),
      B: () => this.#recall(1),
      C: () => this.#move(this.#cursor + 1),
      D: () => this.#move(this.#cursor - 1),
      H: () => this.#move(0),
      F: () => this.#move(this.#text.length),
      '1~': () => this.#move(0),
      '4~': () => this.#move(this.#text.length),
      '3~': () => this.#replace(this.#cursor, this.#cursor + 1, ''),
    };
    keys[body.slice(1)]?.();
  }

  #accept(): void {
    const text = this.#text;
    this.#write('\r\n');
    this.#text = '';
    this.#cursor = 0;
    if (text.trim() !== '' && this.#history.at(-1) !== text) this.#history.push(text);
    if (this.#history.length > HISTORY) this.#history.shift();
    this.#at = this.#history.length;
    this.#handler.line(text);
  }

  #recall(step: number): void {
    const at = this.#at + step;
    if (at < 0 || at > this.#history.length) return;
    this.#at = at;
    this.#replace(0, this.#text.length, this.#history[at] ?? '');
  }

  #complete(): void {
    const before = this.#text.slice(0, this.#cursor);
    const word = /\S*$/.exec(before)![0];
    const found = this.#handler.complete(before);
    if (found.length === 0) return;
    let common = found[0]!;
    for (const candidate of found) while (!candidate.startsWith(common)) common = common.slice(0, -1);
    if (found.length === 1) common += ' ';
    if (common.length > word.length) {
      this.#replace(this.#cursor, this.#cursor, common.slice(word.length));
      return;
    }
    const width = Math.max(...found.map((f) => f.length)) + 2;
    const perLine = Math.max(1, Math.floor(79 / width));
    this.#write('\r\n');
    for (let i = 0; i < found.length; i += perLine) {
      this.#write(
        `${found
          .slice(i, i + perLine)
          .map((f) => f.padEnd(width))
          .join('')
          .trimEnd()}\r\n`,
      );
    }
    this.show();
  }

  #move(to: number): void {
    const target = Math.max(0, Math.min(to, this.#text.length));
    if (target < this.#cursor) this.#back(this.#cursor - target);
    else this.#write(this.#text.slice(this.#cursor, target));
    this.#cursor = target;
  }

  /** Replaces part of the line; the cursor comes behind what is put in. */
  #replace(start: number, end: number, by: string): void {
    const tail = this.#text.slice(end);
    this.#move(start);
    this.#text = this.#text.slice(0, start) + by + tail;
    this.#write(`${by}${tail}${end > start ? '\x1b[K' : ''}`);
    this.#back(tail.length);
    this.#cursor = start + by.length;
  }

  #back(columns: number): void {
    if (columns > 0) this.#write(`\x1b[${columns}D`);
  }
}
