/**
 * KVM's table of GSIs, and messages through it. A message that comes again and again gets a GSI of its own and an event
 * descriptor (irqfd): sending it is one write then. Others go by KVM_SIGNAL_MSI.
 */
import type { HostCalls } from './host-calls.js';
import type { GsiRoute, KvmMachine } from './interface.js';
import { KVM_TRACE } from './trace.js';

/** GSIs below are inputs of the board. */
const FIRST_MESSAGE_GSI = 24;
/** More vectors than the devices of a machine use at a time. */
const MOST_MESSAGES = 64;
/** Setting routes makes KVM wait for all processors: not worth it for less. */
const WORTH_A_ROUTE = 16;
/** Messages whose number of times is remembered. */
const MOST_KNOWN = 256;
const IOAPIC_PINS = 24;

interface Sent {
  readonly address: number;
  readonly data: number;
  times: number;
  /** With a route. */
  gsi: number;
  eventfd: number;
}

const NONE = -1;
const key = (address: number, data: number): number => data * 0x1_0000_0000 + address;

export class MessageRoutes {
  readonly #sent = new Map<number, Sent>();
  /** Messages of level-triggered interrupts, whose end KVM tells only for vectors that it finds among the first GSIs. */
  readonly #levels = new Map<number, GsiRoute>();
  readonly #free: number[] = [];
  /** Where each GSI leads, as a trace has told; one of the board leads to several chips. */
  readonly #traced = new Map<string, string>();
  #next = FIRST_MESSAGE_GSI;

  constructor(
    private readonly vm: KvmMachine,
    private readonly calls: HostCalls,
    /** Routes of inputs of chips in the kernel. */
    private readonly fixed: readonly GsiRoute[],
  ) {
    if (fixed.length > 0) this.#setRoutes();
  }

  send(address: number, data: number): void {
    const sent = this.#lookUp(address, data);
    if (sent.eventfd === NONE && ++sent.times === WORTH_A_ROUTE) this.#route(sent);
    if (KVM_TRACE.kvm_msi.enabled) KVM_TRACE.kvm_msi.emit(address, data);
    if (sent.eventfd === NONE) this.vm.signalMsi(BigInt(address), data);
    else this.calls.signalEvent(sent.eventfd);
  }

  /** KVM is to tell of the end of this level-triggered interrupt. Not with an I/O APIC in the kernel. */
  tellEndOf(address: number, data: number): void {
    const message = key(address, data);
    if (this.#levels.has(message)) return;
    if (this.#levels.size === IOAPIC_PINS) this.#levels.delete(this.#levels.keys().next().value!);
    this.#levels.set(message, { gsi: 0, address: BigInt(address), data });
    this.#setRoutes();
  }

  /** How many messages have a descriptor. */
  get routed(): number {
    return this.#routed().length;
  }

  dispose(): void {
    for (const sent of this.#routed()) this.#unroute(sent);
  }

  #lookUp(address: number, data: number): Sent {
    const known = this.#sent.get(key(address, data));
    if (known) return known;
    if (this.#sent.size === MOST_KNOWN) this.#forget();
    const sent: Sent = { address, data, times: 0, gsi: NONE, eventfd: NONE };
    this.#sent.set(key(address, data), sent);
    return sent;
  }

  /** The first that has no route, and is the oldest so. */
  #forget(): void {
    for (const [name, sent] of this.#sent) {
      if (sent.eventfd !== NONE) continue;
      this.#sent.delete(name);
      return;
    }
  }

  #route(sent: Sent): void {
    const routed = this.#routed();
    if (routed.length === MOST_MESSAGES) {
      // Guests move interrupts between processors: the oldest is the likeliest to be unused.
      this.#unroute(routed[0]!);
    }
    sent.gsi = this.#free.pop() ?? this.#next++;
    sent.eventfd = this.calls.eventfd();
    this.#setRoutes();
    this.vm.irqfd(sent.eventfd, sent.gsi, true);
    // Oldest first: those that were given routes go to the end.
    this.#sent.delete(key(sent.address, sent.data));
    this.#sent.set(key(sent.address, sent.data), sent);
  }

  #unroute(sent: Sent): void {
    this.vm.irqfd(sent.eventfd, sent.gsi, false);
    this.calls.close(sent.eventfd);
    this.#free.push(sent.gsi);
    this.#sent.delete(key(sent.address, sent.data));
  }

  #routed(): Sent[] {
    return [...this.#sent.values()].filter(({ eventfd }) => eventfd !== NONE);
  }

  #setRoutes(): void {
    const messages = this.#routed().map(
      ({ gsi, address, data }): GsiRoute => ({ gsi, address: BigInt(address), data }),
    );
    const routes = [...this.fixed, ...[...this.#levels.values()].map((route, gsi) => ({ ...route, gsi })), ...messages];
    if (KVM_TRACE.kvm_set_routes.enabled) KVM_TRACE.kvm_set_routes.emit(routes.length);
    if (KVM_TRACE.kvm_route.enabled) this.#traceRoutes(routes);
    this.vm.setRoutes(routes);
  }

  /** Those that lead elsewhere than when they were last told of. */
  #traceRoutes(routes: readonly GsiRoute[]): void {
    for (const route of routes) {
      const to =
        'chip' in route
          ? `chip ${route.chip} pin ${route.pin}`
          : `message address 0x${route.address.toString(16)} data 0x${route.data.toString(16)}`;
      const name = `${route.gsi} ${'chip' in route ? route.chip : ''}`;
      if (this.#traced.get(name) === to) continue;
      this.#traced.set(name, to);
      KVM_TRACE.kvm_route.emit(route.gsi, to);
    }
  }
}
