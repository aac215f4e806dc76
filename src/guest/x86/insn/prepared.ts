/** The rows' tables made ahead. The build puts them in place of this module where it bundles commands (tools/commands.mjs). */
import type { Prepared } from './prepare.js';

export const PREPARED: Prepared | undefined = undefined;
