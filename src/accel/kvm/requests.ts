/** A file descriptor of KVM with requests by name. */
import { Request, type RequestName } from './abi.js';
import { KvmError } from './error.js';
import type { HostCalls } from './host-calls.js';

const EINTR = 4;
/** Who sends so many signals wants this thread to do something else. */
const MOST_SIGNALS = 1000;

/** Making a VM, among others, has to be begun anew when a signal comes. */
function uninterrupted(call: () => number): number {
  let result = call();
  for (let i = 0; result === -EINTR && i < MOST_SIGNALS; i++) result = call();
  return result;
}

export class KvmDescriptor {
  #closed = false;

  constructor(
    readonly calls: HostCalls,
    readonly fd: number,
  ) {}

  /** A request with a number; gives the call's result. */
  number(name: RequestName, argument = 0, detail = ''): number {
    return this.check(
      name,
      uninterrupted(() => this.calls.ioctl(this.fd, Request[name], argument)),
      detail,
    );
  }

  /** A request with a structure, which the kernel may fill. */
  bytes(name: RequestName, argument: Uint8Array, detail = ''): Uint8Array {
    this.bytesResult(name, argument, detail);
    return argument;
  }

  /** The same for calls whose result says something. */
  bytesResult(name: RequestName, argument: Uint8Array, detail = ''): number {
    return this.check(
      name,
      uninterrupted(() => this.calls.ioctlBytes(this.fd, Request[name], argument)),
      detail,
    );
  }

  check(name: string, result: number, detail = ''): number {
    if (result < 0) throw new KvmError(name, -result, this.calls.errnoName(-result), detail);
    return result;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.calls.close(this.fd);
  }

  closeSoon(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.calls.closeSoon(this.fd);
  }
}
