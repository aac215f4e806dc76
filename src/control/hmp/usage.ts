/** How commands take their words, and say that they were called the wrong way. */
import { UserError } from '../../base/errors.js';

export const words = (text: string): string[] => text.split(/\s+/).filter(Boolean);

/** A command was called the wrong way: the user is sent to its help. */
export class Usage extends UserError {
  constructor(
    message: string,
    readonly command: string,
  ) {
    super(message);
  }
}
