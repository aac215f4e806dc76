/** A SCSI host adapter. VIRTIO 1.2, 5.6. */
import { getU32, putU16, putU32 } from '../../../base/bytes.js';
import { UserError } from '../../../base/errors.js';
import { IO_THREAD_PROPERTIES, type IoThreadContext, requireIoThread } from '../../../block/io-thread.js';
import type { PciDeviceType } from '../../../machine/device-type.js';
import { type PropertyValues, prop } from '../../../machine/property.js';
import { scatter, slice } from '../../../memory/pieces.js';
import { getBe32, senseData } from '../../ide/mmc.js';
import { ScsiBus } from '../../scsi/scsi-bus.js';
import { lunList, Operation, type ScsiRequest, ScsiStatus } from '../../scsi/scsi-unit.js';
import type { Chain } from '../core/chain.js';
import type { VirtQueue } from '../core/virt-queue.js';
import { VirtioDevice, type VirtioOptions } from '../core/virtio-device.js';
import { coreOptions, transportOptions, VIRTIO_PCI_PROPERTIES } from '../pci/properties.js';
import { VirtioPci } from '../pci/virtio-pci.js';

const ScsiFeature = { hotplug: 1, change: 2 } as const;
const CONTROL = 0;
const EVENTS = 1;
const FIRST_REQUESTS = 2;
const Response = { ok: 0, overrun: 1, badTarget: 3 } as const;
const CONTROL_OK = { taskManagement: 0, notification: 0 } as const;
const MAX_TARGET = 255;
const MAX_LUN = 16383;
const CONFIG_BYTES = 36;
const SENSE_SIZE_AT = 20;
const CDB_SIZE_AT = 24;
const REQUEST_HEAD = 19;
const RESPONSE_HEAD = 12;
const EVENT_BYTES = 16;
const Event = { missed: 0x8000_0000, transportReset: 1, parameterChange: 3 } as const;
const RESCAN = 1;
const REMOVED = 2;
/** Illegal request: logical unit not supported. */
const NO_SUCH_LUN = [5, 0x25, 0] as const;
const MOST_IN_FLIGHT = 64;

export interface VirtioScsiOptions extends VirtioOptions {
  readonly queues: number;
  readonly queueSize: number;
  readonly maxSectors: number;
  readonly cmdPerLun: number;
}

export class VirtioScsi extends VirtioDevice {
  readonly id = 8;
  readonly name = 'virtio-scsi';
  readonly config = new Uint8Array(CONFIG_BYTES);
  readonly bus = new ScsiBus(MAX_TARGET, MAX_LUN, (target, lun, added) => this.#announce(target, lun, added));
  #inFlight = 0;
  #operations = 0;
  #handling = false;
  #generation = 0;
  /** An event found no buffer. */
  #missed = false;

  constructor(private readonly options: VirtioScsiOptions) {
    super(options);
    const { queues, queueSize } = options;
    for (let i = 0; i < FIRST_REQUESTS + queues; i++) this.addQueue(queueSize);
    this.offered.add(ScsiFeature.hotplug);
    this.offered.add(ScsiFeature.change);
    this.#fillConfig();
  }

  override get busy(): boolean {
    return this.#operations > 0;
  }

  protected override stopped(): void {
    this.#generation++;
    this.#inFlight = 0;
    this.#missed = false;
    this.#fillConfig();
  }

  protected override configWritten(offset: number, size: number, value: number): void {
    if (size !== 4) return;
    if (offset === SENSE_SIZE_AT && value <= 252) putU32(this.config, offset, value);
    if (offset === CDB_SIZE_AT && value >= 6 && value <= 255) putU32(this.config, offset, value);
  }

  protected override resumed(queue: VirtQueue, chain: Chain): void {
    this.#begin(queue, chain);
    queue.signal();
  }

  protected handle(queue: VirtQueue): void {
    if (queue.index === EVENTS) {
      if (this.#missed) this.#event(0, 0, 0, 0);
      return;
    }
    this.#handling = true;
    while (queue.index === CONTROL || this.#inFlight < MOST_IN_FLIGHT) {
      const chain = queue.pop();
      if (!chain) break;
      if (queue.index === CONTROL) this.#control(queue, chain);
      else this.#begin(queue, chain);
      if (this.broken) break;
    }
    this.#handling = false;
  }

  #fillConfig(): void {
    const { config, options } = this;
    putU32(config, 0, options.queues);
    putU32(config, 4, Math.max(1, options.queueSize - 2));
    putU32(config, 8, options.maxSectors);
    putU32(config, 12, options.cmdPerLun);
    putU32(config, 16, EVENT_BYTES);
    putU32(config, SENSE_SIZE_AT, 96);
    putU32(config, CDB_SIZE_AT, 32);
    putU16(config, 28, 0);
    putU16(config, 30, MAX_TARGET);
    putU32(config, 32, MAX_LUN);
  }

  /** Task management and asynchronous notification: nothing waits here long enough to be aborted. */
  #control(queue: VirtQueue, chain: Chain): void {
    const type = new Uint8Array(4);
    chain.read(0, type);
    const subscribed = getU32(type, 0) !== 0;
    // Subscriptions answer with the events that they get: none.
    const answer = subscribed
      ? Uint8Array.of(0, 0, 0, 0, CONTROL_OK.notification)
      : Uint8Array.of(CONTROL_OK.taskManagement);
    queue.push(chain, chain.write(0, answer));
  }

  #begin(queue: VirtQueue, chain: Chain): void {
    const cdbSize = getU32(this.config, CDB_SIZE_AT);
    const responseSize = RESPONSE_HEAD + getU32(this.config, SENSE_SIZE_AT);
    const head = new Uint8Array(REQUEST_HEAD + cdbSize);
    if (chain.read(0, head) < head.length || chain.writableBytes < responseSize) {
      this.fail('a request whose header or response is too short');
      return;
    }
    this.#inFlight++;
    const out = slice(chain.readable, head.length, chain.readableBytes - head.length);
    const into = slice(chain.writable, responseSize, chain.writableBytes - responseSize);
    const wanted = Math.max(chain.readableBytes - head.length, chain.writableBytes - responseSize);
    const generation = this.#generation;
    const current = (): boolean => generation === this.#generation;
    this.#operations++;
    const request: ScsiRequest = {
      cdb: head.subarray(REQUEST_HEAD),
      out,
      into,
      get cancelled() {
        return !current();
      },
      done: (status, moved, sense) => {
        this.#operations--;
        if (current()) this.#finish(queue, chain, Response.ok, status, wanted - moved, sense);
      },
    };
    const target = head[1]!;
    const lun = ((head[2]! << 8) | head[3]!) & 0x3fff;
    const unit = head[0] === 1 ? this.bus.unit(target, lun) : undefined;
    if (unit && head[REQUEST_HEAD] !== Operation.reportLuns) unit.execute(request);
    else this.#answerForTarget(queue, chain, request, head[0] === 1 ? target : -1, wanted);
  }

  /** What the target says of itself, and of LUNs that it does not have. */
  #answerForTarget(queue: VirtQueue, chain: Chain, request: ScsiRequest, target: number, wanted: number): void {
    const luns = this.bus.luns(target);
    const { cdb } = request;
    const reply = (bytes: readonly number[], allocated: number): void =>
      request.done(ScsiStatus.good, scatter(request.into, 0, Uint8Array.from(bytes.slice(0, allocated))), null);
    if (luns.length === 0) {
      this.#operations--;
      this.#finish(queue, chain, Response.badTarget, 0, wanted, null);
    } else if (cdb[0] === Operation.reportLuns) {
      reply(lunList(luns.includes(0) ? luns : [0, ...luns]), getBe32(cdb, 6));
    } else if (cdb[0] === Operation.inquiry) {
      // No device is there, but one could be.
      reply([0x7f, 0, 5, 0x12, 31, ...new Array<number>(31).fill(0)], cdb[4]!);
    } else request.done(ScsiStatus.checkCondition, 0, Uint8Array.from(senseData(NO_SUCH_LUN)));
  }

  #finish(
    queue: VirtQueue,
    chain: Chain,
    response: number,
    status: number,
    residual: number,
    sense: Uint8Array | null,
  ): void {
    const senseSize = getU32(this.config, SENSE_SIZE_AT);
    const bytes = new Uint8Array(RESPONSE_HEAD + senseSize);
    const kept = sense?.subarray(0, senseSize);
    putU32(bytes, 0, kept?.length ?? 0);
    putU32(bytes, 4, Math.max(0, residual));
    bytes[10] = status;
    bytes[11] = response;
    if (kept) bytes.set(kept, RESPONSE_HEAD);
    chain.write(0, bytes);
    const waited = this.#inFlight-- >= MOST_IN_FLIGHT;
    queue.push(chain, chain.writableBytes);
    if (this.#handling) return;
    queue.signal();
    if (waited) for (let i = FIRST_REQUESTS; i < this.queues.length; i++) this.notify(i);
  }

  #announce(target: number, lun: number, added: boolean): void {
    if (!this.live || !this.has(ScsiFeature.hotplug)) return;
    this.#event(Event.transportReset, target, lun, added ? RESCAN : REMOVED);
  }

  #event(event: number, target: number, lun: number, reason: number): void {
    const queue = this.queues[EVENTS]!;
    const chain = queue.enabled ? queue.pop() : undefined;
    if (!chain) {
      this.#missed = true;
      return;
    }
    const bytes = new Uint8Array(EVENT_BYTES);
    putU32(bytes, 0, (event | (this.#missed ? Event.missed : 0)) >>> 0);
    this.#missed = false;
    if (event) bytes.set([1, target, 0x40 | (lun >> 8), lun & 0xff], 4);
    putU32(bytes, 12, reason);
    queue.push(chain, chain.write(0, bytes));
    queue.signal();
  }
}

const AUTO_QUEUES = 0xffff_ffff;
export const VIRTIO_SCSI_PROPERTIES = {
  ...IO_THREAD_PROPERTIES,
  num_queues: prop.uint32(AUTO_QUEUES, 'request queues; by default one for each processor'),
  virtqueue_size: prop.uint32(256, 'requests that a queue holds: a power of two up to 1024'),
  max_sectors: prop.uint32(0xffff, 'sectors of a request'),
  cmd_per_lun: prop.uint32(128, 'requests that a unit takes at a time'),
};

/** The device without its transport; throws UserError for values that do not fit. */
export function makeVirtioScsi(
  v: PropertyValues<typeof VIRTIO_SCSI_PROPERTIES>,
  core: VirtioOptions,
  context: IoThreadContext & { readonly cpus: number },
): VirtioScsi {
  requireIoThread(context, v);
  const queues = v.num_queues === AUTO_QUEUES ? context.cpus : v.num_queues;
  if (queues < 1 || queues > 1024 - FIRST_REQUESTS) {
    throw new UserError(`Invalid number of queues (= ${queues}), must be a positive integer less than 1022.`);
  }
  const queueSize = v.virtqueue_size;
  if (queueSize < 4 || queueSize > 1024 || !Number.isInteger(Math.log2(queueSize))) {
    throw new UserError(`invalid virtqueue_size property (= ${queueSize}), must be a power of 2 from 4 to 1024`);
  }
  return new VirtioScsi({ ...core, queues, queueSize, maxSectors: v.max_sectors, cmdPerLun: v.cmd_per_lun });
}

const properties = { ...VIRTIO_PCI_PROPERTIES, ...VIRTIO_SCSI_PROPERTIES };

export const virtioScsiPci: PciDeviceType<typeof properties, IoThreadContext> = {
  name: 'virtio-scsi-pci',
  aliases: ['virtio-scsi'],
  description: 'virtio SCSI host adapter',
  category: 'Storage devices',
  bus: 'PCI',
  properties,
  create(slot, v, context) {
    const device = makeVirtioScsi(v, coreOptions(v), context);
    return new VirtioPci(slot, device, {
      ...transportOptions('virtio-scsi-pci', v, device.queues.length + 1),
      classCode: 0x010000,
      transitionalId: 0x1004,
      clocks: context.clocks,
      buses: [device.bus.offered],
    });
  },
};
