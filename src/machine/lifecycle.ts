/**
 * The life of a machine: created, running, paused, suspended, shut down. Requests come from devices in the middle of a
 * guest instruction and from monitors; they are kept and take effect in `service()`, between slices of guest code.
 */
import { Event } from '../base/event.js';
import type { SystemRequests } from './device-type.js';

/** QEMU's names (`info status`, query-status). */
export type RunState =
  | 'prelaunch'
  | 'running'
  | 'paused'
  | 'suspended'
  | 'shutdown'
  | 'guest-panicked'
  | 'internal-error'
  | 'io-error'
  | 'debug';

export type ResetCause = 'guest-reset' | 'host-qmp-system-reset';
export type ShutdownCause =
  | 'guest-shutdown'
  | 'guest-reset'
  | 'guest-panic'
  | 'host-qmp-quit'
  | 'host-signal'
  | 'host-ui';

export interface Shutdown {
  readonly cause: ShutdownCause;
  /** What the process should exit with. */
  readonly exitCode: number;
}

export interface LifecycleOptions {
  /** `-no-reboot`: a reset shuts down. */
  readonly noReboot?: boolean;
  /** `-no-shutdown`: a shutdown stops the machine and keeps it. */
  readonly noShutdown?: boolean;
}

export interface LifecycleHooks {
  /** Puts every device and processor to its reset state. */
  reset(cause: ResetCause): void;
  /** Virtual time starts or stops. */
  setRunning(running: boolean): void;
  /** Leave guest code soon: a request waits. */
  kick(): void;
}

export class Lifecycle implements SystemRequests {
  readonly stateChanged = new Event<RunState>();
  /** The guest, or the user, ended the machine. Fired once unless `noShutdown`. */
  readonly ended = new Event<Shutdown>();
  readonly resetDone = new Event<ResetCause>();
  /** Someone pressed the power button. */
  readonly powerdownRequested = new Event<void>();
  /** The guest wakes from S3. */
  readonly wakeupRequested = new Event<void>();
  #state: RunState = 'prelaunch';
  #reset: ResetCause | undefined;
  #shutdown: Shutdown | undefined;
  #stop: RunState | undefined;

  constructor(
    private readonly hooks: LifecycleHooks,
    private readonly options: LifecycleOptions = {},
  ) {}

  get state(): RunState {
    return this.#state;
  }

  get running(): boolean {
    return this.#state === 'running';
  }

  /** Whether `service` has something to do. */
  get pending(): boolean {
    return this.#reset !== undefined || this.#shutdown !== undefined || this.#stop !== undefined;
  }

  /** Runs on, or for the first time. After a shutdown only a reset helps. */
  start(): void {
    if (this.#state === 'shutdown' || this.#state === 'suspended') return;
    this.#enter('running');
  }

  /** Stops between slices. */
  pause(state: RunState = 'paused'): void {
    this.#stop = state;
    if (this.running) this.hooks.kick();
    else this.service();
  }

  reset(cause: ResetCause): void {
    this.#reset ??= cause;
    this.#requested();
  }

  shutdown(cause: ShutdownCause, exitCode = 0): void {
    this.#shutdown ??= { cause, exitCode };
    this.#requested();
  }

  suspend(): void {
    this.#stop = 'suspended';
    this.#requested();
  }

  panicked(action: 'pause' | 'run'): void {
    if (action === 'run') return;
    this.#stop = 'guest-panicked';
    this.#requested();
  }

  powerdown(): void {
    this.powerdownRequested.fire();
  }

  /** Ends S3: the guest goes on at its firmware's reset vector. */
  wakeup(): void {
    if (this.#state !== 'suspended') return;
    this.wakeupRequested.fire();
    this.#enter('running');
  }

  /** Does what was asked for. Call between slices. */
  service(): void {
    const cause = this.#reset;
    if (cause) {
      this.#reset = undefined;
      if (this.options.noReboot && cause === 'guest-reset') this.#shutdown ??= { cause, exitCode: 0 };
      else {
        this.hooks.reset(cause);
        if (this.#state === 'shutdown' || this.#state === 'suspended') this.#enter('paused');
        this.resetDone.fire(cause);
      }
    }
    const shutdown = this.#shutdown;
    if (shutdown) {
      this.#shutdown = undefined;
      this.#enter('shutdown');
      if (!this.options.noShutdown || shutdown.cause.startsWith('host-')) this.ended.fire(shutdown);
    }
    const stop = this.#stop;
    if (stop) {
      this.#stop = undefined;
      if (this.#state !== 'shutdown') this.#enter(stop);
    }
  }

  /** A request from outside while nothing runs takes effect at once. */
  #requested(): void {
    this.hooks.kick();
    if (!this.running) this.service();
  }

  #enter(state: RunState): void {
    if (state === this.#state) return;
    const ran = this.running;
    this.#state = state;
    if (ran !== this.running) this.hooks.setRunning(this.running);
    this.stateChanged.fire(state);
  }
}
