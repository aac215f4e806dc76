/**
 * Doorbells of devices as ioeventfds: the kernel takes the write and lets the processor go on at once; the machine thread
 * hears of it from its event loop. Several rings before it looks are one, as for the device itself.
 */
import { FlatFlag } from '../../ir/layout.js';
import type { FlatRange } from '../../memory/flat-view.js';
import type { HostCalls, Watch } from './host-calls.js';
import type { KvmMachine } from './interface.js';
import { KVM_TRACE } from './trace.js';

/** What VIRTIO's drivers write; other sizes leave the guest as ever. */
const BYTES = 2;
/** More are not worth a descriptor each. */
const MOST_BELLS = 64;

interface Bell {
  readonly region: number;
  readonly offset: number;
  readonly address: number;
}
interface Hung extends Bell {
  readonly eventfd: number;
  readonly watch: Watch;
}

const key = ({ region, offset, address }: Bell): string => `${region}:${offset}:${address}`;

export class Doorbells {
  readonly #hung = new Map<string, Hung>();

  constructor(
    private readonly vm: KvmMachine,
    private readonly calls: HostCalls,
    /** Does what a write of zero there does. */
    private readonly ring: (region: number, offset: number) => void,
  ) {}

  update(ranges: readonly FlatRange[]): void {
    const wanted = new Map(bells(ranges).map((bell) => [key(bell), bell]));
    for (const [name, bell] of this.#hung) if (!wanted.has(name)) this.#take(name, bell);
    for (const [name, bell] of wanted) {
      if (this.#hung.has(name) || this.#hung.size >= MOST_BELLS) continue;
      const eventfd = this.calls.eventfd();
      this.vm.ioeventfd({ eventfd, space: 'memory', address: BigInt(bell.address), length: BYTES }, true);
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

  #answer({ eventfd, region, offset, address }: Hung): void {
    if (this.calls.takeEvent(eventfd) === 0n) return;
    if (KVM_TRACE.kvm_doorbell.enabled) KVM_TRACE.kvm_doorbell.emit(address);
    this.ring(region, offset);
  }

  #take(name: string, bell: Hung): void {
    this.#hung.delete(name);
    const { eventfd, address } = bell;
    this.vm.ioeventfd({ eventfd, space: 'memory', address: BigInt(address), length: BYTES }, false);
    // What was rung before is heard.
    this.#answer(bell);
    bell.watch.dispose();
    this.calls.close(eventfd);
  }
}

function bells(ranges: readonly FlatRange[]): Bell[] {
  const found: Bell[] = [];
  for (const { start, last, flags, region, offset, owner } of ranges) {
    const doorbells = flags & FlatFlag.ramRead ? undefined : owner.handler?.doorbells;
    if (!doorbells || region === 0) continue;
    for (let i = 0; i < doorbells.count; i++) {
      const at = doorbells.first + i * doorbells.stride;
      if (at < offset || at + BYTES > offset + (last - start) + 1) continue;
      found.push({ region, offset: at, address: start + (at - offset) });
    }
  }
  return found;
}
