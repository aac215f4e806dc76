/** What a machine type is, and what it is given. */
import type { Accelerator } from '../accel/accelerator.js';
import type { DeviceResources } from '../devices/index.js';
import type { I8259Info } from '../devices/intc/i8259.js';
import type { IoapicInfo } from '../devices/intc/ioapic.js';
import type { PciFunctionInfo } from '../devices/pci/describe.js';
import type { GraphicConsole } from '../display/console.js';
import type { KeyboardSink, PointerSink } from '../display/input.js';
import type { BootState } from '../firmware/boot/boot-state.js';
import type { BootModule, ImageFile } from '../firmware/boot/image.js';
import type { FirmwareOptions } from '../firmware/fw-cfg-contents.js';
import type { PlatformDescription } from '../firmware/platform.js';
import type { LifecycleOptions } from '../machine/lifecycle.js';
import type { Machine } from '../machine/machine.js';
import type { MachineClocks } from '../machine/machine-clocks.js';
import type { MadeBlock } from '../memory/memory.js';

/** A device that the user asked for with `-device`. */
export interface DeviceRequest {
  readonly type: string;
  readonly id: string;
  /** As text, still to be parsed. */
  readonly properties: Readonly<Record<string, string>>;
  /** The option that asked for it, `-device pvpanic`: what messages begin with. */
  readonly origin?: string;
}

/** `-global driver.property=value`. */
export interface GlobalProperty {
  readonly driver: string;
  readonly property: string;
  readonly value: string;
}

/** A drive on the board's own controller: `-hda`, `-cdrom`, `-drive if=ide`. */
export interface IdeDriveRequest {
  /** Channel * 2 + unit, 0 to 3. */
  readonly index: number;
  readonly drive: string;
  readonly media: 'disk' | 'cdrom';
}

export interface RtcOptions {
  /** Calendar that the guest sees at power-on, ms since 1970 as if UTC; undefined: UTC as the clock has it. */
  readonly startMs?: number;
  /** `host` follows wall time, `rt` the host's monotonic clock, `vm` virtual time. */
  readonly clock: 'host' | 'rt' | 'vm';
}

/** A kernel to start without firmware. */
export interface KernelOptions {
  readonly image: ImageFile;
  /** Initial RAM disks and multiboot modules. */
  readonly modules: readonly BootModule[];
  readonly commandLine: string;
  /** Whether the processor model has long mode. */
  readonly longMode: boolean;
}

/** The user's wishes, as plain data; the command line and the library fill it. */
export interface MachineOptions {
  readonly ramBytes: number;
  readonly cpus: number;
  /** Local APIC ids of the processors, when they do not count from 0. */
  readonly apicIds?: readonly number[];
  /** System firmware image; undefined for none (direct boot). */
  readonly firmware?: Uint8Array;
  readonly kernel?: KernelOptions;
  readonly rtc: RtcOptions;
  readonly bootOrder: string;
  /** For the first boot only; `bootOrder` holds after a reset. */
  readonly bootOnce?: string;
  /** Ids of character backends; '' gives the port with nothing connected, undefined omits it. */
  readonly serials: readonly (string | undefined)[];
  readonly parallels: readonly (string | undefined)[];
  readonly ideDrives: readonly IdeDriveRequest[];
  /** Drives A and B. */
  readonly floppies: readonly (string | undefined)[];
  readonly vga: 'std' | 'none';
  readonly hpet: boolean;
  readonly fwCfg: FirmwareOptions;
  /** What tables say that the board cannot know: uuid, names, processor signature. */
  readonly identity: Pick<PlatformDescription, 'uuid' | 'identity' | 'processorId'>;
  readonly globals: readonly GlobalProperty[];
  readonly devices: readonly DeviceRequest[];
  readonly lifecycle: LifecycleOptions;
  /** Its state comes from elsewhere: being made, it puts no kernel into its memory. */
  readonly awaitsState?: boolean;
}

/** What a user gets who wishes nothing; the size of RAM and what is connected are for the caller to say. */
export const DEFAULT_OPTIONS: MachineOptions = {
  ramBytes: 128 * 2 ** 20,
  cpus: 1,
  rtc: { clock: 'host' },
  bootOrder: 'cad',
  serials: [],
  parallels: [],
  ideDrives: [],
  floppies: [],
  vga: 'none',
  hpet: true,
  fwCfg: { noGraphic: false, bootMenu: false, optionRoms: {}, files: {} },
  identity: {},
  globals: [],
  devices: [],
  lifecycle: {},
};

/** What the composition root hands to a board. */
export interface BoardHost extends DeviceResources {
  readonly accelerator: Accelerator;
  readonly clocks: MachineClocks;
  /** Puts the boot processor, just reset, into the state in which a kernel starts. */
  enter(state: BootState): void;
  /** 32 random bits. */
  random(): number;
  /** Something happened that a sleeping machine thread must see. */
  wake(): void;
  /** RAM or ROM of the machine is there; the rest of the machine is not yet. */
  readonly ramMade?: (block: MadeBlock) => void;
}

/** What monitors show of the interrupt controllers and buses. */
export interface Inspection {
  pci(): readonly PciFunctionInfo[];
  pic(): readonly I8259Info[];
  ioapic(): IoapicInfo | undefined;
  /** How often each input of each controller was served. */
  irqCounts(): readonly { readonly controller: string; readonly counts: readonly number[] }[];
}

/** What a board gives back. */
export interface BuiltBoard {
  readonly machine: Machine;
  /** What firmware tables say about it; undefined for boards without firmware. */
  readonly platform?: PlatformDescription;
  readonly keyboard?: KeyboardSink;
  readonly pointer?: PointerSink;
  readonly display?: GraphicConsole;
  readonly inspection: Inspection;
  /** Devices that come and go while the machine runs. Both throw UserError. */
  readonly hotplug?: {
    add(request: DeviceRequest): void;
    /** Once the guest has let go of it. */
    remove(id: string): void;
  };
}

export interface BoardType {
  /** QEMU's name, its versioned alias of ours and a line for `-machine help`. */
  readonly name: string;
  readonly aliases: readonly string[];
  readonly description: string;
  readonly maxCpus: number;
  readonly defaultRamBytes: number;
  /** Virtio devices plug into transports of the board's own: `-drive if=virtio` means `virtio-blk-device`. */
  readonly virtioDevices?: boolean;
  /** The board's own disk controller has one drive on each bus, and floppy drives are there only where somebody asks for one. */
  readonly sata?: boolean;
  /** Throws UserError when the options cannot be had. */
  create(options: MachineOptions, host: BoardHost): BuiltBoard;
}
