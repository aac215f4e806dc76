/** Where code of a bundled command comes from, by the source map beside it (tools/commands.mjs). */
import { existsSync, readFileSync } from 'node:fs';
import { SourceMap } from 'node:module';

const maps = new Map<string, SourceMap | undefined>();

function mapOf(file: string): SourceMap | undefined {
  if (!maps.has(file)) {
    const path = `${file}.map`;
    maps.set(file, existsSync(path) ? new SourceMap(JSON.parse(readFileSync(path, 'utf8'))) : undefined);
  }
  return maps.get(file);
}

export interface SourcePlace {
  /** From the package's folder: `src/jit/jit.ts`. */
  readonly file: string;
  /** From 1. */
  readonly line: number;
}

/** The source of line and column (from 0) of a bundled file; undefined for other files. */
export function sourcePlace(file: string, line: number, column: number): SourcePlace | undefined {
  if (!/\/dist\/commands\/[^/]+\.cjs$/.test(file)) return undefined;
  const found = mapOf(file)?.findEntry(line, column);
  if (found === undefined || !('originalSource' in found)) return undefined;
  return { file: found.originalSource.replace(/^(\.\.\/)+/, ''), line: found.originalLine + 1 };
}

/** A stack trace whose places in bundled files are told as those of the sources. */
export function inSources(stack: string): string {
  return stack.replace(/(\/[^\s()]+\.cjs):(\d+):(\d+)/g, (text, file: string, line: string, column: string) => {
    const place = sourcePlace(file, Number(line) - 1, Number(column) - 1);
    return place ? `${place.file}:${place.line}` : text;
  });
}
