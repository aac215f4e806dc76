/** Features that a host may get and set; but for events of namespaces they change nothing here. NVM Express 1.4, 5.21.1. */
import { type DeviceState, type Stateful, stateOf } from '../../machine/state.js';

const QUEUE_COUNT = 0x07;
const VOLATILE_WRITE_CACHE = 0x06;
/** Arbitration, power management, temperature, error recovery, coalescing, vectors, atomicity, events. */
const KEPT = [0x01, 0x02, 0x04, 0x05, 0x08, 0x09, 0x0a, 0x0b] as const;
const EVENTS = 0x0b;
const NAMESPACE_NOTICES = 0x100;
const TEMPERATURE = 0x04;
const TEMPERATURE_THRESHOLD = 0x157;

export class Features implements Stateful {
  readonly values = new Uint32Array(KEPT.length);
  readonly #state = stateOf<Features>(this, 1, ['values']);

  constructor() {
    this.reset();
  }

  isQueueCount(id: number): boolean {
    return id === QUEUE_COUNT;
  }

  isWriteCache(id: number): boolean {
    return id === VOLATILE_WRITE_CACHE;
  }

  /** Asynchronous events when a namespace has changed. */
  get wantsNamespaceNotices(): boolean {
    return (this.get(EVENTS)! & NAMESPACE_NOTICES) !== 0;
  }

  get(id: number): number | undefined {
    const at = (KEPT as readonly number[]).indexOf(id);
    return at < 0 ? undefined : this.values[at];
  }

  /** False for a feature that is not there. */
  set(id: number, value: number): boolean {
    const at = (KEPT as readonly number[]).indexOf(id);
    if (at >= 0) this.values[at] = value;
    return at >= 0;
  }

  reset(): void {
    this.values.fill(0);
    this.set(TEMPERATURE, TEMPERATURE_THRESHOLD);
  }

  save(): DeviceState {
    return this.#state.save();
  }

  load(state: DeviceState): void {
    this.#state.load(state);
  }
}
