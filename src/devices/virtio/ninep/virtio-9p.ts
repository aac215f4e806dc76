/** A folder of the host in the guest, by 9P. VIRTIO 1.2 reserves device type 9; its layout is that of Linux's trans_virtio. */
import { putU16 } from '../../../base/bytes.js';
import { UserError } from '../../../base/errors.js';
import type { PciDeviceType } from '../../../machine/device-type.js';
import type { FolderContext, HostFolder } from '../../../machine/host-folder.js';
import { type PropertyValues, prop } from '../../../machine/property.js';
import { type DeviceState, stateOf } from '../../../machine/state.js';
import type { VirtQueue } from '../core/virt-queue.js';
import { VirtioDevice, type VirtioOptions } from '../core/virtio-device.js';
import { coreOptions, transportOptions, VIRTIO_PCI_PROPERTIES } from '../pci/properties.js';
import { VirtioPci } from '../pci/virtio-pci.js';
import { HEADER_BYTES } from './message.js';
import { NinepServer } from './ninep-server.js';

const MOUNT_TAG = 0;
const QUEUE_SIZE = 128;
const MOST_TAG = 31;

export interface Virtio9pOptions extends VirtioOptions {
  readonly folder: HostFolder;
  readonly tag: string;
  /** The host's clock in ns since 1970. */
  now(): number;
}

export class Virtio9p extends VirtioDevice {
  readonly id = 9;
  readonly name = 'virtio-9p';
  readonly config: Uint8Array;
  readonly server: NinepServer;
  readonly #state;

  constructor(options: Virtio9pOptions) {
    super(options);
    const tag = new TextEncoder().encode(options.tag);
    this.config = new Uint8Array(2 + tag.length);
    putU16(this.config, 0, tag.length);
    this.config.set(tag, 2);
    this.offered.add(MOUNT_TAG);
    this.server = new NinepServer(options.folder, () => options.now());
    this.addQueue(QUEUE_SIZE);
    this.#state = stateOf({ core: this.coreState, server: this.server }, 1);
  }

  override save(): DeviceState {
    return this.#state.save();
  }

  override load(state: DeviceState): void {
    this.#state.load(state);
  }

  protected override stopped(): void {
    this.server.reset();
  }

  override dispose(): void {
    this.server.reset();
  }

  protected handle(queue: VirtQueue): void {
    for (let chain = queue.pop(); chain; chain = queue.pop()) {
      const request = new Uint8Array(Math.min(chain.readableBytes, this.server.messageBytes));
      chain.read(0, request);
      const answer = this.server.handle(request);
      if (!answer || chain.writableBytes < HEADER_BYTES || answer.length > chain.writableBytes) {
        this.fail('a 9P message without room for its answer');
        return;
      }
      queue.push(chain, chain.write(0, answer));
    }
  }
}

export const NINEP_PROPERTIES = {
  fsdev: prop.str('folder of the host, as -fsdev names it'),
  mount_tag: prop.str('name by which the guest mounts it'),
};

/** The device without its transport; throws UserError for values that do not fit. */
export function makeVirtio9p(
  type: string,
  { fsdev, mount_tag: tag }: PropertyValues<typeof NINEP_PROPERTIES>,
  core: VirtioOptions,
  context: FolderContext,
  now: () => number,
): Virtio9p {
  if (fsdev === '') throw new UserError(`${type}: no folder: give one with '-fsdev local,id=...' and 'fsdev=...'`);
  if (tag === '' || new TextEncoder().encode(tag).length > MOST_TAG) {
    throw new UserError(`${type}: mount_tag must have 1 to ${MOST_TAG} bytes`);
  }
  return new Virtio9p({ ...core, folder: context.folder(fsdev), tag, now });
}

const properties = { ...VIRTIO_PCI_PROPERTIES, ...NINEP_PROPERTIES };

export const virtio9pPci: PciDeviceType<typeof properties, FolderContext> = {
  name: 'virtio-9p-pci',
  aliases: ['virtio-9p'],
  description: 'folder of the host',
  category: 'Storage devices',
  bus: 'PCI',
  properties,
  create(slot, values, context) {
    const device = makeVirtio9p('virtio-9p-pci', values, coreOptions(values), context, () => context.clocks.host.now());
    return new VirtioPci(slot, device, {
      ...transportOptions('virtio-9p-pci', values, 2),
      classCode: 0x000200,
      transitionalId: 0x1009,
      clocks: context.clocks,
    });
  },
};
