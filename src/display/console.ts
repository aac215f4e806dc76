/** What a display adapter offers to whoever shows its picture: curses, screendump, VNC, a canvas. */
import type { Surface } from './surface.js';

/** A screen of characters in code page 437 with VGA attributes. */
export interface TextScreen {
  readonly columns: number;
  readonly rows: number;
  /** Row by row: the character in bits 0 to 7, the attribute in bits 8 to 15 (background 15:12, foreground 11:8). */
  readonly cells: Uint16Array;
  /** Null while it is off. */
  readonly cursor: { readonly column: number; readonly row: number } | null;
  /** Attribute bit 7 blinks the character instead of brightening its background. */
  readonly blink: boolean;
}

/** Rows that changed since the refresh before, `end` not included; both 0 when none did. */
export interface Refresh {
  readonly surface: Surface;
  readonly start: number;
  readonly end: number;
}

export interface GraphicConsole {
  /** Redraws what the guest changed. The surface is a new one when the guest's resolution changed. */
  refresh(): Refresh;
  /** The characters on the screen; null in graphics modes. */
  text(): TextScreen | null;
}
