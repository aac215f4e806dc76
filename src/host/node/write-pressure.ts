/**
 * Whether the host would hold up who writes: Linux does so from the middle between its two limits of what is unwritten on
 * (`/proc/vmstat`, in pages). Asked before that, writes can go where waiting does no harm.
 */
import fs from 'node:fs';

/** How long an answer is good for, in ms and in bytes written since. */
const GOOD_MS = 20;
const GOOD_BYTES = 16 << 20;
/** Of the point from which on Linux holds up: others write too. */
const CAUTION = 0.9;

const FIELDS = ['nr_dirty', 'nr_writeback', 'nr_dirty_background_threshold', 'nr_dirty_threshold'] as const;

/** The text of /proc/vmstat; null where there is none. */
export function readVmstat(): () => string | null {
  const buffer = Buffer.alloc(32 << 10);
  let fd = -1;
  return () => {
    try {
      if (fd < 0) fd = fs.openSync('/proc/vmstat', 'r');
      return buffer.toString('latin1', 0, fs.readSync(fd, buffer, 0, buffer.length, 0));
    } catch {
      return null;
    }
  };
}

export class WritePressure {
  #until = Number.NEGATIVE_INFINITY;
  #bytes = 0;
  #high = false;

  constructor(
    private readonly read: () => string | null,
    /** Monotonic ms. */
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** So many bytes are to be written: whether that may have to wait. */
  before(bytes: number): boolean {
    this.#bytes += bytes;
    const now = this.now();
    if (now < this.#until && this.#bytes < GOOD_BYTES) return this.#high;
    this.#until = now + GOOD_MS;
    this.#bytes = 0;
    const text = this.read();
    const [dirty, writing, low, high] = FIELDS.map((name) =>
      Number(new RegExp(`^${name} (\\d+)`, 'm').exec(text ?? '')?.[1] ?? Number.NaN),
    ) as [number, number, number, number];
    this.#high = dirty + writing > ((low + high) / 2) * CAUTION;
    return this.#high;
  }
}
