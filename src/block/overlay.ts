import { BaseNode, type BlockNode, type Completion, Exclusive, sequence } from './node.js';

const CLUSTER = 1 << 16;

/**
 * A temporary copy-on-write layer (`snapshot=on`): reads come from the base until something is written, writes go to a
 * store that grows (memory or a temporary file), in clusters of 64 KiB. `commit` writes them back to the base.
 */
export class OverlayNode extends BaseNode {
  readonly driver = 'overlay';
  readonly readOnly = false;
  readonly #base: BlockNode;
  readonly #store: BlockNode;
  /** Cluster of the disk to cluster of the store. */
  readonly #clusters = new Map<number, number>();
  /** Writes run one after the other: two of them might copy the same cluster. */
  readonly #writing = new Exclusive();
  readonly #cluster = new Uint8Array(CLUSTER);

  constructor(base: BlockNode, store: BlockNode) {
    super();
    this.#base = base;
    this.#store = store;
    this.children = [
      { role: 'backing', node: base },
      { role: 'file', node: store },
    ];
  }

  get filename(): string {
    return this.#base.filename;
  }

  get length(): number {
    return this.#base.length;
  }

  read(offset: number, into: Uint8Array): Completion {
    const parts: Promise<void>[] = [];
    this.#eachRun(offset, into.length, (at, length, node, from) => {
      const part = node.read(from, into.subarray(at, at + length));
      if (part) parts.push(part);
    });
    return parts.length > 0 ? Promise.all(parts).then(() => {}) : undefined;
  }

  override write(offset: number, from: Uint8Array): Completion {
    return this.#writing.run(() => this.#writeFrom(offset, from, 0));
  }

  /** Writes everything that changed to the base. */
  commit(): Completion {
    const clusters = [...this.#clusters];
    const next = (i: number): Completion => {
      for (; i < clusters.length; i++) {
        const [cluster, at] = clusters[i]!;
        const start = cluster * CLUSTER;
        const data = this.#cluster.subarray(0, Math.min(CLUSTER, this.length - start));
        const done = sequence(this.#store.read(at * CLUSTER, data), () => this.#base.write(start, data));
        if (done) return done.then(() => next(i + 1));
      }
      this.#clusters.clear();
      return this.#base.flush();
    };
    return this.#writing.run(() => next(0));
  }

  #writeFrom(offset: number, from: Uint8Array, at: number): Completion {
    while (at < from.length) {
      const cluster = Math.floor((offset + at) / CLUSTER);
      const start = (offset + at) % CLUSTER;
      const n = Math.min(CLUSTER - start, from.length - at);
      const data = from.subarray(at, at + n);
      at += n;
      const known = this.#clusters.get(cluster);
      const done =
        known === undefined
          ? this.#copyCluster(cluster, start, data)
          : this.#store.write(known * CLUSTER + start, data);
      if (done) {
        const rest = at;
        return done.then(() => this.#writeFrom(offset, from, rest));
      }
    }
    return undefined;
  }

  #copyCluster(cluster: number, start: number, data: Uint8Array): Completion {
    const at = this.#clusters.size;
    const whole = this.#cluster;
    const base = data.length < CLUSTER ? this.#base.read(cluster * CLUSTER, whole) : undefined;
    return sequence(base, () => {
      whole.set(data, start);
      return sequence(this.#store.write(at * CLUSTER, whole), () => {
        this.#clusters.set(cluster, at);
        return undefined;
      });
    });
  }

  /** Splits a range where it changes between base and store. */
  #eachRun(
    offset: number,
    length: number,
    run: (at: number, length: number, node: BlockNode, from: number) => void,
  ): void {
    for (let at = 0; at < length; ) {
      const first = Math.floor((offset + at) / CLUSTER);
      const known = this.#clusters.get(first);
      const start = (offset + at) % CLUSTER;
      let end = at + CLUSTER - start;
      if (known === undefined)
        while (end < length && !this.#clusters.has(Math.floor((offset + end) / CLUSTER))) end += CLUSTER;
      end = Math.min(end, length);
      if (known === undefined) run(at, end - at, this.#base, offset + at);
      else run(at, end - at, this.#store, known * CLUSTER + start);
      at = end;
    }
  }
}
