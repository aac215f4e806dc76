/** Submission and completion queues in guest memory. NVM Express 1.4, chapter 4. */
import { putU16, putU32 } from '../../base/bytes.js';
import type { Dma } from '../../memory/io.js';
import { COMPLETION_BYTES, SUBMISSION_BYTES } from './structures.js';

export interface SubmissionQueue {
  readonly [key: string]: number;
  readonly id: number;
  readonly base: number;
  readonly size: number;
  readonly completion: number;
  head: number;
  tail: number;
  /** Commands that were fetched and have no completion yet. */
  working: number;
}

export interface CompletionQueue {
  readonly [key: string]: number | boolean;
  readonly id: number;
  readonly base: number;
  readonly size: number;
  readonly vector: number;
  readonly interrupts: boolean;
  head: number;
  tail: number;
  phase: number;
  /** Entries that commands under way will need. */
  reserved: number;
}

/** How a command ended. */
export interface Answer {
  readonly status: number;
  readonly result?: number;
}

export const submissionQueue = (id: number, base: number, size: number, completion: number): SubmissionQueue => ({
  id,
  base,
  size,
  completion,
  head: 0,
  tail: 0,
  working: 0,
});

export const completionQueue = (
  id: number,
  base: number,
  size: number,
  vector: number,
  interrupts: boolean,
): CompletionQueue => ({ id, base, size, vector, interrupts, head: 0, tail: 0, phase: 1, reserved: 0 });

/** The admin queues have 12 bits for their sizes. */
const LARGEST = 4096;
const isWhole = (n: number, most: number): boolean => Number.isInteger(n) && n >= 0 && n <= most;

/** Whether a saved queue is one: it may come from anywhere. */
export function isQueue({ id, base, size, head, tail }: SubmissionQueue | CompletionQueue): boolean {
  return (
    isWhole(id, 0xffff) &&
    isWhole(base, 2 ** 64) &&
    isWhole(size, LARGEST) &&
    size >= 2 &&
    isWhole(head, size - 1) &&
    isWhole(tail, size - 1)
  );
}

/** Whether one more command may be fetched: its completion needs a place. */
export const hasRoom = (cq: CompletionQueue): boolean =>
  ((cq.tail - cq.head + cq.size) % cq.size) + cq.reserved < cq.size - 1;

/** The next command of a queue that is not empty. */
export function fetch(sq: SubmissionQueue, dma: Dma): Uint8Array {
  const command = new Uint8Array(SUBMISSION_BYTES);
  dma.read(sq.base + SUBMISSION_BYTES * sq.head, command);
  sq.head = (sq.head + 1) % sq.size;
  return command;
}

export function complete(
  cq: CompletionQueue,
  sq: Pick<SubmissionQueue, 'id' | 'head'>,
  dma: Dma,
  { cid, status, result }: { readonly cid: number; readonly status: number; readonly result: number },
): void {
  const entry = new Uint8Array(COMPLETION_BYTES);
  putU32(entry, 0, result);
  putU16(entry, 8, sq.head);
  putU16(entry, 10, sq.id);
  putU16(entry, 12, cid);
  putU16(entry, 14, (status << 1) | cq.phase);
  dma.write(cq.base + COMPLETION_BYTES * cq.tail, entry);
  cq.tail++;
  if (cq.tail === cq.size) {
    cq.tail = 0;
    cq.phase ^= 1;
  }
}
