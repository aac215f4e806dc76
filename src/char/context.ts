import type { CharBackend } from './backend.js';

/** What a device with a `chardev` property is given: the backends that the user named. */
export interface CharContext {
  /** The backend with this id; '' gives one that takes everything and gives nothing. Throws UserError for unknown ids. */
  chardev(id: string): CharBackend;
}
