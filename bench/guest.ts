/** A machine that a benchmark drives through its serial console: a child process, whose standard streams are the console. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { UserError } from '../src/base/errors.js';

/** The shell's prompt. */
export const PROMPT = '/ # ';
const TIMEOUT_MS = 300_000;

/** How to start a machine. */
export interface Command {
  readonly program: string;
  readonly args: readonly string[];
}

export interface Answer {
  /** From sending the command to its end, by the guest's clock setting. */
  readonly seconds: number;
  /** What the command printed. */
  readonly text: string;
}

/**
 * What seconds are: of the host's clock, or of the host's processors, all of the process's threads together. The second
 * depends less on what else the host does: for comparisons while others work on the same machine.
 */
export type Clock = 'wall' | 'process';

/** Units of the kernel's accounts of processes, a second (sysconf(_SC_CLK_TCK), 100 on every Linux). */
const TICKS = 100;

/** What the kernel's console says when the host has kept a guest from running for too long, or it is broken. */
const PANIC = 'Kernel panic - not syncing';

/** Machines that run: none outlives this process, however it ends. */
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130));

interface Wait {
  readonly text: string;
  readonly done: (error?: Error) => void;
}

/** Of all threads of a process so far. */
export function processorSeconds(pid: number): number {
  // proc(5): the fields behind the command's name; utime and stime are the 14th and 15th of all.
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}

export class Guest {
  private text = '';
  private complaints = '';
  private wait: Wait | undefined;
  private readonly child: ChildProcess;
  private readonly started = performance.now();

  constructor(
    readonly name: string,
    command: Command,
    private readonly clock: Clock = 'wall',
  ) {
    this.child = spawn(command.program, command.args, { stdio: ['pipe', 'pipe', 'pipe'] });
    const ended = (why: string): void =>
      this.wait?.done(new UserError(`${name} ended (${why}): ${this.complaints.trim() || this.text.slice(-500)}`));
    this.child.stdout!.on('data', (data: Buffer) => {
      this.text += data.toString('latin1');
      if (this.wait && this.text.includes(this.wait.text)) this.wait.done();
      else if (this.text.includes(PANIC)) ended('its kernel panicked');
    });
    this.child.stderr!.on('data', (data: Buffer) => {
      this.complaints = (this.complaints + data.toString('latin1')).slice(-2000);
    });
    this.child.stdin!.on('error', () => {}); // the end of the process says it better
    this.child.on('error', (error) => ended(error.message));
    running.add(this.child);
    this.child.on('exit', () => running.delete(this.child));
    this.child.on('exit', (status, signal) => ended(signal ?? `status ${status}`));
  }

  /** Seconds since the process was started. */
  get age(): number {
    return this.clock === 'wall' ? (performance.now() - this.started) / 1000 : this.processorSeconds;
  }

  /** Of all the process's threads, user and system. */
  get processorSeconds(): number {
    return processorSeconds(this.child.pid!);
  }

  /** Resolves when `text` has come since the last command, with the age then. */
  until(text: string, timeoutMs = TIMEOUT_MS): Promise<number> {
    return new Promise((resolve, reject) => {
      const done = (error?: Error): void => {
        clearTimeout(timer);
        this.wait = undefined;
        if (error) reject(error);
        else resolve(this.age);
      };
      const timer = setTimeout(() => {
        const last = this.text.slice(-300);
        done(new UserError(`${this.name}: no '${text}' within ${timeoutMs / 1000} s; its last output: ${last}`));
      }, timeoutMs);
      this.wait = { text, done };
      if (this.text.includes(text)) done();
      else if (this.child.exitCode !== null) done(new UserError(`${this.name} has ended: ${this.complaints}`));
    });
  }

  /** Sends a line to the shell; what came before is forgotten. */
  send(line: string): void {
    this.text = '';
    this.child.stdin!.write(`${line}\n`);
  }

  /**
   * Runs a shell command; throws when it fails. The shell puts the end mark together, so that its echo is not one.
   * `timed`: what the command prints when the time to be measured begins and ends, if that is not the whole command.
   */
  async run(command: string, timed?: { readonly from: string; readonly to: string }): Promise<Answer> {
    let start = this.age;
    this.send(`${command}; echo e""nd=$?`);
    if (timed) start = await this.until(timed.from);
    const end = await this.until(timed?.to ?? '\nend=');
    await this.until('\nend=');
    await this.until(PROMPT);
    const mark = this.text.indexOf('\nend=');
    const text = this.text.slice(this.text.indexOf('\n') + 1, mark + 1).replaceAll('\r', '');
    const status = Number.parseInt(this.text.slice(mark + 5), 10);
    if (status !== 0) throw new UserError(`${this.name}: '${command}' failed (status ${status}): ${text.slice(-300)}`);
    return { seconds: end - start, text };
  }

  /** What Tinamou's monitor answers to a command; the console is the guest's again then. */
  async monitor(command: string): Promise<string> {
    this.text = '';
    this.child.stdin!.write('\x01c');
    await this.until('(qemu) ');
    this.text = '';
    this.child.stdin!.write(`${command}\n`);
    await this.until('\n(qemu) ');
    const answer = this.text.slice(this.text.indexOf('\n') + 1, this.text.lastIndexOf('(qemu) ')).replaceAll('\r', '');
    this.child.stdin!.write('\x01c');
    return answer;
  }

  /** MiB of memory in use now and at most. */
  memory(): { readonly now: number; readonly peak: number } {
    const status = readFileSync(`/proc/${this.child.pid}/status`, 'utf8');
    const field = (key: string): number => Number(new RegExp(`${key}:\\s+(\\d+) kB`).exec(status)?.[1] ?? 0) / 1024;
    return { now: field('VmRSS'), peak: field('VmHWM') };
  }

  /** Ends the process and waits until it has gone. */
  stop(): Promise<void> {
    return new Promise((resolve) => {
      if (this.child.exitCode !== null || this.child.signalCode !== null) return resolve();
      this.child.once('exit', () => resolve());
      this.child.kill('SIGKILL');
    });
  }
}
