/** The machine thread's side of the control words: tells the vCPUs' threads what to do, and hears what they are doing. */
import { Bell, type BellOptions } from './bell.js';
import { CONTROL_WORDS, Control, forestall, State } from './control.js';
import type { HostCalls } from './host-calls.js';
import type { Waiting } from './record-apics.js';
import { KVM_TRACE } from './trace.js';
import type { KvmVcpu } from './vcpu.js';

/** A kick that was lost is repeated after this. */
const KICK_AGAIN_MS = 10;

export interface Controlled {
  readonly index: number;
  readonly kvm: Pick<KvmVcpu, 'setImmediateExit'>;
  /** Of its control block, in words. */
  readonly base: number;
  /** Asked something that only a reset, or the user, can answer. */
  held: boolean;
}

type ControlWord = (typeof Control)[keyof typeof Control];

export class VcpuThreads {
  readonly control: SharedArrayBuffer;
  readonly bell: Bell;
  readonly #words: Int32Array;

  constructor(
    count: number,
    private readonly calls: HostCalls,
    options: BellOptions,
  ) {
    this.control = new SharedArrayBuffer(4 * (count + 1) * CONTROL_WORDS);
    this.#words = new Int32Array(this.control);
    this.bell = new Bell(this.#words, count * CONTROL_WORDS, options);
  }

  get(p: Controlled, word: ControlWord): number {
    return Atomics.load(this.#words, p.base + word);
  }

  set(p: Controlled, word: ControlWord, value: number): void {
    Atomics.store(this.#words, p.base + word, value);
  }

  state(p: Controlled): number {
    return this.get(p, Control.state);
  }

  /** Whether every exit is to come here. */
  watch(p: Controlled, watched: boolean): void {
    if (this.get(p, Control.watched) !== Number(watched)) this.set(p, Control.watched, Number(watched));
  }

  hasInterrupt(p: Controlled): boolean {
    return this.get(p, Control.interruptLine) !== 0;
  }

  /** What waits for a processor outside the kernel. */
  publish(p: Controlled, { interrupt, nmi, smi }: Waiting): void {
    const rises = interrupt && !this.hasInterrupt(p);
    this.set(p, Control.interruptLine, Number(interrupt));
    if (nmi) {
      if (KVM_TRACE.kvm_inj_nmi.enabled) KVM_TRACE.kvm_inj_nmi.emit(p.index);
      Atomics.add(this.#words, p.base + Control.nmis, 1);
    }
    if (smi) {
      if (KVM_TRACE.kvm_inj_smi.enabled) KVM_TRACE.kvm_inj_smi.emit(p.index);
      Atomics.add(this.#words, p.base + Control.smis, 1);
    }
    if (rises || nmi || smi) this.interrupt(p);
  }

  command(p: Controlled, command: number): void {
    this.set(p, Control.command, command);
    Atomics.notify(this.#words, p.base + Control.command);
  }

  /** Gives threads a command and calls `answer` until all have heard. */
  commandAll<P extends Controlled>(
    who: readonly P[],
    command: number,
    heard: (p: P) => boolean,
    answer: (live: readonly P[]) => void,
  ): void {
    const live = who.filter((p) => this.state(p) !== State.ended);
    for (const p of live) this.command(p, command);
    for (;;) {
      const seen = this.bell.read();
      answer(live);
      const deaf = live.filter((p) => !heard(p) && this.state(p) !== State.ended);
      if (deaf.length === 0) return;
      for (const p of deaf) this.interrupt(p);
      this.bell.wait(seen, KICK_AGAIN_MS);
    }
  }

  /** Makes a running vCPU look at its words. */
  interrupt(p: Controlled): void {
    Atomics.add(this.#words, p.base + Control.wake, 1);
    Atomics.notify(this.#words, p.base + Control.wake);
    if (this.state(p) !== State.running) return;
    p.kvm.setImmediateExit(true);
    this.calls.interruptThread(this.get(p, Control.thread));
  }

  /** Ends a question. */
  release(p: Controlled): void {
    p.held = false;
    const state = p.base + Control.state;
    if (Atomics.compareExchange(this.#words, state, State.asking, State.running) === State.asking) {
      Atomics.notify(this.#words, state);
    }
  }

  /** A thread that has not come to its vCPU leaves it alone from now on. */
  forestall(p: Controlled): void {
    forestall(this.#words, p.base);
  }
}
