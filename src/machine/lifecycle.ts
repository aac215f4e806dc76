/**
 * The life of a machine: created, running, paused, suspended, shut down. Requests come from devices in the middle of a
 * guest instruction and from monitors; they are kept and take effect in `service()`, between slices of guest code.
 */
import { Event } from '../base/event.js';
import { traceEvents } from '../base/trace.js';
import type { SystemRequests } from './device-type.js';

/** QEMU's names (`info status`, query-status), and its numbers. */
const RUN_STATES = {
  debug: 0,
  inmigrate: 1,
  'internal-error': 2,
  'io-error': 3,
  paused: 4,
  postmigrate: 5,
  prelaunch: 6,
  'finish-migrate': 7,
  'restore-vm': 8,
  running: 9,
  'save-vm': 10,
  shutdown: 11,
  suspended: 12,
  'guest-panicked': 14,
} as const;
export type RunState = keyof typeof RUN_STATES;

export const LIFECYCLE_TRACE = traceEvents({ runstate_set: 'current_run_state %d (%s) new_state %d (%s)' });

/** The machine stands still for the sake of its state; it goes on when whoever asked for that says so. */
const BUSY: readonly RunState[] = ['save-vm', 'restore-vm', 'finish-migrate', 'inmigrate'];

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
  /** `hold` waits for the machine to stand still. */
  #holding = false;
  /** Someone asked to start (true) or stop while the state was being worked on. */
  #wanted: boolean | undefined;

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

  /** What it has been told to become: guest code may not have been left yet. */
  get told(): RunState {
    return this.#stop ?? this.#state;
  }

  /** Whether `service` has something to do. */
  get pending(): boolean {
    if (this.held) return this.#shutdownFromHost;
    return this.#reset !== undefined || this.#shutdown !== undefined || this.#stop !== undefined;
  }

  /** Runs on, or for the first time. After a shutdown only a reset helps. */
  start(): void {
    if (this.#state === 'shutdown' || this.#state === 'suspended') return;
    if (this.held || this.#holding) {
      this.#wanted = true;
      return;
    }
    // Who asked it to stop has changed his mind before it did.
    if (this.#stop === 'paused') this.#stop = undefined;
    this.#enter('running');
  }

  /** Stops between slices. */
  pause(state: RunState = 'paused'): void {
    if (this.held || this.#holding) {
      this.#wanted = false;
      return;
    }
    this.#stop = state;
    if (this.running) this.hooks.kick();
    else this.service();
  }

  /**
   * Makes the machine stand still for the sake of its state; `release` ends that. Resolves with the state it was in once it
   * does, or with undefined when it has ended or somebody else holds it.
   */
  async hold(state: 'save-vm' | 'restore-vm' | 'finish-migrate'): Promise<RunState | undefined> {
    if (this.held || this.#holding) return undefined;
    const ran = this.running && this.#stop === undefined;
    if (this.running) {
      this.#holding = true;
      await this.#stopped();
      this.#holding = false;
    }
    const before = this.#state;
    if (before === 'shutdown') return undefined;
    this.#enter(state);
    // It may have stopped for a reason of its own, which counts then.
    return ran && before === 'paused' ? 'running' : before;
  }

  /** A machine that waits for its state: nothing runs before `release`. */
  awaitState(): void {
    this.#enter('inmigrate');
  }

  /** Ends `hold` or `awaitState`: into this state, unless somebody asked for another meanwhile. */
  release(state: RunState): void {
    const wanted = this.#wanted;
    this.#wanted = undefined;
    if (wanted === true && state === 'paused') this.#enter('running');
    else if (wanted === false && state === 'running') this.#enter('paused');
    else this.#enter(state);
    this.service();
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

  /** Does what was asked for. Call between slices. While the state is being worked on, all but the end waits. */
  service(): void {
    if (this.held && !this.#shutdownFromHost) return;
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
    if (!this.running && !this.held) this.service();
  }

  get held(): boolean {
    return BUSY.includes(this.#state);
  }

  get #shutdownFromHost(): boolean {
    return this.#shutdown?.cause.startsWith('host-') ?? false;
  }

  /** Makes the machine stop. Resolves when it has. */
  #stopped(): Promise<void> {
    return new Promise((resolve) => {
      const listener = this.stateChanged.subscribe((now) => {
        if (now === 'running') return;
        listener.dispose();
        resolve();
      });
      this.#stop ??= 'paused';
      this.hooks.kick();
    });
  }

  #enter(state: RunState): void {
    if (state === this.#state) return;
    const ran = this.running;
    const { runstate_set: trace } = LIFECYCLE_TRACE;
    if (trace.enabled) trace.emit(RUN_STATES[this.#state], this.#state, RUN_STATES[state], state);
    this.#state = state;
    if (ran !== this.running) this.hooks.setRunning(this.running);
    this.stateChanged.fire(state);
  }
}
