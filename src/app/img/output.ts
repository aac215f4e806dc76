/** How numbers, JSON and progress are printed: as qemu-img does. */
import { UserError } from '../../base/errors.js';
import type { InfoValue } from '../../block/format.js';
import type { Command } from './context.js';

/** Of --output. Throws UserError. */
export function outputFormat(c: Command): 'human' | 'json' {
  const output = c.options.get('output') ?? 'human';
  if (output !== 'human' && output !== 'json')
    throw new UserError('--output must be used with human or json as argument.');
  return output;
}

/** Objects with one member a line, four spaces a level, and a space between elements of short lists. */
export function toJson(value: InfoValue, level = 0): string {
  const indent = '    '.repeat(level + 1);
  const end = `\n${'    '.repeat(level)}`;
  if (Array.isArray(value)) {
    const list = value as readonly InfoValue[];
    if (list.length === 0) return `[${end}]`;
    return `[\n${list.map((v) => indent + toJson(v, level + 1)).join(',\n')}${end}]`;
  }
  if (typeof value === 'object') {
    const members = Object.entries(value as Readonly<Record<string, InfoValue>>);
    if (members.length === 0) return `{${end}}`;
    return `{\n${members.map(([k, v]) => `${indent}${JSON.stringify(k)}: ${toJson(v, level + 1)}`).join(',\n')}${end}}`;
  }
  return JSON.stringify(value);
}

/** The line of -p, which is written over as it grows. */
export class Progress {
  #last = -1;

  constructor(
    readonly enabled: boolean,
    readonly print: (text: string) => void,
  ) {
    this.at(0);
  }

  /** From 0 to 1. */
  at(fraction: number): void {
    const percent = Math.min(100, fraction * 100);
    if (!this.enabled || (percent < this.#last + 1 && percent < 100) || percent === this.#last) return;
    this.#last = percent;
    this.print(`    (${percent.toFixed(2)}/100%)\r`);
  }

  end(): void {
    if (!this.enabled) return;
    this.#last = -1;
    this.at(1);
    this.newline();
  }

  newline(): void {
    if (this.enabled) this.print('\n');
  }
}
