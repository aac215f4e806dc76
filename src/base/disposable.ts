/** Ownership of what must be released: files, sockets, timers, subscriptions. */

export interface Disposable {
  /** Releases; a second call does nothing. */
  dispose(): void;
}

/** Owns others; disposes them last first. */
export class DisposableStore implements Disposable {
  #owned: Disposable[] = [];
  #disposed = false;

  /** Takes ownership and gives `item` back. Disposed at once when the store is already disposed. */
  add<T extends Disposable>(item: T): T {
    if (this.#disposed) item.dispose();
    else this.#owned.push(item);
    return item;
  }

  dispose(): void {
    this.#disposed = true;
    for (let item = this.#owned.pop(); item; item = this.#owned.pop()) item.dispose();
  }
}

export function toDisposable(release: () => void): Disposable {
  let done = false;
  return {
    dispose() {
      if (done) return;
      done = true;
      release();
    },
  };
}
