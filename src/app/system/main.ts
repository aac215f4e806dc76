/** The commands `tinamou-system-x86_64` and `tinamou-system-i386`. */
import { fork } from 'node:child_process';
import { DisposableStore } from '../../base/disposable.js';
import { UserError } from '../../base/errors.js';
import { Monitor } from '../../control/hmp/monitor.js';
import { growYoungHeap, optimizeLater } from '../../host/node/engine-flags.js';
import { writePidFile } from '../../host/node/pid-file.js';
import { inSources } from '../../host/node/source-places.js';
import { assemble } from '../lib/assemble.js';
import { CursesDisplay, VirtualConsole } from '../lib/consoles.js';
import { openLog } from '../lib/logging.js';
import { monitorContext, version } from '../lib/monitor-context.js';
import { addDefaults, parseArguments } from '../options/parse.js';
import type { Wishes } from '../options/wishes.js';

export { giveVcpuThread } from '../../host/node/kvm/vcpu-thread.js';
export { giveTickerThread } from '../../host/node/ticker.js';
export { giveEarlyState } from '../lib/state-ahead.js';

/** Signals that end the emulator in an orderly way, and their numbers. */
const SIGNALS = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;
type Signal = keyof typeof SIGNALS;

/** Runs the command to its end and gives its exit status. What it opened is closed then. */
export async function main(
  program: string,
  architecture: Wishes['architecture'],
  args: readonly string[],
): Promise<number> {
  const owned = new DisposableStore();
  const complain = (text: string): void => {
    process.stderr.write(`${program}: ${text}\n`);
  };
  /** On every way out, also by `process.exit` and when something is thrown at nobody. */
  const cleanUp = (): void => owned.dispose();
  const crashed = (error: unknown): void => {
    cleanUp();
    complain(describeCrash(error));
    process.exit(1);
  };
  /** Writes back what the images' nodes have cached. */
  let closeImages: () => Promise<void> = async () => {};
  const signalled = (signal: Signal): void => {
    complain(`terminating on signal ${SIGNALS[signal]}`);
    void closeImages().finally(() => {
      cleanUp();
      process.exit(0);
    });
  };
  // Timers and sockets may all be idle while the machine is stopped: that is no reason to end.
  const alive = setInterval(() => {}, 2 ** 30);
  process.on('exit', cleanUp);
  process.on('uncaughtException', crashed);
  process.on('unhandledRejection', crashed);
  for (const signal of Object.keys(SIGNALS) as Signal[]) process.on(signal, signalled);
  try {
    const parsed = parseArguments(program, architecture, args, `Tinamou emulator version ${version()}\n`);
    if ('text' in parsed) {
      process.stdout.write(parsed.text);
      return 0;
    }
    const { wishes } = parsed;
    if (wishes.daemonize && !process.send) return await daemonize(wishes);
    if (wishes.processName !== undefined) process.title = wishes.processName;
    addDefaults(wishes, process.stdin.isTTY === true && process.stdout.isTTY === true);
    const consoles: VirtualConsole[] = [];
    const virtualConsole = (id: string): VirtualConsole => {
      const console = new VirtualConsole(id);
      consoles.push(console);
      return console;
    };
    owned.add(openLog(wishes));
    const machine = owned.add(await assemble(wishes, { note: complain, virtualConsole }));
    // The command has done so already, but under KVM: the thread of a vCPU started meanwhile, which V8's flags would have made slower.
    growYoungHeap();
    if (machine.kvm) optimizeLater();
    closeImages = async () => {
      for (const failure of await machine.closeDrives()) complain(failure);
    };
    for (const warning of machine.warnings) complain(`warning: ${warning}`);
    if (wishes.pidFile !== undefined) owned.add(writePidFile(wishes.pidFile));
    const context = monitorContext(machine, version());
    for (const port of machine.monitorPorts) new Monitor(port, context);
    if (wishes.display === 'curses') owned.add(new CursesDisplay(machine.display, consoles, context.keys));
    const running = machine.run();
    // A machine that waits for its state is there already for monitors.
    const waiting = machine.saving.begin();
    if (wishes.incoming === undefined) await Promise.race([waiting, running]);
    if (!wishes.paused && wishes.incoming === undefined) machine.machine.lifecycle.start();
    if (wishes.daemonize) detach();
    const end = await Promise.race([running, waiting.then(() => running)]);
    await closeImages();
    return end.exitCode;
  } catch (error) {
    cleanUp();
    complain(error instanceof UserError ? error.message : describeCrash(error));
    return 1;
  } finally {
    clearInterval(alive);
    cleanUp();
    for (const signal of Object.keys(SIGNALS) as Signal[]) process.off(signal, signalled);
    process.off('exit', cleanUp);
    process.off('uncaughtException', crashed);
    process.off('unhandledRejection', crashed);
  }
}

/** Starts the same command again in the background and ends as soon as that one has its machine, or has failed. */
function daemonize({ chardevs, noGraphic, display }: Wishes): Promise<number> {
  if (noGraphic) throw new UserError('-nographic cannot be used with -daemonize: use -display none');
  if (display === 'curses') throw new UserError('-display curses cannot be used with -daemonize: use -display none');
  const stdio = chardevs.find((c) => c.spec.type === 'stdio');
  if (stdio) throw new UserError(`${stdio.origin}: cannot use stdio with -daemonize: use another backend`);
  const child = fork(process.argv[1]!, process.argv.slice(2), {
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  child.stderr!.pipe(process.stderr);
  return new Promise((resolve) => {
    child.on('message', () => resolve(0));
    child.on('exit', (status) => resolve(status ?? 1));
  });
}

/** Nobody listens any more to what a daemon says. */
function detach(): void {
  process.stderr.on('error', () => {});
  process.send?.('ready');
  process.disconnect?.();
}

/** An error of our own in one line; TINAMOU_STACK=1 asks for the whole trace. */
function describeCrash(error: unknown): string {
  if (!(error instanceof Error)) return `internal error: ${String(error)}`;
  const stack = inSources(error.stack ?? '');
  if (process.env['TINAMOU_STACK']) return `internal error: ${stack}`;
  const place = /(?:[\s(/])((?:dist|src)\/[^\s()]+)/.exec(stack)?.[1] ?? 'an unknown place';
  return `internal error: ${error.message.split('\n')[0]} (at ${place}); please report it, with TINAMOU_STACK=1 set`;
}
