/** What the user asked for, as plain data: filled from the command line or by the library, carried out by `assemble`. */
import type { IrqchipMode } from '../../accel/kvm/irqchip-mode.js';
import { USUAL_TUNING, type VmTuning } from '../../accel/kvm/vm-tuning.js';
import type { ErrorPolicy } from '../../block/drive.js';
import type { ThrottleOptions } from '../../block/filters/throttle.js';
import type { NodeOptions } from '../../block/graph.js';
import {
  BOARDS,
  type BoardType,
  type DeviceRequest,
  type GlobalProperty,
  type RtcOptions,
} from '../../boards/index.js';
import type { CpuTopology } from '../../guest/x86/cpuid-leaves.js';
import { HostObjects } from '../../host/node/host-objects.js';

export const ACCELERATORS = ['tcg', 'kvm'] as const;
export type AcceleratorName = (typeof ACCELERATORS)[number];

export interface WantedAccelerator {
  /** Not always that of one that there is. */
  readonly name: string;
  /** `-accel kvm`; '' for `-machine accel=` and `-enable-kvm`, of which the last counts. */
  readonly origin: string;
}

/** Something to make, and the option that asked for it: `-serial pty`. Messages begin with it. */
export interface Asked {
  readonly origin: string;
}

export type SocketAddress =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'inet'; readonly host: string; readonly port: number };

export type BackendSpec =
  | { readonly type: 'null' | 'vc' }
  | { readonly type: 'stdio'; readonly signal: boolean }
  | { readonly type: 'file'; readonly path: string; readonly append: boolean; readonly inputPath?: string }
  | { readonly type: 'mux'; readonly chardev: string }
  | { readonly type: 'pty'; readonly link?: string }
  | { readonly type: 'ringbuf'; readonly size?: number }
  | {
      readonly type: 'socket';
      readonly address: SocketAddress;
      readonly server: boolean;
      readonly wait: boolean;
      readonly telnet: boolean;
      /** Seconds between attempts of a client; 0: one attempt. */
      readonly reconnect: number;
    };

export interface ChardevRequest extends Asked {
  readonly id: string;
  readonly spec: BackendSpec;
  readonly mux: boolean;
}

export interface MonitorRequest extends Asked {
  readonly chardev: string;
}

/** A port of the board and what it is connected to; undefined: the port is not there. */
export interface PortRequest extends Asked {
  readonly chardev: string | undefined;
}

export interface DriveRequest extends Asked {
  readonly id: string | undefined;
  readonly file: string | undefined;
  readonly format: string | undefined;
  readonly interface: 'ide' | 'floppy' | 'virtio' | 'none';
  readonly index: number | undefined;
  readonly media: 'disk' | 'cdrom';
  readonly readOnly: boolean;
  readonly snapshot: boolean;
  readonly cache: 'writeback' | 'writethrough' | 'none' | 'directsync' | 'unsafe';
  readonly rerror: ErrorPolicy;
  readonly werror: ErrorPolicy;
  readonly details?: DriveDetails;
}

/** What is rarely said of a drive. */
export interface DriveDetails {
  readonly discard: boolean;
  readonly detectZeroes: 'off' | 'on' | 'unmap';
  readonly copyOnRead: boolean;
  readonly throttle: ThrottleOptions | null;
  /** Drives that name the same group share the limits. */
  readonly throttleGroup: string | undefined;
  /** Others may write the image meanwhile. */
  readonly share?: boolean;
  /** Nobody is asked whether others use the image. */
  readonly unlocked?: boolean;
  /** The nodes of the image, in place of its name. */
  readonly graph?: NodeOptions;
  /** Options of the image's format (`encrypt.key-secret`). */
  readonly format: Readonly<Record<string, string>>;
}

/** A node of `-blockdev`: pairs, or one text in JSON. */
export interface BlockdevRequest extends Asked {
  readonly pairs: readonly (readonly [string, string])[];
  readonly json: string | undefined;
}

export const SECURITY_MODELS = ['none', 'passthrough', 'mapped-file'] as const;

/** A folder of the host for the guest. */
export interface FolderRequest extends Asked {
  readonly id: string;
  readonly path: string;
  readonly securityModel: (typeof SECURITY_MODELS)[number];
  readonly readOnly: boolean;
}

/** How virtual time follows counted instructions. */
export interface IcountOptions {
  /** One instruction takes 2^shift ns. */
  readonly shift: number;
  /** Sleep when the guest idles, as real time would pass; otherwise skip to the next timer. */
  readonly sleep: boolean;
}

export interface BootOptions {
  order: string | undefined;
  once: string | undefined;
  menu: boolean;
  splashTime: number | undefined;
  rebootTimeout: number | undefined;
}

export interface Wishes {
  /** How messages name the program. */
  readonly program: string;
  readonly architecture: 'x86_64' | 'i386';
  board: BoardType;
  hpet: boolean;
  /** System management mode: `auto` where the accelerator has it. */
  smm: 'on' | 'off' | 'auto';
  /** In order of preference: the first that this host can do. */
  readonly accelerators: WantedAccelerator[];
  irqchip: IrqchipMode;
  kvmTuning: VmTuning;
  tier: 'both' | 'interpreter' | 'compiled' | 'stress';
  cpu: string | undefined;
  topology: CpuTopology;
  ramBytes: number | undefined;
  kernel: string | undefined;
  initrd: string | undefined;
  append: string | undefined;
  bios: string | undefined;
  readonly dataFolders: string[];
  readonly boot: BootOptions;
  rtc: RtcOptions;
  icount: IcountOptions | undefined;
  /** The character that begins commands of a multiplexed terminal; 0: none does. */
  escapeCode: number;
  readonly chardevs: ChardevRequest[];
  readonly serials: PortRequest[];
  readonly parallels: PortRequest[];
  readonly debugcons: MonitorRequest[];
  readonly monitors: MonitorRequest[];
  readonly drives: DriveRequest[];
  readonly folders: FolderRequest[];
  readonly blockdevs: BlockdevRequest[];
  /** What `-object` made. */
  readonly objects: HostObjects;
  readonly devices: (DeviceRequest & Asked)[];
  readonly globals: GlobalProperty[];
  snapshot: boolean;
  vga: 'std' | 'none' | undefined;
  display: 'none' | 'curses' | undefined;
  noGraphic: boolean;
  noDefaults: boolean;
  noReboot: boolean;
  noShutdown: boolean;
  paused: boolean;
  /** Where the machine's state comes from: `file:path`, `defer`. */
  incoming: string | undefined;
  /** The snapshot to begin with. */
  loadSnapshot: string | undefined;
  logItems: string[];
  logFile: string | undefined;
  readonly traces: string[];
  traceFile: string | undefined;
  name: string | undefined;
  processName: string | undefined;
  uuid: Uint8Array | undefined;
  pidFile: string | undefined;
  daemonize: boolean;
  /** What QEMU provides unless the user names one of the kind. */
  readonly defaults: Record<'serial' | 'parallel' | 'monitor' | 'cdrom' | 'floppy' | 'vga', boolean>;
}

export function noWishes(program: string, architecture: 'x86_64' | 'i386'): Wishes {
  return {
    program,
    architecture,
    board: BOARDS[0]!,
    hpet: true,
    smm: 'auto',
    accelerators: [],
    irqchip: 'on',
    kvmTuning: USUAL_TUNING,
    tier: 'both',
    cpu: undefined,
    topology: { sockets: 1, cores: 1, threads: 1 },
    ramBytes: undefined,
    kernel: undefined,
    initrd: undefined,
    append: undefined,
    bios: undefined,
    dataFolders: [],
    boot: { order: undefined, once: undefined, menu: false, splashTime: undefined, rebootTimeout: undefined },
    rtc: { clock: 'host' },
    icount: undefined,
    escapeCode: 1,
    chardevs: [],
    serials: [],
    parallels: [],
    debugcons: [],
    monitors: [],
    drives: [],
    folders: [],
    blockdevs: [],
    objects: new HostObjects(),
    devices: [],
    globals: [],
    snapshot: false,
    vga: undefined,
    display: undefined,
    noGraphic: false,
    noDefaults: false,
    noReboot: false,
    noShutdown: false,
    paused: false,
    incoming: undefined,
    loadSnapshot: undefined,
    logItems: [],
    logFile: undefined,
    traces: [],
    traceFile: undefined,
    name: undefined,
    processName: undefined,
    uuid: undefined,
    pidFile: undefined,
    daemonize: false,
    defaults: { serial: true, parallel: true, monitor: true, cdrom: true, floppy: true, vga: true },
  };
}
