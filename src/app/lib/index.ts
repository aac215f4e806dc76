/**
 * The library: a whole machine from TypeScript.
 *
 *     const vm = await VirtualMachine.create({ kernel, initrd, append: 'console=ttyS0', memory: '256M', cpu: 'max' });
 *     vm.start();
 *     await vm.serial.waitFor('/ # ');
 *     console.log(await vm.serial.run('uname -a', '/ # '));
 *     await vm.dispose();
 */
import { UserError } from '../../base/errors.js';
import type { KvmReport, MonitorContext } from '../../control/hmp/context.js';
import { runCommand } from '../../control/hmp/monitor.js';
import { CP437 } from '../../display/cp437.js';
import { keyCombination } from '../../display/keys.js';
import { toPng, toPpm } from '../../display/screendump.js';
import { keysFor } from '../../display/terminal-keys.js';
import type { X86Registers } from '../../guest/x86/registers.js';
import type { RunState, Shutdown } from '../../machine/lifecycle.js';
import { addDefaults, parseArguments } from '../options/parse.js';
import { type Assembled, assemble } from './assemble.js';
import { openLog } from './logging.js';
import { loadMachine, type MachineState, saveMachine } from './machine-state.js';
import { monitorContext, version } from './monitor-context.js';
import { SerialConsole } from './serial-console.js';

export { UserError } from '../../base/errors.js';
export type { KvmReport } from '../../control/hmp/context.js';
export { exitsSince, exitTable } from '../../control/hmp/info-kvm.js';
export type { RunState, Shutdown } from '../../machine/lifecycle.js';
export type { MachineState } from './machine-state.js';
export { SerialConsole, TimeoutError, type WaitOptions } from './serial-console.js';

/** What machine to make. Values are those of the options of the same name of `tinamou-system-x86_64`. */
export interface VirtualMachineOptions {
  /** Machine type and properties; default `pc`. */
  readonly machine?: string;
  /** Processor model and features; default `qemu64`. */
  readonly cpu?: string;
  /** RAM: `256M`, `1G`; default 128 MiB. */
  readonly memory?: string;
  /** Number of processors; default 1. */
  readonly smp?: number;
  /** Kernel image to start without firmware, its initial RAM disk and its command line. */
  readonly kernel?: string;
  readonly initrd?: string;
  readonly append?: string;
  /** Firmware image, when there is no kernel. */
  readonly bios?: string;
  /** Values of `-drive`: `file=disk.img,format=raw`. */
  readonly drives?: readonly string[];
  /**
   * How guest code runs: `both` tiers (default), `interpreter` or `compiled` alone; `stress`: both, with code and translations
   * thrown away at random, for tests.
   */
  readonly tier?: 'both' | 'interpreter' | 'compiled' | 'stress';
  /** Any other options, as on the command line. `-serial` here replaces `serial`. */
  readonly args?: readonly string[];
  /**
   * Is told, a line each, what the command would say: why an accelerator was passed over, which features a processor lacks, what made a
   * running machine stop. To standard error when nothing is given.
   */
  readonly note?: (text: string) => void;
}

export class VirtualMachine {
  /** The first serial port. */
  readonly serial: SerialConsole;
  /** Resolves when the guest, or `quit`, has ended the machine; rejects on an internal error. */
  readonly ended: Promise<Shutdown>;
  readonly #assembled: Assembled;
  readonly #monitor: MonitorContext;
  readonly #log: { dispose(): void };
  #disposed = false;

  private constructor(assembled: Assembled, serial: SerialConsole, log: { dispose(): void }, coming: Promise<void>) {
    this.#assembled = assembled;
    this.#log = log;
    this.serial = serial;
    this.#monitor = monitorContext(assembled, version());
    // A machine that waits for something is no reason for the process to end.
    const alive = setInterval(() => {}, 2 ** 30);
    const running = assembled.run();
    // A state that is awaited and does not come is an end, too.
    this.ended = Promise.race([running, coming.then(() => running)]).finally(() => clearInterval(alive));
    this.ended.then(
      ({ cause }) => serial.close(cause),
      (error: unknown) => serial.close(String(error)),
    );
  }

  /** Makes a machine, stopped before its first instruction. Throws UserError when it cannot be had. */
  static async create(options: VirtualMachineOptions): Promise<VirtualMachine> {
    const parsed = parseArguments('tinamou', 'x86_64', toArguments(options), version());
    if ('text' in parsed) throw new UserError('help and -version are for the command line: leave them out of args');
    const { wishes } = parsed;
    const serial = new SerialConsole();
    const given = wishes.defaults.serial && wishes.board.name !== 'none';
    wishes.defaults.serial = false;
    wishes.defaults.monitor = false;
    if (given) wishes.serials.unshift({ chardev: 'serial0', origin: '' });
    wishes.display = 'none';
    addDefaults(wishes, false);
    const log = openLog(wishes);
    try {
      // What a machine does that waits for its state is for `start` and `stop` to say.
      wishes.paused = true;
      const note = options.note ?? ((text) => void process.stderr.write(`tinamou: ${text}\n`));
      const assembled = await assemble(wishes, { backends: given ? { serial0: serial } : {}, note });
      for (const warning of assembled.warnings) note(`warning: ${warning}`);
      const coming = assembled.saving.begin();
      // Only from a socket may it take its time.
      if (!/^(tcp|unix):|^defer$/.test(wishes.incoming ?? '')) {
        await coming.catch((error: unknown) => {
          assembled.dispose();
          throw error;
        });
      }
      return new VirtualMachine(assembled, serial, log, coming);
    } catch (error) {
      log.dispose();
      throw error;
    }
  }

  get state(): RunState {
    return this.#lifecycle.state;
  }

  /** Starts the machine, or lets it go on. */
  start(): void {
    this.#lifecycle.start();
  }

  /** Stops the machine between two instructions; `start` lets it go on. */
  stop(): void {
    this.#lifecycle.pause();
  }

  /** Presses the reset button. */
  reset(): void {
    this.#lifecycle.reset('host-qmp-system-reset');
  }

  /** Presses the power button: the guest may shut itself down. */
  powerdown(): void {
    this.#lifecycle.powerdown();
  }

  /** A register of a processor: `rax`, `rip`, `rflags`, `cr3`. Exact while the machine is stopped. */
  register(name: string, cpu = 0): bigint {
    return this.#registers(cpu).get(name);
  }

  setRegister(name: string, value: bigint, cpu = 0): void {
    this.#registers(cpu).set(name, value);
  }

  /** Guest-physical memory. */
  readMemory(address: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    this.#assembled.machine.system.read(address, bytes);
    return bytes;
  }

  writeMemory(address: number, bytes: Uint8Array): void {
    this.#assembled.machine.system.write(address, bytes);
  }

  /** What is on the screen, as an image file. Throws UserError without a display adapter. */
  screenshot(format: 'png' | 'ppm' = 'png'): Uint8Array {
    const { surface } = this.#display.refresh();
    return format === 'png' ? toPng(surface, this.#monitor.deflate) : toPpm(surface);
  }

  /** The lines on the screen in text mode; undefined in graphics modes. */
  screenText(): string[] | undefined {
    const screen = this.#display.text();
    if (!screen) return undefined;
    return Array.from({ length: screen.rows }, (_, y) => {
      const row = screen.cells.subarray(y * screen.columns, (y + 1) * screen.columns);
      return Array.from(row, (cell) => CP437[cell & 0xff]!)
        .join('')
        .trimEnd();
    });
  }

  /** Presses keys together on the machine's keyboard: `ctrl-alt-f1`. */
  sendKey(combination: string): void {
    const keys = keyCombination(combination);
    if (!keys) throw new UserError(`unknown key in '${combination}': names are those of the monitor's sendkey`);
    this.#monitor.keys?.send(keys);
  }

  /** Types a text on the machine's keyboard (US layout). */
  type(text: string): void {
    for (const character of text) {
      const keys = keysFor(character);
      if (!keys) throw new UserError(`a US keyboard has no key for '${character}'`);
      this.#monitor.keys?.send(keys, 10);
    }
  }

  /** What `info kvm` and `info exits` show, as data; undefined under tcg. */
  exits(): KvmReport | undefined {
    return this.#monitor.kvm();
  }

  /** Runs a command of the monitor and gives what it prints. Throws UserError, also for commands that take time. */
  monitor(command: string): string {
    const text = runCommand(this.#monitor, command);
    if (typeof text === 'string') return text;
    text.catch(() => {});
    throw new UserError(`the command '${command}' takes time: use monitorAsync`);
  }

  /** The same for any command, such as `change`. */
  async monitorAsync(command: string): Promise<string> {
    return runCommand(this.#monitor, command);
  }

  /** The whole state of a stopped machine, but for what is on its drives. Throws UserError while it runs. */
  saveState(): MachineState {
    this.#mustStand();
    return saveMachine(this.#assembled);
  }

  /** Puts a stopped machine into a state that one of the same options had, under whichever accelerator. */
  restoreState(state: MachineState): void {
    this.#mustStand();
    loadMachine(this.#assembled, state);
  }

  /** Ends the machine and releases everything: files, sockets, memory. */
  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#assembled.quit();
    await this.ended.catch(() => {});
    await this.#assembled.closeDrives();
    this.#assembled.dispose();
    this.#log.dispose();
  }

  #mustStand(): void {
    if (this.#lifecycle.running) throw new UserError('the machine runs: stop it first');
  }

  get #lifecycle(): Assembled['machine']['lifecycle'] {
    return this.#assembled.machine.lifecycle;
  }

  get #display(): NonNullable<Assembled['display']> {
    const { display } = this.#assembled;
    if (!display) throw new UserError('this machine has no display adapter: use -vga std');
    return display;
  }

  #registers(cpu: number): X86Registers {
    const registers = this.#assembled.registers[cpu];
    if (!registers) throw new UserError(`this machine has no processor ${cpu}`);
    return registers;
  }
}

function toArguments(o: VirtualMachineOptions): string[] {
  const args: string[] = [];
  const add = (option: string, value: string | number | undefined): void => {
    if (value !== undefined) args.push(option, String(value));
  };
  add('-machine', o.machine);
  add('-accel', o.tier && `tcg,tier=${o.tier}`);
  add('-cpu', o.cpu);
  add('-m', o.memory);
  add('-smp', o.smp);
  add('-kernel', o.kernel);
  add('-initrd', o.initrd);
  add('-append', o.append);
  add('-bios', o.bios);
  for (const drive of o.drives ?? []) add('-drive', drive);
  return [...args, ...(o.args ?? [])];
}
