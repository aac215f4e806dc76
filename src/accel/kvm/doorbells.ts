/**
 * Doorbells of devices as ioeventfds: the kernel takes the write and lets the processor go on at once; the machine thread
 * hears of it from its event loop. Several rings before it looks are one, as for the device itself.
 */
import { FlatFlag } from '../../ir/layout.js';
import type { FlatRange } from '../../memory/flat-view.js';
import type { Doorbell } from '../../memory/io.js';
import type { HostCalls, Watch } from './host-calls.js';
import type { IoEventRequest, KvmMachine } from './interface.js';
import { KVM_TRACE } from './trace.js';

/** More, in memory or among ports, are not worth a descriptor each. */
const MOST_BELLS = 64;

/** Other sizes of writes, and other values where there is one, leave the guest as ever. */
interface Bell extends Doorbell {
  readonly region: number;
  readonly address: number;
}
interface Hung extends Bell {
  readonly eventfd: number;
  readonly watch: Watch;
}

const key = ({ region, offset, address, value }: Bell): string => `${region}:${offset}:${address}:${value}`;

export class Doorbells {
  readonly #hung = new Map<string, Hung>();

  constructor(
    private readonly vm: KvmMachine,
    private readonly calls: HostCalls,
    private readonly space: 'port' | 'memory',
    /** Does what a write there does. */
    private readonly ring: (bell: Bell) => void,
  ) {}

  update(ranges: readonly FlatRange[]): void {
    const wanted = new Map(bells(ranges).map((bell) => [key(bell), bell]));
    for (const [name, bell] of this.#hung) if (!wanted.has(name)) this.#take(name, bell);
    for (const [name, bell] of wanted) {
      if (this.#hung.has(name) || this.#hung.size >= MOST_BELLS) continue;
      const eventfd = this.calls.eventfd();
      this.vm.ioeventfd(this.#request(eventfd, bell), true);
      const hung: Hung = { ...bell, eventfd, watch: this.calls.watchEvent(eventfd, () => this.#answer(hung)) };
      this.#hung.set(name, hung);
    }
  }

  /** Answers those that have rung and that the event loop has not told of yet. */
  drain(): void {
    for (const bell of this.#hung.values()) this.#answer(bell);
  }

  dispose(): void {
    for (const [name, bell] of this.#hung) this.#take(name, bell);
  }

  #answer(bell: Hung): void {
    if (this.calls.takeEvent(bell.eventfd) === 0n) return;
    if (KVM_TRACE.kvm_doorbell.enabled) KVM_TRACE.kvm_doorbell.emit(bell.address);
    this.ring(bell);
  }

  #request(eventfd: number, { address, size, value }: Bell): IoEventRequest {
    const place = { eventfd, space: this.space, address: BigInt(address), length: size };
    return value === undefined ? place : { ...place, match: BigInt(value) };
  }

  #take(name: string, bell: Hung): void {
    this.#hung.delete(name);
    this.vm.ioeventfd(this.#request(bell.eventfd, bell), false);
    // What was rung before is heard.
    this.#answer(bell);
    bell.watch.dispose();
    this.calls.close(bell.eventfd);
  }
}

function bells(ranges: readonly FlatRange[]): Bell[] {
  const found: Bell[] = [];
  for (const { start, last, flags, region, offset, owner } of ranges) {
    const doorbells = flags & FlatFlag.ramRead ? undefined : owner.handler?.doorbells;
    if (!doorbells || region === 0) continue;
    for (const bell of doorbells) {
      if (bell.offset < offset || bell.offset + bell.size > offset + (last - start) + 1) continue;
      found.push({ ...bell, region, address: start + (bell.offset - offset) });
    }
  }
  return found;
}
