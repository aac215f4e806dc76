/** A text screen on a terminal: what changed, as escape sequences (ECMA-48, with xterm's alternate screen). */
import type { GraphicConsole, TextScreen } from './console.js';
import { CP437 } from './cp437.js';

const CSI = '\x1b[';
/** Colours of a VGA (blue is bit 0) in the order of terminals (red is bit 0). */
const TERMINAL_COLORS = [0, 4, 2, 6, 1, 5, 3, 7] as const;
/** A cell that no screen has: forces a redraw. */
const UNKNOWN = -1;
const BLANK = 0x0720;

export class TerminalScreen {
  #columns: number;
  #rows: number;
  /** What the terminal shows, cell by cell. */
  #shown: Int32Array;
  #cursor = '';
  #blink = false;

  constructor(columns: number, rows: number) {
    this.#columns = columns;
    this.#rows = rows;
    this.#shown = new Int32Array(columns * rows).fill(UNKNOWN);
  }

  /** To the alternate screen, empty. */
  start(): string {
    this.#shown.fill(UNKNOWN);
    this.#cursor = '';
    return `${CSI}?1049h${CSI}?25l${CSI}0m${CSI}2J`;
  }

  /** Back to what the terminal showed before. */
  stop(): string {
    return `${CSI}0m${CSI}?25h${CSI}?1049l`;
  }

  /** The terminal has another size now. */
  resize(columns: number, rows: number): string {
    this.#columns = columns;
    this.#rows = rows;
    this.#shown = new Int32Array(columns * rows).fill(UNKNOWN);
    this.#cursor = '';
    return `${CSI}0m${CSI}2J`;
  }

  /** What brings the terminal to the console's picture; of a graphics mode it shows the size. */
  update(console: GraphicConsole): string {
    const text = console.text();
    if (text) return this.#show(text);
    const { surface } = console.refresh();
    return this.#show(message(`${surface.width} x ${surface.height} Graphic mode`, this.#columns, this.#rows));
  }

  #show(screen: TextScreen): string {
    const out: string[] = [];
    if (screen.blink !== this.#blink) this.#shown.fill(UNKNOWN);
    this.#blink = screen.blink;
    // A small terminal shows the part with the cursor.
    const top = Math.max(0, Math.min((screen.cursor?.row ?? 0) - this.#rows + 1, screen.rows - this.#rows));
    let attribute = UNKNOWN;
    for (let y = 0; y < this.#rows; y++) {
      let at = UNKNOWN;
      for (let x = 0; x < this.#columns; x++) {
        const inside = y + top < screen.rows && x < screen.columns;
        const cell = inside ? screen.cells[(y + top) * screen.columns + x]! : BLANK;
        if (this.#shown[y * this.#columns + x] === cell) continue;
        this.#shown[y * this.#columns + x] = cell;
        if (at !== x) out.push(`${CSI}${y + 1};${x + 1}H`);
        if (attribute !== cell >> 8) {
          attribute = cell >> 8;
          out.push(sgr(attribute, screen.blink));
        }
        out.push(CP437[cell & 0xff]!);
        at = x + 1;
      }
    }
    const { cursor } = screen;
    const shown = cursor && cursor.column < this.#columns && cursor.row - top < this.#rows;
    const move = shown ? `${CSI}${cursor.row - top + 1};${cursor.column + 1}H${CSI}?25h` : `${CSI}?25l`;
    if (out.length > 0 || move !== this.#cursor) out.push(move);
    this.#cursor = move;
    // The cursor would run over the screen while it is drawn.
    if (out.length > 1) out.unshift(`${CSI}?25l`);
    return out.join('');
  }
}

/** Select Graphic Rendition for a VGA attribute. */
function sgr(attribute: number, blink: boolean): string {
  const fore = attribute & 15;
  const back = (attribute >> 4) & (blink ? 7 : 15);
  const codes = [
    0,
    (fore & 8 ? 90 : 30) + TERMINAL_COLORS[(fore & 7) as 0]!,
    (back & 8 ? 100 : 40) + TERMINAL_COLORS[(back & 7) as 0]!,
  ];
  if (blink && attribute & 0x80) codes.push(5);
  return `${CSI}${codes.join(';')}m`;
}

/** A screen with a line of text in its middle. */
function message(text: string, columns: number, rows: number): TextScreen {
  const cells = new Uint16Array(columns * rows).fill(BLANK);
  const row = Math.floor(rows / 2);
  const column = Math.max(0, Math.floor((columns - text.length) / 2));
  for (let i = 0; i < text.length && column + i < columns; i++)
    cells[row * columns + column + i] = (BLANK & 0xff00) | text.charCodeAt(i);
  return { columns, rows, cells, cursor: null, blink: false };
}
