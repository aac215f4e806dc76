/** The three kinds of failure (docs: guest faults are values and have no class). */

/** A broken invariant of our own: never thrown for anything a user or a guest does. */
export class Bug extends Error {
  override readonly name = 'Bug';
}

/** A failure of the host or of what the user asked for; `message` is one line: the cause, then what to do about it. */
export class UserError extends Error {
  override readonly name = 'UserError';
}
