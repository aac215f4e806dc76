/** Files that remember what was done to them, and what is left of them after a stop. */
import { MemoryNode } from '../../src/block/memory.js';
import type { Completion } from '../../src/block/node.js';

export type Step =
  | { readonly kind: 'write'; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly kind: 'truncate'; readonly length: number }
  | { readonly kind: 'flush' };

/** A file in memory that remembers what was done to it. */
export class RecordingNode extends MemoryNode {
  readonly steps: Step[] = [];

  override write(offset: number, from: Uint8Array): Completion {
    this.steps.push({ kind: 'write', offset, bytes: from.slice() });
    return super.write(offset, from);
  }
  override truncate(length: number): Completion {
    this.steps.push({ kind: 'truncate', length });
    return super.truncate(length);
  }
  override writeZeroes(offset: number, length: number): Completion {
    return this.write(offset, new Uint8Array(length));
  }
  override discard(): Completion {
    return undefined;
  }
  override flush(): Completion {
    this.steps.push({ kind: 'flush' });
    return undefined;
  }
  override close(): Completion {
    return undefined;
  }
}

export function replay(steps: readonly Step[]): MemoryNode {
  const file = new MemoryNode(0);
  for (const s of steps) {
    if (s.kind === 'write') file.write(s.offset, s.bytes);
    else if (s.kind === 'truncate') file.truncate(s.length);
  }
  file.close = () => undefined;
  return file;
}

/** The file after `end` steps, of which those since the last flush came in any order, or not at all. */
export function shuffled(steps: readonly Step[], end: number, random: (below: number) => number): Step[] {
  let from = end;
  while (from > 0 && steps[from - 1]!.kind !== 'flush') from--;
  const tail = steps.slice(from, end).filter((s) => s.kind !== 'write' || random(3) > 0);
  // Writes to the same place stay in order: a host's cache holds the last.
  for (let i = tail.length - 1; i > 0; i--) {
    const j = random(i + 1);
    const [a, b] = [tail[i]!, tail[j]!];
    const apart = (x: Step, y: Step): boolean =>
      x.kind === 'write' &&
      y.kind === 'write' &&
      (x.offset + x.bytes.length <= y.offset || y.offset + y.bytes.length <= x.offset);
    if (
      tail.slice(j, i + 1).every((s) => s === a || apart(s, a)) &&
      tail.slice(j, i + 1).every((s) => s === b || apart(s, b))
    ) {
      tail[i] = b;
      tail[j] = a;
    }
  }
  return [...steps.slice(0, from), ...tail];
}
