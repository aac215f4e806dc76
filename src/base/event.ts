import { type Disposable, toDisposable } from './disposable.js';

/** A list of listeners. Listeners are called in the order they subscribed; one added during a call waits for the next. */
export class Event<T> {
  #listeners: readonly ((value: T) => void)[] = [];

  subscribe(listener: (value: T) => void): Disposable {
    this.#listeners = [...this.#listeners, listener];
    return toDisposable(() => {
      this.#listeners = this.#listeners.filter((l) => l !== listener);
    });
  }

  fire(value: T): void {
    for (const listener of this.#listeners) listener(value);
  }
}
