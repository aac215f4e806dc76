/** Every helper of the x86 runtime, numbered. */
import { Bug } from '../../../base/errors.js';
import { INTEGER_HELPERS } from './integer.js';
import { SSE_HELPER_TABLES } from './sse.js';
import { SSE_FLOAT_HELPER_TABLES } from './sse-float.js';
import { STRING_HELPERS } from './string.js';
import { SYSTEM_HELPERS } from './system.js';
import type { HelperKind, HelperTable } from './table.js';
import { X87_HELPER_TABLES } from './x87.js';

export const HELPER_TABLES: readonly HelperTable[] = [
  INTEGER_HELPERS,
  SYSTEM_HELPERS,
  STRING_HELPERS,
  ...X87_HELPER_TABLES,
  ...SSE_HELPER_TABLES,
  ...SSE_FLOAT_HELPER_TABLES,
];

export interface Helper {
  readonly id: number;
  readonly name: string;
  readonly kind: HelperKind;
  readonly module: string;
}

/** All helpers; a helper's number is its index. */
export const HELPERS: readonly Helper[] = HELPER_TABLES.flatMap((t) =>
  t.helpers.map(([name, kind]) => ({ name, kind, module: t.module })),
).map((h, id) => ({ id, ...h }));

const byName = new Map(HELPERS.map((h) => [h.name, h]));
if (byName.size !== HELPERS.length) throw new Bug('two helpers share a name');

/** The helper called `name`. */
export function helper(name: string): Helper {
  const found = byName.get(name);
  if (found === undefined) throw new Bug(`no helper ${name}`);
  return found;
}
