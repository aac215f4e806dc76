/** An NVM Express controller with one namespace. NVM Express Base Specification 1.4. */
import { getU16, getU32, getU64 } from '../../base/bytes.js';
import { UserError } from '../../base/errors.js';
import { guestError } from '../../base/log.js';
import { traceEvents } from '../../base/trace.js';
import type { BlockBackend, DriveUser } from '../../block/drive.js';
import type { Clocks, Timer } from '../../machine/clock.js';
import type { Device } from '../../machine/device.js';
import type { PciSlot } from '../../machine/pci-slot.js';
import { type DeviceState, stateOf } from '../../machine/state.js';
import type { DmaMemory } from '../../memory/io.js';
import { scatter } from '../../memory/pieces.js';
import { Msix } from '../pci/msix.js';
import { PciFunction } from '../pci/pci-function.js';
import { Features } from './features.js';
import { type CommandHost, NvmCommands, type Working } from './nvm-commands.js';
import { prpPieces } from './prp.js';
import {
  type Answer,
  type CompletionQueue,
  complete,
  completionQueue,
  fetch,
  hasRoom,
  isQueue,
  type SubmissionQueue,
  submissionQueue,
} from './queues.js';
import {
  Admin,
  ALL_NAMESPACES,
  CAP_HIGH,
  CAP_LOW,
  Config,
  ControllerStatus,
  DOORBELLS_AT,
  identifyController,
  identifyNamespace,
  LogPage,
  logPage,
  MOST_ENTRIES,
  MOST_EVENTS,
  NAMESPACE,
  NAMESPACE_CHANGED,
  namespaceDescriptors,
  namespaceList,
  PAGE,
  RETAIN_EVENT,
  Register,
  Status,
  SUBMISSION_BYTES,
  VERSION,
} from './structures.js';

export const NVME_TRACE = traceEvents({
  pci_nvme_admin_cmd: 'sqid %d cid %d opcode 0x%02x',
  pci_nvme_io_cmd: 'sqid %d cid %d opcode 0x%02x',
  pci_nvme_complete: 'sqid %d cid %d status 0x%x',
});

const VENDOR = 0x1b36;
const DEVICE = 0x0010;
const REGISTERS_BYTES = 0x2000;
const BAR_BYTES = 0x4000;
const MSIX_AT = 0xb0;

export interface NvmeOptions {
  readonly serial: string;
  readonly queuePairs: number;
  readonly vectors: number;
  readonly mdts: number;
  readonly blockBytes: number;
}

export class Nvme implements Device, DriveUser, CommandHost {
  readonly type = 'nvme';
  readonly removable = false;
  readonly pci: PciFunction<'MSIX_CONTROL'>;
  readonly msix: Msix;
  readonly features = new Features();
  config = 0;
  status = 0;
  interruptMask = 0;
  adminAttributes = 0;
  adminSubmission = 0;
  adminCompletion = 0;
  submissions: SubmissionQueue[] = [];
  completions: CompletionQueue[] = [];
  /** Ids of ASYNCHRONOUS EVENT REQUESTs, to be answered when something happens. */
  events: number[] = [];
  /** The namespace is not as its log page was last read; and whether an event has told so. */
  changed = false;
  noticed = false;
  /** Commands whose data was under way when the machine was saved: queue and entry. */
  interrupted: Working[] = [];
  readonly #commands: NvmCommands;
  readonly #resume: Timer;
  #generation = 0;
  readonly #state;

  constructor(
    slot: PciSlot,
    private readonly drive: BlockBackend,
    readonly options: NvmeOptions,
    clocks: Pick<Clocks, 'virtual'>,
  ) {
    const { memory } = slot;
    this.msix = new Msix(memory, options.vectors, { name: 'nvme', bar: 0, at: MSIX_AT, offset: REGISTERS_BYTES });
    const bar = memory.container('nvme-bar0', BAR_BYTES);
    const registers = memory.io('nvme', REGISTERS_BYTES, {
      sizes: { min: 4, max: 4 },
      read: (offset) => this.#read(offset),
      write: (offset, _size, value) => this.#write(offset, value),
    });
    bar.add(registers, 0);
    bar.add(this.msix.region, REGISTERS_BYTES);
    this.pci = new PciFunction<'MSIX_CONTROL'>(
      slot,
      {
        vendorId: VENDOR,
        deviceId: DEVICE,
        revision: 2,
        classCode: 0x010802,
        interruptPin: 1,
        bars: [{ index: 0, kind: 'memory64', region: bar }],
        capabilities: [this.msix.capability],
      },
      { written: { MSIX_CONTROL: () => this.msix.controlWritten() } },
    );
    this.msix.connect(this.pci);
    this.#commands = new NvmCommands(this, drive);
    this.#resume = clocks.virtual.timer('nvme-resume', () => this.#goOn());
    this.#state = stateOf<Nvme>(
      this,
      2,
      [
        ...(['pci', 'msix', 'features', 'config', 'status', 'interruptMask', 'adminAttributes'] as const),
        ...(['adminSubmission', 'adminCompletion', 'submissions', 'completions', 'events', 'interrupted'] as const),
        ...(['changed', 'noticed'] as const),
      ],
      () => this.#resume.arm(clocks.virtual.now()),
      {
        elements: {
          submissions: submissionQueue(0, 0, 0, 0),
          completions: completionQueue(0, 0, 0, 0, false),
          events: 0,
          interrupted: { queue: 0, command: new Uint8Array(SUBMISSION_BYTES) },
        },
      },
    );
    drive.attach(this);
  }

  reset(): void {
    this.pci.reset();
    this.msix.reset();
    this.#resetController();
    this.adminAttributes = this.adminSubmission = this.adminCompletion = 0;
    this.config = this.status = 0;
  }

  save(): DeviceState {
    const waiting = this.interrupted;
    this.interrupted = [...waiting, ...this.#commands.working];
    const saved = this.#state.save();
    this.interrupted = waiting;
    return saved;
  }

  load(state: DeviceState): void {
    this.#generation++;
    this.#commands.forget();
    this.#state.load(state);
    const whole =
      this.submissions.every(isQueue) &&
      this.completions.every((cq) => isQueue(cq) && Number.isInteger(cq.reserved)) &&
      this.interrupted.every(({ command }) => command.length === SUBMISSION_BYTES);
    if (!whole) {
      this.#resetController();
      throw new UserError('saved state of its queues does not fit');
    }
  }

  /** The medium has another length: a driver that wants to know is told. */
  resized(): void {
    if (!(this.status & ControllerStatus.ready)) return;
    this.changed = true;
    this.#notice();
  }

  /** An event needs one who has asked for it, and room; then no more of its kind until the log page is read. */
  #notice(): void {
    const [cq] = this.completions;
    const [cid] = this.events;
    if (!this.changed || this.noticed || cid === undefined || !cq || !hasRoom(cq)) return;
    if (!this.features.wantsNamespaceNotices) return;
    this.noticed = true;
    this.events.shift();
    cq.reserved++;
    this.finish(0, cid, { status: Status.success, result: NAMESPACE_CHANGED });
  }

  unplug(): void {
    this.reset();
    this.pci.unplug();
  }

  dispose(): void {
    this.#resume.disarm();
    this.drive.attach(null);
  }

  get dma(): DmaMemory {
    return this.pci.dma;
  }

  get blocks(): number {
    return Math.floor(this.drive.length / this.options.blockBytes);
  }

  /** What CC chose. */
  get pageBytes(): number {
    return 2 ** (12 + Math.min((this.config >> 7) & 15, 4));
  }

  #read(offset: number): number {
    switch (offset) {
      case Register.CAP:
        return CAP_LOW;
      case Register.CAP + 4:
        return CAP_HIGH;
      case Register.VS:
        return VERSION;
      case Register.INTMS:
      case Register.INTMC:
        return this.interruptMask >>> 0;
      case Register.CC:
        return this.config >>> 0;
      case Register.CSTS:
        return this.status;
      case Register.AQA:
        return this.adminAttributes;
      case Register.ASQ:
        return this.adminSubmission % 2 ** 32;
      case Register.ASQ + 4:
        return Math.floor(this.adminSubmission / 2 ** 32);
      case Register.ACQ:
        return this.adminCompletion % 2 ** 32;
      case Register.ACQ + 4:
        return Math.floor(this.adminCompletion / 2 ** 32);
      default:
        return 0;
    }
  }

  #write(offset: number, value: number): void {
    if (offset >= DOORBELLS_AT) {
      this.#doorbell(Math.floor((offset - DOORBELLS_AT) / 4), value & 0xffff);
      return;
    }
    switch (offset) {
      case Register.INTMS:
        this.interruptMask |= value;
        this.#driveIntx();
        break;
      case Register.INTMC:
        this.interruptMask &= ~value;
        this.#driveIntx();
        break;
      case Register.CC:
        this.#configure(value);
        break;
      case Register.AQA:
        this.adminAttributes = value & 0x0fff_0fff;
        break;
      case Register.ASQ:
        this.adminSubmission = low(this.adminSubmission, value - (value % PAGE));
        break;
      case Register.ASQ + 4:
        this.adminSubmission = value * 2 ** 32 + (this.adminSubmission % 2 ** 32);
        break;
      case Register.ACQ:
        this.adminCompletion = low(this.adminCompletion, value - (value % PAGE));
        break;
      case Register.ACQ + 4:
        this.adminCompletion = value * 2 ** 32 + (this.adminCompletion % 2 ** 32);
        break;
    }
  }

  #configure(value: number): void {
    const before = this.config;
    this.config = value;
    if (value & ~before & Config.enable) this.#enable();
    else if (before & ~value & Config.enable) {
      this.#resetController();
      this.status = 0;
    }
    if (value & Config.shutdown && !(before & Config.shutdown)) this.status |= ControllerStatus.shutdownComplete;
    else if (!(value & Config.shutdown)) this.status &= ~ControllerStatus.shutdownComplete;
  }

  #enable(): void {
    const submissionSize = (this.adminAttributes & 0xfff) + 1;
    const completionSize = ((this.adminAttributes >> 16) & 0xfff) + 1;
    if (submissionSize < 2 || completionSize < 2 || ((this.config >> 7) & 15) > 4) {
      guestError('nvme: enabled with queues or pages of a size that cannot be');
      this.status = ControllerStatus.fatal;
      return;
    }
    this.submissions = [submissionQueue(0, this.adminSubmission, submissionSize, 0)];
    this.completions = [completionQueue(0, this.adminCompletion, completionSize, 0, true)];
    this.status = ControllerStatus.ready;
  }

  /** Commands under way are forgotten, queues are gone. */
  #resetController(): void {
    this.#generation++;
    this.#commands.forget();
    this.interrupted = [];
    this.submissions = [];
    this.completions = [];
    this.events = [];
    this.changed = this.noticed = false;
    this.features.reset();
    this.interruptMask = 0;
    this.#driveIntx();
  }

  #doorbell(number: number, value: number): void {
    const id = number >> 1;
    if (number % 2 === 0) {
      const sq = this.submissions.find((q) => q.id === id);
      if (!sq || value >= sq.size) {
        guestError('nvme: submission doorbell %d: %d', id, value);
        return;
      }
      sq.tail = value;
      this.#process(sq);
      return;
    }
    const cq = this.completions.find((q) => q.id === id);
    if (!cq || value >= cq.size) {
      guestError('nvme: completion doorbell %d: %d', id, value);
      return;
    }
    const full = !hasRoom(cq);
    cq.head = value;
    this.#driveIntx();
    if (id === 0) this.#notice();
    if (full) for (const sq of this.submissions) if (sq.completion === cq.id) this.#process(sq);
  }

  #process(sq: SubmissionQueue): void {
    const cq = this.completions.find((q) => q.id === sq.completion);
    const generation = this.#generation;
    while (cq && sq.head !== sq.tail && hasRoom(cq) && this.status & ControllerStatus.ready) {
      const command = fetch(sq, this.pci.dma);
      cq.reserved++;
      sq.working++;
      this.#execute(sq.id, command);
      if (generation !== this.#generation || !this.submissions.includes(sq)) return;
    }
  }

  /** After a load. */
  #goOn(): void {
    const waiting = this.interrupted;
    this.interrupted = [];
    for (const { queue, command } of waiting) this.#execute(queue, command);
    this.#driveIntx();
  }

  #execute(queue: number, command: Uint8Array): void {
    const opcode = command[0]!;
    const cid = getU16(command, 2);
    const trace = queue === 0 ? NVME_TRACE.pci_nvme_admin_cmd : NVME_TRACE.pci_nvme_io_cmd;
    if (trace.enabled) trace.emit(queue, cid, opcode);
    // Fused operations and scatter gather lists are not offered.
    if (command[1]! & 0xc3) this.finish(queue, cid, { status: Status.invalidField | Status.doNotRetry });
    else if (queue !== 0) this.#commands.execute(queue, command, cid);
    else {
      const answer = this.#executeAdmin(command, cid);
      if (answer) this.finish(0, cid, answer);
    }
  }

  /** Puts the answer to a command into its completion queue. */
  finish(queue: number, cid: number, { status, result = 0 }: Answer): void {
    if (NVME_TRACE.pci_nvme_complete.enabled) NVME_TRACE.pci_nvme_complete.emit(queue, cid, status);
    const sq = this.submissions.find((q) => q.id === queue);
    const cq = sq && this.completions.find((q) => q.id === sq.completion);
    if (!sq || !cq) return;
    cq.reserved = Math.max(0, cq.reserved - 1);
    sq.working = Math.max(0, sq.working - 1);
    complete(cq, sq, this.pci.dma, { cid, status, result });
    if (!cq.interrupts) return;
    if (this.msix.enabled) this.msix.notify(cq.vector);
    else this.#driveIntx();
  }

  /** The pin: some queue has completions, and its vector is not masked. */
  #driveIntx(): void {
    const raised = this.completions.some(
      (cq) => cq.interrupts && cq.head !== cq.tail && cq.vector < 32 && !(this.interruptMask & (1 << cq.vector)),
    );
    this.pci.intx.set(raised && !this.msix.enabled);
  }

  /** Undefined when the answer comes later. */
  #executeAdmin(command: Uint8Array, cid: number): Answer | undefined {
    const dword = (n: number): number => getU32(command, 4 * n);
    const address = getU64(command, 24);
    switch (command[0]!) {
      case Admin.createCompletion:
        return this.#createCompletion(dword(10), dword(11), address);
      case Admin.createSubmission:
        return this.#createSubmission(dword(10), dword(11), address);
      case Admin.deleteSubmission: {
        const id = dword(10) & 0xffff;
        if (id === 0 || !this.submissions.some((q) => q.id === id)) return { status: Status.invalidQueue };
        this.submissions = this.submissions.filter((q) => q.id !== id);
        this.#commands.forget(id);
        return { status: Status.success };
      }
      case Admin.deleteCompletion: {
        const id = dword(10) & 0xffff;
        if (id === 0 || !this.completions.some((q) => q.id === id)) return { status: Status.invalidQueue };
        if (this.submissions.some((q) => q.completion === id)) return { status: Status.invalidDeletion };
        this.completions = this.completions.filter((q) => q.id !== id);
        this.#driveIntx();
        return { status: Status.success };
      }
      case Admin.identify:
        return this.#identify(command, dword(10) & 0xff, dword(1));
      case Admin.getLogPage:
        return this.#logPage(command, dword(10));
      case Admin.abort:
        // Not aborted: it will be done soon anyway.
        return { status: Status.success, result: 1 };
      case Admin.setFeatures:
        return this.#setFeature(dword(10), dword(11));
      case Admin.getFeatures:
        return this.#getFeature(dword(10) & 0xff);
      case Admin.asyncEvent:
        if (this.events.length >= MOST_EVENTS) return { status: Status.tooManyEvents };
        this.events.push(cid);
        // Its place in the completion queue is needed only when something happens.
        this.completions[0]!.reserved--;
        this.#notice();
        return undefined;
      default:
        return { status: Status.invalidOpcode | Status.doNotRetry };
    }
  }

  #createCompletion(dw10: number, dw11: number, base: number): Answer {
    const id = dw10 & 0xffff;
    const size = (dw10 >>> 16) + 1;
    const vector = dw11 >>> 16;
    if (id === 0 || id > this.options.queuePairs || this.completions.some((q) => q.id === id)) {
      return { status: Status.invalidQueue | Status.doNotRetry };
    }
    if (size < 2 || size > MOST_ENTRIES) return { status: Status.invalidQueueSize | Status.doNotRetry };
    if (!(dw11 & 1) || base === 0 || base % PAGE !== 0) return { status: Status.invalidField | Status.doNotRetry };
    if (vector >= this.options.vectors) return { status: Status.invalidVector | Status.doNotRetry };
    this.completions.push(completionQueue(id, base, size, vector, (dw11 & 2) !== 0));
    return { status: Status.success };
  }

  #createSubmission(dw10: number, dw11: number, base: number): Answer {
    const id = dw10 & 0xffff;
    const size = (dw10 >>> 16) + 1;
    const completion = dw11 >>> 16;
    if (id === 0 || id > this.options.queuePairs || this.submissions.some((q) => q.id === id)) {
      return { status: Status.invalidQueue | Status.doNotRetry };
    }
    if (completion === 0 || !this.completions.some((q) => q.id === completion)) {
      return { status: 0x100 | Status.doNotRetry };
    }
    if (size < 2 || size > MOST_ENTRIES) return { status: Status.invalidQueueSize | Status.doNotRetry };
    if (!(dw11 & 1) || base === 0 || base % PAGE !== 0) return { status: Status.invalidField | Status.doNotRetry };
    this.submissions.push(submissionQueue(id, base, size, completion));
    return { status: Status.success };
  }

  #identify(command: Uint8Array, what: number, namespace: number): Answer {
    const here = namespace === NAMESPACE;
    switch (what) {
      case 0:
        if (!here && namespace !== ALL_NAMESPACES) return { status: Status.invalidNamespace | Status.doNotRetry };
        return this.#reply(command, identifyNamespace(this.blocks, this.options.blockBytes));
      case 1:
        return this.#reply(command, identifyController({ vendorId: VENDOR, ...this.options }));
      case 2:
        return this.#reply(command, namespaceList(namespace));
      case 3:
        if (!here) return { status: Status.invalidNamespace | Status.doNotRetry };
        return this.#reply(command, namespaceDescriptors());
      default:
        return { status: Status.invalidField | Status.doNotRetry };
    }
  }

  #logPage(command: Uint8Array, dw10: number): Answer {
    const page = dw10 & 0xff;
    const log = logPage(page, this.changed);
    if (!log) return { status: Status.invalidLogPage | Status.doNotRetry };
    const bytes = Math.min(4 * (((dw10 >>> 16) & 0xffff) + 1), log.length);
    const answer = this.#reply(command, log.subarray(0, bytes));
    if (page === LogPage.changedNamespaces && answer.status === Status.success && !(dw10 & RETAIN_EVENT)) {
      this.changed = this.noticed = false;
    }
    return answer;
  }

  #setFeature(dw10: number, value: number): Answer {
    const pairs = this.options.queuePairs - 1;
    const id = dw10 & 0xff;
    if (this.features.isQueueCount(id)) return { status: Status.success, result: ((pairs << 16) | pairs) >>> 0 };
    if (this.features.isWriteCache(id)) this.drive.writeCache = (value & 1) !== 0;
    else if (!this.features.set(id, value)) return { status: Status.invalidField | Status.doNotRetry };
    this.#notice();
    return { status: Status.success };
  }

  #getFeature(id: number): Answer {
    const pairs = this.options.queuePairs - 1;
    if (this.features.isQueueCount(id)) return { status: Status.success, result: ((pairs << 16) | pairs) >>> 0 };
    if (this.features.isWriteCache(id)) return { status: Status.success, result: Number(this.drive.writeCache) };
    const result = this.features.get(id);
    return result === undefined
      ? { status: Status.invalidField | Status.doNotRetry }
      : { status: Status.success, result };
  }

  #reply(command: Uint8Array, data: Uint8Array): Answer {
    const pieces = prpPieces(this.pci.dma, command, data.length, this.pageBytes, true);
    if (!pieces) return { status: Status.dataTransfer | Status.doNotRetry };
    scatter(pieces, 0, data);
    for (const piece of pieces) this.pci.dma.wrote(piece);
    return { status: Status.success };
  }
}

const low = (address: number, value: number): number => Math.floor(address / 2 ** 32) * 2 ** 32 + value;
