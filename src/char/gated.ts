/** A backend whose input waits while the device that it is for is about to get another state. */
import type { CharBackend, CharFrontend, SerialLine } from './backend.js';

export class GatedBackend implements CharBackend {
  /** `closed`: input is to wait. Whoever changes that calls `acceptInput`. */
  constructor(
    private readonly below: CharBackend,
    private readonly closed: () => boolean,
  ) {}

  get type(): string {
    return this.below.type;
  }

  get filename(): string {
    return this.below.filename;
  }

  attach(frontend: CharFrontend | null): void {
    this.below.attach(
      frontend && {
        canReceive: () => (this.closed() ? 0 : frontend.canReceive()),
        receive: (data) => frontend.receive(data),
        event: (event) => frontend.event?.(event),
        writable: () => frontend.writable?.(),
      },
    );
  }

  write(data: Uint8Array): number {
    return this.below.write(data);
  }

  acceptInput(): void {
    this.below.acceptInput();
  }

  setLine(line: SerialLine): void {
    this.below.setLine?.(line);
  }

  setBreak(on: boolean): void {
    this.below.setBreak?.(on);
  }

  dispose(): void {
    this.below.dispose?.();
  }
}
