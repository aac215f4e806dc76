/** Calls to files that may take long, made beside the caller. */
import fs from 'node:fs';
import { promisify } from 'node:util';
import { fileCalls } from './file-calls.js';

/** `buffer` is used until the call ends. What is rejected is as Node.js's own calls have it. */
export interface LongCalls {
  /** Each gives how many bytes. */
  read(fd: number, buffer: Uint8Array, offset: number): Promise<number>;
  write(fd: number, buffer: Uint8Array, offset: number): Promise<number>;
  flush(fd: number): Promise<void>;
  /** Each gives whether it worked; false where there are no such calls. */
  punchHole(fd: number, offset: number, length: number): Promise<boolean>;
  zeroRange(fd: number, offset: number, length: number): Promise<boolean>;
}

const readAsync = promisify(fs.read);
const writeAsync = promisify(fs.write);

/** By Node.js's pool of threads. */
export const POOL_CALLS: LongCalls = {
  read: async (fd, buffer, offset) => (await readAsync(fd, buffer, 0, buffer.length, offset)).bytesRead,
  write: async (fd, buffer, offset) => (await writeAsync(fd, buffer, 0, buffer.length, offset)).bytesWritten,
  flush: promisify(fs.fdatasync),
  punchHole: async (fd, offset, length) => (await fileCalls()?.punchHoleBeside(fd, offset, length)) ?? false,
  zeroRange: async (fd, offset, length) => (await fileCalls()?.zeroRangeBeside(fd, offset, length)) ?? false,
};
