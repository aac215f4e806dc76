/** The groups of rows, in the order in which they are measured. */

import { boot } from './boot-rows.js';
import { commands } from './command-rows.js';
import { memory, start } from './resource-rows.js';
import type { Session } from './session.js';
import { suite32, suite64 } from './suite-rows.js';

export interface GroupOfRows {
  readonly name: string;
  readonly workloads: readonly string[];
  measure(session: Session): Promise<void>;
}

export const GROUPS: readonly GroupOfRows[] = [start, boot, suite64, commands, memory, suite32];
