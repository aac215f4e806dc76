/** The groups of rows, in the order in which they are measured. */
import type { Session } from './session.js';
import { suite64 } from './suite-rows.js';

export interface GroupOfRows {
  readonly name: string;
  readonly workloads: readonly string[];
  measure(session: Session): Promise<void>;
}

export const GROUPS: readonly GroupOfRows[] = [suite64];
