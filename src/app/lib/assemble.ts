/** Carries out wishes: opens what they name, builds the machine, attaches monitors. */
import fs from 'node:fs';
import { DisposableStore, toDisposable } from '../../base/disposable.js';
import { UserError } from '../../base/errors.js';
import { Drive } from '../../block/drive.js';
import {
  DEFAULT_OPTIONS,
  type DeviceRequest,
  describeDeviceType,
  type IdeDriveRequest,
  type MachineOptions,
} from '../../boards/index.js';
import type { CharBackend } from '../../char/backend.js';
import { GatedBackend } from '../../char/gated.js';
import { NullBackend } from '../../char/null.js';
import type { GuestArchitecture } from '../../guest/guest.js';
import { type CpuConfig, hasFeature, parseCpu } from '../../guest/x86/cpu-models.js';
import { apicId } from '../../guest/x86/cpuid-leaves.js';
import { X86_64 } from '../../guest/x86/index.js';
import { findDataFile } from '../../host/node/data-files.js';
import { NodeFolder } from '../../host/node/folder.js';
import { hostReason } from '../../host/node/host-error.js';
import { readLater } from '../../host/node/late-file.js';
import { type HostFolder, noFolders } from '../../machine/host-folder.js';
import { MappedFolder } from '../../machine/mapped-folder.js';
import { splitCommas } from '../options/keyval.js';
import { within } from '../options/parse.js';
import type { Asked, FolderRequest, Wishes } from '../options/wishes.js';
import { Backends, type GivenBackends } from './backends.js';
import { type Composed, compose, DEFAULT_HOT_THRESHOLD, guestMemory } from './compose.js';
import { Images } from './images.js';
import { chooseAccelerator } from './kvm.js';
import { applyLogItems } from './logging.js';
import { NbdExports } from './nbd-exports.js';
import { Saving } from './saving.js';
import { StateAhead } from './state-ahead.js';

export interface Assembled extends Composed {
  readonly wishes: Wishes;
  readonly guest: GuestArchitecture;
  readonly backends: Backends;
  readonly drives: readonly Drive[];
  readonly images: Images;
  readonly saving: Saving;
  /** A saved machine in a file that this one is to become. */
  readonly stateAhead?: StateAhead;
  readonly nbd: NbdExports;
  /** Writes back what images have cached, and closes them, for the end; gives what went wrong. */
  closeDrives(): Promise<string[]>;
  /** Ports of the monitors, in the order of the wishes; nothing is attached to them yet. */
  readonly monitorPorts: readonly CharBackend[];
  readonly ramBytes: number;
  /** What was loaded before the guest ran, for `info roms`. */
  readonly roms: readonly { readonly address: number; readonly size: number; readonly name: string }[];
  /** What the user should know, one line each. */
  readonly warnings: readonly string[];
  dispose(): void;
}

/** What saving works on. */
export type SavedParts = Omit<Assembled, 'saving'>;

export interface AssembleOptions {
  readonly backends?: GivenBackends;
  /** Makes a virtual console (`vc`); without it, nobody sees those. */
  readonly virtualConsole?: (id: string) => CharBackend;
  /** Tells the user something while the machine is being put together. */
  readonly note?: (text: string) => void;
}

const DEFAULT_CPU = { x86_64: 'qemu64', i386: 'qemu32' } as const;
/** The 32-bit machine's processors have no long mode, whatever the model. */
const cpuText = (w: Wishes): string =>
  (w.cpu ?? DEFAULT_CPU[w.architecture]) + (w.architecture === 'i386' ? ',-lm' : '');
const STRESS_SEED = 0x2545f491;
const HOT_THRESHOLD = {
  both: DEFAULT_HOT_THRESHOLD,
  interpreter: Number.POSITIVE_INFINITY,
  compiled: 1,
  stress: 20,
} as const;
const FIRMWARE = { pc: 'bios-256k.bin', q35: 'bios-256k.bin', microvm: 'bios-microvm.bin', isapc: 'bios.bin' } as const;

/** Throws UserError, and then leaves nothing open. */
export async function assemble(wishes: Wishes, options: AssembleOptions = {}): Promise<Assembled> {
  const store = new DisposableStore();
  try {
    return await build(wishes, options, store);
  } catch (error) {
    store.dispose();
    throw error;
  }
}

async function build(w: Wishes, options: AssembleOptions, store: DisposableStore): Promise<Assembled> {
  const cpus = w.topology.sockets * w.topology.cores * w.topology.threads;
  if (cpus > w.board.maxCpus) {
    throw new UserError(
      `Invalid SMP CPUs ${cpus}. The max CPUs supported by machine '${w.board.name}' is ${w.board.maxCpus}`,
    );
  }
  const { name: accelerator, host } = chooseAccelerator(
    w.accelerators,
    { icount: w.icount !== undefined, cpus, irqchip: w.irqchip, smm: w.smm === 'on' },
    options.note ?? (() => {}),
  );
  // KVM places RAM by its own measure.
  const ownMemory = accelerator === 'tcg';
  const stateAhead = StateAhead.of(w.incoming, ownMemory ? cpus : undefined);
  if (stateAhead) store.add(stateAhead);
  const memory = ownMemory ? await stateAhead?.begin(() => guestMemory(X86_64, cpus)) : undefined;
  const cpu = within(w.cpu === undefined ? '' : `-cpu ${w.cpu}`, () => parseCpu(cpuText(w), host));
  const kernel = kernelOptions(w, cpu);
  const firmware = kernel ? undefined : firmwareImage(w);
  const backends = new Backends();
  store.add(toDisposable(() => backends.dispose()));
  let built: Composed | undefined;
  await backends.open(w.chardevs, options.backends ?? {}, {
    escapeCode: w.escapeCode,
    terminate: () => built?.machine.lifecycle.shutdown('host-ui'),
    commit: () => {
      for (const drive of drives.values()) drive.commit();
    },
    virtualConsole: (id) => options.virtualConsole?.(id) ?? new NullBackend(),
    note: options.note ?? (() => {}),
  });
  // Before the devices: of a multiplexer's users, the one that comes last has the focus.
  const monitorPorts = w.monitors.map(({ chardev, origin }) => within(origin, () => backends.take(chardev)));
  const images = store.add(await Images.open(w, options.note ?? (() => {})));
  const { drives } = images;
  const debugcons = w.debugcons.map(
    ({ chardev, origin }): DeviceRequest => ({ type: 'isa-debugcon', id: '', properties: { chardev }, origin }),
  );
  const ide = w.drives.filter((d) => d.interface === 'ide');
  const machine: MachineOptions = {
    ...DEFAULT_OPTIONS,
    ramBytes: w.ramBytes ?? w.board.defaultRamBytes,
    cpus,
    apicIds: Array.from({ length: cpus }, (_, i) => apicId(w.topology, i)),
    ...(kernel && { kernel }),
    ...(firmware && { firmware }),
    rtc: w.rtc,
    bootOrder: w.boot.order ?? DEFAULT_OPTIONS.bootOrder,
    ...(w.boot.once !== undefined && { bootOnce: w.boot.once }),
    serials: w.serials.map((port) => port.chardev),
    parallels: w.parallels.map((port) => port.chardev),
    ideDrives: ide.map(({ id, index, media }): IdeDriveRequest => ({ drive: id!, index: index!, media })),
    floppies: floppies(w),
    vga: w.vga ?? 'none',
    hpet: w.hpet,
    fwCfg: {
      ...DEFAULT_OPTIONS.fwCfg,
      noGraphic: w.noGraphic,
      bootMenu: w.boot.menu,
      ...(w.boot.splashTime !== undefined && { bootMenuWait: w.boot.splashTime }),
      ...(w.boot.rebootTimeout !== undefined && { bootFailWait: w.boot.rebootTimeout }),
    },
    identity: { ...(w.uuid && { uuid: w.uuid }) },
    globals: w.globals,
    devices: [...debugcons, ...w.devices, ...virtioDisks(w)],
    lifecycle: { noReboot: w.noReboot, noShutdown: w.noShutdown },
    awaitsState: w.incoming !== undefined || w.loadSnapshot !== undefined,
  };
  const asked = [...w.serials, ...w.parallels, ...w.drives];
  const blameFor = (id: string): string => originOf(asked, id);
  // What comes in before a state is there would be lost with the state that the devices have now.
  const gated: GatedBackend[] = [];
  const getsState = (): boolean => {
    const { state, held } = built?.machine.lifecycle ?? { state: 'prelaunch', held: false };
    return held || (state === 'prelaunch' && machine.awaitsState === true);
  };
  const composed = compose({
    guest: X86_64,
    board: w.board,
    machine,
    chardev: (id) => {
      const backend = new GatedBackend(
        within(blameFor(id), () => backends.take(id)),
        getsState,
      );
      gated.push(backend);
      return backend;
    },
    drive: (id) => {
      const drive = id === '' ? new Drive(null, { id: '' }) : drives.get(id);
      if (!drive) throw new UserError(`drive '${id}' not found: define it with -drive`);
      return drive;
    },
    drivesBusy: () => {
      for (const drive of drives.values()) if (drive.busy) return true;
      return false;
    },
    folder: (id) => {
      const request = w.folders.find((f) => f.id === id);
      return request ? within(request.origin, () => openFolder(request)) : noFolders.folder(id);
    },
    isGenerator: (id) => w.objects.generators.has(id),
    isIoThread: (id) => w.objects.ioThreads.has(id),
    firmwareImage: (name) => findDataFile(name, w.dataFolders),
    ramMade: (block, { runtime }) => stateAhead?.ramMade(block, runtime),
    created: (made) => applyLogItems(made, w.logItems),
    cpu,
    topology: w.topology,
    ...(memory && { memory }),
    hotThreshold: HOT_THRESHOLD[w.tier],
    ...(w.tier === 'stress' && { stress: STRESS_SEED }),
    accelerator,
    irqchip: w.irqchip,
    tuning: w.kvmTuning,
    smm: w.smm !== 'off',
    ...(options.note && { report: options.note }),
    ...(w.icount && { icount: w.icount }),
  });
  built = composed;
  store.add(composed.machine);
  images.adopt((drive) => {
    drive.onStop = () => composed.machine.lifecycle.pause('io-error');
  });
  composed.machine.lifecycle.stateChanged.subscribe((state) => {
    if (state === 'running') for (const drive of drives.values()) drive.resume();
    if (!getsState()) for (const backend of gated) backend.acceptInput();
  });
  const nbd = new NbdExports(() => [...drives.values()]);
  const assembled: SavedParts = {
    ...composed,
    wishes: w,
    guest: X86_64,
    ramBytes: machine.ramBytes,
    backends,
    get drives() {
      return [...drives.values()];
    },
    images,
    monitorPorts,
    ...(stateAhead && { stateAhead }),
    roms: firmware
      ? [{ address: 2 ** 32 - firmware.length, size: firmware.length, name: w.bios ?? defaultFirmware(w)! }]
      : [],
    warnings: [
      ...cpu.warnings,
      ...w.globals
        .filter(({ driver }) => !describeDeviceType(driver))
        .map(({ driver, property }) => `-global ${driver}.${property} changes nothing: there is no such device type`),
    ],
    nbd,
    closeDrives: async () => {
      await nbd.close();
      return images.close();
    },
    dispose: () => store.dispose(),
  };
  const saving = store.add(new Saving(assembled));
  return {
    ...assembled,
    get drives() {
      return assembled.drives;
    },
    saving,
  };
}

/** The option that asked for the port or drive with this id. */
function originOf(
  asked: readonly (Asked & { readonly chardev?: string | undefined; readonly id?: string | undefined })[],
  id: string,
): string {
  return asked.find((a) => (a.chardev ?? a.id) === id)?.origin ?? '';
}

/**
 * A file that the kernel is started from. Who awaits a state has all of memory from there, and needs the file after a reset only, if
 * at all: it is read later.
 */
function bootFile(w: Wishes, what: string, path: string, remedy: string): () => Uint8Array {
  if (w.incoming === undefined && w.loadSnapshot === undefined) {
    const bytes = readImage(what, path, remedy);
    return () => bytes;
  }
  try {
    return readLater(path);
  } catch (error) {
    throw cannotOpen(what, path, error, remedy);
  }
}

const cannotOpen = (what: string, path: string, error: unknown, remedy: string): UserError =>
  new UserError(`could not open ${what} '${path}': ${hostReason(error)}: ${remedy}`);

function readImage(what: string, path: string, remedy: string): Uint8Array {
  try {
    return fs.readFileSync(path);
  } catch (error) {
    throw cannotOpen(what, path, error, remedy);
  }
}

function kernelOptions(w: Wishes, cpu: CpuConfig): MachineOptions['kernel'] {
  if (w.kernel === undefined) {
    if (w.initrd !== undefined) throw new UserError('-initrd only allowed with -kernel option');
    if (w.append !== undefined) throw new UserError('-append only allowed with -kernel option');
    return undefined;
  }
  if (w.bios !== undefined) throw new UserError('-kernel starts a kernel without firmware: leave out -bios or -kernel');
  if (w.board.name === 'none') throw new UserError(`machine 'none' starts no kernel: use -machine pc`);
  const image = bootFile(w, 'kernel file', w.kernel, 'check -kernel');
  return {
    image: {
      path: w.kernel,
      get bytes() {
        return image();
      },
    },
    modules: w.initrd === undefined ? [] : modules(w, w.initrd),
    commandLine: w.append ?? '',
    longMode: hasFeature(cpu, 'lm'),
  };
}

/** One initial RAM disk, or for multiboot kernels `file arguments,file arguments`. */
function modules(w: Wishes, text: string): { path: string; bytes: Uint8Array; commandLine: string }[] {
  const load = (path: string, commandLine: string) => {
    const read = bootFile(w, 'initrd', path, 'check -initrd');
    return {
      path,
      get bytes() {
        return read();
      },
      commandLine,
    };
  };
  if (fs.existsSync(text)) return [load(text, '')];
  return splitCommas(text).map((part) => {
    const [path = ''] = part.split(' ');
    return load(path, part);
  });
}

const defaultFirmware = (w: Wishes): string | undefined =>
  w.board.name === 'none' ? undefined : FIRMWARE[w.board.name as keyof typeof FIRMWARE];

function firmwareImage(w: Wishes): Uint8Array | undefined {
  const name = w.bios ?? defaultFirmware(w);
  if (name === undefined) return undefined;
  if (w.bios !== undefined && fs.existsSync(w.bios)) return readImage('PC BIOS', w.bios, 'check -bios');
  const image = findDataFile(name, w.dataFolders);
  if (image) return image;
  throw new UserError(
    w.bios === undefined
      ? `could not find the firmware '${name}': install Debian's package seabios, run npm start once, or name a file with -bios`
      : `could not load PC BIOS '${name}': No such file or directory: check -bios and -L`,
  );
}

function openFolder({ path, readOnly, securityModel }: FolderRequest): HostFolder {
  const folder = new NodeFolder(path, readOnly, securityModel === 'passthrough');
  return securityModel === 'mapped-file' ? new MappedFolder(folder) : folder;
}

/** `-drive if=virtio` is short for a device of that type. */
function virtioDisks(w: Wishes): DeviceRequest[] {
  return w.drives.flatMap(({ interface: kind, id, origin }) =>
    kind === 'virtio'
      ? [
          {
            type: w.board.virtioDevices ? 'virtio-blk-device' : 'virtio-blk-pci',
            id: '',
            properties: { drive: id! },
            origin,
          },
        ]
      : [],
  );
}

function floppies(w: Wishes): (string | undefined)[] {
  const names: (string | undefined)[] = [undefined, undefined];
  for (const { interface: kind, index, id } of w.drives) if (kind === 'floppy') names[index!] = id;
  return names;
}
