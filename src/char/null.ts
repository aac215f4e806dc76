import type { CharBackend, CharFrontend } from './backend.js';

/** Takes everything, gives nothing. */
export class NullBackend implements CharBackend {
  readonly type = 'null';
  readonly filename = 'null';

  attach(frontend: CharFrontend | null): void {
    frontend?.event?.('opened');
  }

  write(data: Uint8Array): number {
    return data.length;
  }

  acceptInput(): void {}
}
