/** A drive: what a disk controller's device works with. It has a medium or not, and a policy for errors. */
import { UserError } from '../base/errors.js';
import { BlockError, type BlockNode, type Completion, isZero } from './node.js';
import { OverlayNode } from './overlay.js';

/** What happens when the host fails: tell the guest, pretend success, or pause the machine and retry when it goes on. */
export type ErrorPolicy = 'report' | 'ignore' | 'stop' | 'enospc';

export interface DriveOptions {
  readonly id: string;
  readonly rerror?: ErrorPolicy;
  readonly werror?: ErrorPolicy;
  /** False makes every write wait for a flush (cache=writethrough). The guest may change it. */
  readonly writeCache?: boolean;
  /** Flushes do nothing (cache=unsafe). */
  readonly unsafe?: boolean;
  /** What the guest discards is given back to the host. */
  readonly discard?: boolean;
  /** Writes of zeroes become storage that is known to be zero (`on`), or is given back too (`unmap`). */
  readonly detectZeroes?: 'off' | 'on' | 'unmap';
  /** Another machine still has the image: what it is like, until `takeBack`. */
  readonly lent?: LentMedium;
}

/** A medium whose image is closed. */
export interface LentMedium {
  readonly length: number;
  readonly readOnly: boolean;
}

/** The device that a drive is plugged into. */
export interface DriveUser {
  /** Whether media come and go. */
  readonly removable: boolean;
  /** The guest keeps the tray shut. */
  readonly locked?: boolean;
  readonly trayOpen?: boolean;
  /** The medium was changed or taken out. */
  mediumChanged?(): void;
  /** The medium has become longer or shorter. */
  resized?(): void;
  /** The user asks for the medium of a locked tray. */
  ejectRequested?(): void;
}

/** What a device may do with its drive. Ranges outside the medium fail with EINVAL; no medium fails with ENOMEDIUM. */
export interface BlockBackend {
  readonly id: string;
  /** Bytes of the medium; 0 without one. */
  readonly length: number;
  readonly readOnly: boolean;
  readonly inserted: boolean;
  writeCache: boolean;
  /** What happens when the host fails, in place of what the drive was opened with. */
  setPolicy(policy: { readonly rerror?: ErrorPolicy; readonly werror?: ErrorPolicy }): void;
  attach(user: DriveUser | null): void;
  read(offset: number, into: Uint8Array): Completion;
  write(offset: number, from: Uint8Array): Completion;
  flush(): Completion;
  discard(offset: number, length: number): Completion;
  /** With `unmap`, storage may be given back. */
  writeZeroes(offset: number, length: number, unmap: boolean): Completion;
  /** The guest opens the tray: takes the medium out. */
  eject(): void;
}

/** What a device with a `drive` property is given. */
export interface DriveContext {
  /** The drive with this id; '' gives an empty one. Throws UserError for unknown ids. */
  drive(id: string): BlockBackend;
}

export interface DriveStatistics {
  readBytes: number;
  readOperations: number;
  writtenBytes: number;
  writeOperations: number;
  flushOperations: number;
}

export class Drive implements BlockBackend {
  readonly id: string;
  writeCache: boolean;
  readonly statistics: DriveStatistics = {
    readBytes: 0,
    readOperations: 0,
    writtenBytes: 0,
    writeOperations: 0,
    flushOperations: 0,
  };
  /** Called when the error policy wants the machine paused. */
  onStop: (error: BlockError) => void = () => {};
  /** A medium that was taken out could not be written back. */
  onCloseFailure: (error: UserError) => void = () => {};

  #rerror: ErrorPolicy;
  #werror: ErrorPolicy;
  readonly #unsafe: boolean;
  readonly #discard: boolean;
  readonly #detectZeroes: 'off' | 'on' | 'unmap';
  #node: BlockNode | null;
  /** What the medium is like while its image is closed for another machine's sake. */
  #lent: LentMedium | null;
  #user: DriveUser | null = null;
  #inFlight = 0;
  #idle: (() => void)[] = [];
  /** Operations that failed and wait for `resume`. */
  #stopped: { retry(): void; giveUp(): void }[] = [];

  constructor(node: BlockNode | null, options: DriveOptions) {
    this.#node = node;
    this.id = options.id;
    this.#lent = options.lent ?? null;
    this.#rerror = options.rerror ?? 'report';
    this.#werror = options.werror ?? 'enospc';
    this.writeCache = options.writeCache ?? true;
    this.#unsafe = options.unsafe ?? false;
    this.#discard = options.discard ?? true;
    this.#detectZeroes = options.detectZeroes ?? 'off';
  }

  get length(): number {
    return this.#node?.length ?? this.#lent?.length ?? 0;
  }

  get readOnly(): boolean {
    return this.#node?.readOnly ?? this.#lent?.readOnly ?? false;
  }

  get inserted(): boolean {
    return this.#node !== null || this.#lent !== null;
  }

  /** The root of the drive's graph. */
  get node(): BlockNode | null {
    return this.#node;
  }

  get user(): DriveUser | null {
    return this.#user;
  }

  /** Operations are under way; those that wait for `resume` do not count. */
  get busy(): boolean {
    return this.#inFlight > 0;
  }

  setPolicy({ rerror, werror }: { readonly rerror?: ErrorPolicy; readonly werror?: ErrorPolicy }): void {
    if (rerror) this.#rerror = rerror;
    if (werror) this.#werror = werror;
  }

  attach(user: DriveUser | null): void {
    if (user && this.#user) throw new UserError(`Drive '${this.id}' is already in use by another device`);
    this.#user = user;
  }

  read(offset: number, into: Uint8Array): Completion {
    this.statistics.readOperations++;
    this.statistics.readBytes += into.length;
    return this.#run(this.#rerror, (node) => {
      this.#check(node, offset, into.length);
      return node.read(offset, into);
    });
  }

  write(offset: number, from: Uint8Array): Completion {
    this.statistics.writeOperations++;
    this.statistics.writtenBytes += from.length;
    const written = this.#run(this.#werror, (node) => {
      if (node.readOnly) throw new BlockError('EROFS', `'${node.filename}' is read-only`);
      this.#check(node, offset, from.length);
      if (this.#detectZeroes !== 'off' && isZero(from)) {
        return node.writeZeroes(offset, from.length, this.#detectZeroes === 'unmap' && this.#discard);
      }
      return node.write(offset, from);
    });
    return this.#through(written);
  }

  writeZeroes(offset: number, length: number, unmap: boolean): Completion {
    this.statistics.writeOperations++;
    this.statistics.writtenBytes += length;
    const written = this.#run(this.#werror, (node) => {
      if (node.readOnly) throw new BlockError('EROFS', `'${node.filename}' is read-only`);
      this.#check(node, offset, length);
      return node.writeZeroes(offset, length, unmap && this.#discard);
    });
    return this.#through(written);
  }

  flush(): Completion {
    this.statistics.flushOperations++;
    if (this.#unsafe || !this.#node) return undefined;
    return this.#run(this.#werror, (node) => node.flush());
  }

  discard(offset: number, length: number): Completion {
    return this.#run(this.#werror, (node) => {
      if (node.readOnly) throw new BlockError('EROFS', `'${node.filename}' is read-only`);
      this.#check(node, offset, length);
      return this.#discard ? node.discard(offset, length) : undefined;
    });
  }

  eject(): void {
    this.#setMedium(null);
  }

  /** `change` and `eject` of the monitor. Throws UserError when the guest has the tray locked, unless forced. */
  changeMedium(node: BlockNode | null, force = false): void {
    const user = this.checkRemovable();
    if (user.locked && !user.trayOpen && !force) {
      user.ejectRequested?.();
      throw new UserError(
        `Device '${this.id}' is locked and force was not specified, wait for tray to open and try again`,
      );
    }
    this.#setMedium(node);
    user.mediumChanged?.();
  }

  /** Throws UserError where the medium stays. */
  checkRemovable(): DriveUser {
    if (!this.#user?.removable) throw new UserError(`Device '${this.id}' is not removable`);
    return this.#user;
  }

  /** Makes the medium longer or shorter, and tells the device. Throws UserError where that cannot be. */
  async resize(bytes: number): Promise<void> {
    const node = this.#node;
    if (!node) throw new UserError(`Device '${this.id}' has no medium`);
    if (node.readOnly) throw new UserError(`Device '${this.id}' is read only`);
    if (bytes % 512 !== 0 || bytes < 0) throw new UserError(`a size of ${bytes} bytes is not a number of sectors`);
    await this.drained();
    await this.#run('report', () => node.truncate(bytes));
    this.#user?.resized?.();
  }

  /** Writes a temporary overlay back; does nothing without one. */
  commit(): Completion {
    return this.#node instanceof OverlayNode ? this.#node.commit() : undefined;
  }

  /** The machine goes on: what failed is tried again. */
  resume(): void {
    const waiting = this.#stopped;
    this.#stopped = [];
    for (const { retry } of waiting) retry();
  }

  /** Whether something failed and waits for `resume`. */
  get waiting(): boolean {
    return this.#stopped.length > 0;
  }

  /** What waits for `resume` fails: nobody wants it any more. */
  abandon(): void {
    const waiting = this.#stopped;
    this.#stopped = [];
    for (const { giveUp } of waiting) giveUp();
  }

  /**
   * Closes the image so that another machine can have it; to the guest, which stands still meanwhile, the medium stays. Does
   * nothing when `node` is not what the drive has.
   */
  async lend(node: BlockNode): Promise<void> {
    await this.drained();
    if (this.#node !== node) return;
    this.#lent = { length: node.length, readOnly: node.readOnly };
    this.#node = null;
    await node.close();
  }

  /** Whether the image is closed for another machine's sake. */
  get lent(): boolean {
    return this.#lent !== null;
  }

  /** The image is opened again. */
  takeBack(node: BlockNode): void {
    this.#lent = null;
    this.#node = node;
  }

  /** Settles when no operation is under way (those that wait for `resume` aside). */
  drained(): Promise<void> {
    return this.#inFlight === 0 ? Promise.resolve() : new Promise((resolve) => this.#idle.push(resolve));
  }

  dispose(): void {
    this.#setMedium(null);
  }

  /** Takes the node away for good and closes it once all is written back. */
  async close(): Promise<void> {
    await this.drained();
    const node = this.#node;
    this.#node = null;
    await node?.close();
  }

  /** Without a write cache a write is done once it is safe. */
  #through(written: Completion): Completion {
    if (this.writeCache) return written;
    return written ? written.then(() => this.flush()) : this.flush();
  }

  #setMedium(node: BlockNode | null): void {
    const old = this.#node;
    this.#node = node;
    this.#lent = null;
    if (!old) return;
    const report = (error: unknown): void => {
      if (!(error instanceof UserError)) throw error;
      this.onCloseFailure(error);
    };
    try {
      old.close()?.catch(report);
    } catch (error) {
      report(error);
    }
  }

  #check(node: BlockNode, offset: number, length: number): void {
    if (offset < 0 || offset + length > node.length)
      throw new BlockError('EINVAL', `bytes ${offset} to ${offset + length} are outside '${node.filename}'`);
  }

  #run(policy: ErrorPolicy, operation: (node: BlockNode) => Completion): Completion {
    const node = this.#node;
    if (!node) throw new BlockError('ENOMEDIUM', `there is no medium in '${this.id}'`);
    let completion: Completion;
    try {
      completion = operation(node);
    } catch (error) {
      return this.#failed(policy, operation, error);
    }
    if (!completion) return undefined;
    this.#inFlight++;
    return completion
      .finally(() => {
        if (--this.#inFlight > 0) return;
        const idle = this.#idle;
        this.#idle = [];
        for (const tell of idle) tell();
      })
      .catch((error: unknown) => this.#failed(policy, operation, error));
  }

  #failed(policy: ErrorPolicy, operation: (node: BlockNode) => Completion, error: unknown): Completion {
    if (!(error instanceof BlockError)) throw error;
    // Ranges and write protection are the guest's mistakes; no policy applies.
    const hosts = error.errno === 'ENOSPC' || error.errno === 'EACCES' || error.errno === 'EIO';
    if (hosts && policy === 'ignore') return undefined;
    if (hosts && (policy === 'stop' || (policy === 'enospc' && error.errno === 'ENOSPC'))) {
      this.onStop(error);
      return new Promise<void>((retry, reject) => this.#stopped.push({ retry, giveUp: () => reject(error) })).then(() =>
        this.#run(policy, operation),
      );
    }
    throw error;
  }
}
