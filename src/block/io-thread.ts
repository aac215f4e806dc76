/**
 * `-object iothread`: where QEMU lets a disk's I/O run beside the machine. Tinamou's runs in threads of the host anyway, so that the
 * object changes nothing; it is known and shown, and a device that names one that is not there is refused.
 */
import { UserError } from '../base/errors.js';
import { prop } from '../machine/property.js';

/** QEMU's, in the order in which `info iothreads` shows them. */
export const IO_THREAD_DEFAULTS = {
  'poll-max-ns': 32768,
  'poll-grow': 0,
  'poll-shrink': 0,
  'aio-max-batch': 0,
  'thread-pool-min': 0,
  'thread-pool-max': 64,
} as const;

export type IoThread = Readonly<Record<keyof typeof IO_THREAD_DEFAULTS, number>>;

export interface IoThreadContext {
  isIoThread(id: string): boolean;
}

export const IO_THREAD_PROPERTIES = {
  iothread: prop.str('object iothread; the I/O runs in threads of the host with any, and without one'),
} as const;

/** Throws UserError for one that is not there. */
export function requireIoThread(context: IoThreadContext, { iothread }: { readonly iothread: string }): void {
  if (iothread === '' || context.isIoThread(iothread)) return;
  throw new UserError(`Device '${iothread}' not found: define it with -object iothread`);
}
