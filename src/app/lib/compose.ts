/** Puts a machine together from an accelerator, a board and this host: the one composition root of command and library. */
import { getRandomValues } from 'node:crypto';
import type { Accelerator } from '../../accel/accelerator.js';
import { InstructionClock } from '../../accel/instruction-clock.js';
import type { KvmAccelerator } from '../../accel/kvm/accelerator.js';
import type { IrqchipMode } from '../../accel/kvm/irqchip-mode.js';
import { USUAL_TUNING, type VmTuning } from '../../accel/kvm/vm-tuning.js';
import { runLoop } from '../../accel/run-loop.js';
import { SteadyClock } from '../../accel/steady-clock.js';
import { LinearMemory } from '../../accel/tcg/linear-memory.js';
import { TcgAccelerator, type Ticker } from '../../accel/tcg/tcg.js';
import { UserError } from '../../base/errors.js';
import type { BlockBackend } from '../../block/drive.js';
import type { BoardType, BuiltBoard, MachineOptions } from '../../boards/index.js';
import type { CharBackend } from '../../char/backend.js';
import type { GuestArchitecture } from '../../guest/guest.js';
import type { CpuConfig } from '../../guest/x86/cpu-models.js';
import { type CpuTopology, installCpu } from '../../guest/x86/cpuid-leaves.js';
import { X86Registers } from '../../guest/x86/registers.js';
import { compileThread } from '../../host/node/compile-thread.js';
import { NodeEventLoop } from '../../host/node/event-loop.js';
import { adviseHugePages } from '../../host/node/huge-pages.js';
import { runtimeModule } from '../../host/node/runtime-module.js';
import { startTicker } from '../../host/node/ticker.js';
import { monotonicNs, NODE_TIME } from '../../host/node/time-source.js';
import { type HostFolder, noFolders } from '../../machine/host-folder.js';
import type { Shutdown } from '../../machine/lifecycle.js';
import { MachineClocks } from '../../machine/machine-clocks.js';
import type { MadeBlock } from '../../memory/memory.js';
import type { AcceleratorName } from '../options/wishes.js';
import { applyBootState } from './apply-boot-state.js';
import { kvmAccelerator } from './kvm.js';
import type { Logged } from './logging.js';

/** Region head entries before a region is compiled (docs/performance.md has the measurement). */
export const DEFAULT_HOT_THRESHOLD = 2000;

export interface Composition {
  readonly guest: GuestArchitecture;
  readonly board: BoardType;
  readonly machine: MachineOptions;
  /** Backends by id. Throws UserError for an id it does not know. */
  chardev(id: string): CharBackend;
  drive?(id: string): BlockBackend;
  /** Drives wait for the host. */
  readonly drivesBusy?: () => boolean;
  /** Folders of the host by id. */
  folder?(id: string): HostFolder;
  /** Whether an -object of this id gives random numbers; the host's generator is behind all of them. */
  isGenerator?(id: string): boolean;
  /** Whether there is an -object iothread of this id. */
  isIoThread?(id: string): boolean;
  /** Firmware images that devices want (`vgabios-stdvga.bin`). */
  firmwareImage?(name: string): Uint8Array | null;
  readonly cpu: CpuConfig;
  readonly topology: CpuTopology;
  /** From `guestMemory`, where somebody fills it already. */
  readonly memory?: LinearMemory;
  /** Infinity: the interpreter alone. */
  readonly hotThreshold?: number;
  /** Seed of random disturbances, for tests. */
  readonly stress?: number;
  /** Virtual time follows instructions, 2^shift ns each; guest code is interpreted then. */
  readonly icount?: { readonly shift: number; readonly sleep: boolean };
  /** What runs guest code; tcg when nothing is said. */
  readonly accelerator?: AcceleratorName;
  /** Where kvm has its interrupt controllers; `on` when nothing is said. */
  readonly irqchip?: IrqchipMode;
  /** What else is asked of kvm. */
  readonly tuning?: VmTuning;
  /** Whether the chipset may use system management mode, where the accelerator has it; yes when nothing is said. */
  readonly smm?: boolean;
  /** RAM or ROM is there; the devices are not yet. */
  ramMade?(block: MadeBlock, accelerator: TcgAccelerator): void;
  /** The processors are there; nothing has been reset yet. */
  created?(made: Logged): void;
  /** Tells the user what an accelerator has to say. */
  readonly report?: (text: string) => void;
}

export interface Composed extends BuiltBoard {
  /** Keeps memory and the processors' records, and runs guest code unless `kvm` does. */
  readonly accelerator: TcgAccelerator;
  readonly kvm?: KvmAccelerator;
  /** One per vCPU; true after `synchronize`. */
  readonly registers: readonly X86Registers[];
  /** Brings the records of processors that run elsewhere up to date. */
  synchronize(): void;
  /** Runs until the machine has ended, and says why. */
  run(): Promise<Shutdown>;
  /** Ends `run` (as `quit` does). */
  quit(exitCode?: number): void;
}

/** For an accelerator that runs no slices itself: a thread less to start. */
const noTicker = (): Ticker => ({ arm() {}, disarm() {}, dispose() {} });

/** The memory that a machine of so many processors will have. */
export function guestMemory(guest: GuestArchitecture, cpus: number): LinearMemory {
  const layout = new LinearMemory(cpus, guest.stateSize);
  adviseHugePages(layout.memory);
  return layout;
}

export function compose(c: Composition): Composed {
  const events = new NodeEventLoop();
  // A timer armed nearer than the end of the running slice ends it.
  let endSlice: () => void = () => {};
  const clocks = new MachineClocks(NODE_TIME, () => {
    endSlice();
    events.wake();
  });
  const accelerator = new TcgAccelerator({
    guest: c.guest,
    layout: c.memory ?? guestMemory(c.guest, c.machine.cpus),
    runtime: runtimeModule(c.accelerator !== 'kvm'),
    vcpus: c.machine.cpus,
    hotThreshold: c.icount ? Number.POSITIVE_INFINITY : (c.hotThreshold ?? DEFAULT_HOT_THRESHOLD),
    ...(c.stress !== undefined && { stress: c.stress }),
    countInstructions: c.icount !== undefined,
    smm: c.smm ?? true,
    startTicker: c.accelerator === 'kvm' ? noTicker : startTicker,
    compileThread,
    monotonic: monotonicNs,
    inReal: (ns) => steady?.inReal(ns) ?? ns,
  });
  const icount = c.icount && new InstructionClock(() => accelerator.executed, c.icount.shift, c.icount.sleep);
  if (icount) clocks.driveVirtual(() => icount.now());
  const steady =
    icount || c.accelerator === 'kvm' ? undefined : new SteadyClock(monotonicNs, () => accelerator.ownWorkNs);
  if (steady) clocks.driveVirtual(() => steady.now());
  const view = new DataView(accelerator.memory.buffer);
  for (const v of accelerator.vcpus) installCpu(view, v.state, c.cpu, c.topology, v.index);
  const registers = accelerator.vcpus.map((v) => new X86Registers(accelerator.memory, v.state, accelerator.runtime));
  const kvmOptions = {
    irqchip: c.irqchip ?? 'on',
    smm: c.smm ?? true,
    tuning: c.tuning ?? USUAL_TUNING,
    cpu: c.cpu,
  } as const;
  const kvm = c.accelerator === 'kvm' ? kvmAccelerator(accelerator, kvmOptions, c.report ?? (() => {})) : undefined;
  const runner: Accelerator = kvm ?? accelerator;
  // Under KVM guest code runs beside this thread, which sees to its timers at once.
  if (!kvm) endSlice = () => accelerator.kick();
  c.created?.({ guest: c.guest, accelerator, registers });
  const entropy = new Uint32Array(1);
  const random = (): number => getRandomValues(entropy)[0]!;
  const built = c.board.create(c.machine, {
    accelerator: runner,
    clocks,
    chardev: (id) => c.chardev(id),
    drive: (id) => {
      const found = c.drive?.(id);
      if (!found) throw new UserError(`drive '${id}' not found: define it with -drive`);
      return found;
    },
    folder: (id) => (c.folder ? c.folder(id) : noFolders.folder(id)),
    firmwareImage: (name) => c.firmwareImage?.(name) ?? null,
    enter: (state) => applyBootState(registers[0]!, state),
    random,
    generator: (id) => {
      if (id !== '' && !c.isGenerator?.(id))
        throw new UserError(`Device '${id}' not found: define it with -object rng-builtin`);
      return random;
    },
    isIoThread: (id) => c.isIoThread?.(id) ?? false,
    wake: () => events.wake(),
    ramMade: (block) => c.ramMade?.(block, accelerator),
  });
  const { lifecycle } = built.machine;
  let ended: Shutdown | undefined;
  lifecycle.ended.subscribe((shutdown) => {
    ended = shutdown;
    events.wake();
  });
  lifecycle.stateChanged.subscribe(() => events.wake());
  return {
    ...built,
    accelerator,
    ...(kvm && { kvm }),
    registers,
    synchronize: () => kvm?.synchronize(),
    async run() {
      await runLoop(
        {
          accelerator: runner,
          clocks,
          lifecycle,
          events,
          icount,
          steady,
          answersDue: c.drivesBusy,
          // A processor's thread under KVM asks for this one at any time.
          naps: !kvm,
          onStop: (end) => {
            // A triple fault resets the machine, as the chipset of a PC does.
            if (end.reason === 'shutdown') {
              lifecycle.reset('guest-reset');
              return;
            }
            if (end.reason === 'badCode') {
              c.report?.(
                `processor ${end.vcpu} runs code outside RAM and ROM at 0x${end.address.toString(16)}: the machine stops (info registers of the monitor tells more)`,
              );
            }
            lifecycle.pause(end.reason === 'debug' ? 'debug' : 'internal-error');
          },
        },
        () => ended !== undefined,
      );
      return ended!;
    },
    quit: (exitCode = 0) => lifecycle.shutdown('host-qmp-quit', exitCode),
  };
}
