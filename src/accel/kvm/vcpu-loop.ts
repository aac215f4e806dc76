// hot path
/** What a vCPU's thread does: KVM_RUN, and asking the machine thread when KVM cannot go on alone. */
import { PciPresence } from '../../machine/pci-presence.js';
import { WindowReads } from '../../machine/window-reads.js';
import { Exit, MpState } from './abi.js';
import { AbsentFunctions } from './absent-functions.js';
import { Command, Control, Halted, Question, State, type VcpuThreadData } from './control.js';
import { ExitClock } from './exit-stats.js';
import type { HostCalls } from './host-calls.js';
import { Look } from './look.js';
import { KvmVcpu } from './vcpu.js';
import { WindowAnswers } from './window-answers.js';

/** Exits whose instruction ends with the next KVM_RUN. */
const isHalfDone = (reason: number): boolean =>
  reason === Exit.io ||
  reason === Exit.mmio ||
  reason === Exit.rdmsr ||
  reason === Exit.wrmsr ||
  reason === Exit.hypercall;

/** Signals may come between. */
const DELIVERIES = 8;

/** Returns when it is told to end. Errors of calls are thrown. */
export function vcpuLoop(calls: HostCalls, data: VcpuThreadData): void {
  const words = new Int32Array(data.control);
  const vcpu = new KvmVcpu(calls, data.fd, data.runBytes, data.index, data.ringPage);
  const absent = new AbsentFunctions(vcpu, new PciPresence(data.presence));
  const window = new WindowAnswers(vcpu, new WindowReads(data.window), data.memory);
  const clock = new ExitClock(data.stats, data.index, calls.now());
  const at = data.base;
  Atomics.store(words, at + Control.thread, calls.threadId());
  const tell = (state: number): void => {
    Atomics.store(words, at + Control.state, state);
    Atomics.add(words, data.doorbell, 1);
    Atomics.notify(words, data.doorbell);
  };
  const look = new Look(words, at + Control.state, data.spins);
  const ask = (question: number): void => {
    Atomics.store(words, at + Control.question, question);
    tell(State.asking);
    if (look.changes(State.asking)) return;
    while (Atomics.load(words, at + Control.state) === State.asking) {
      Atomics.wait(words, at + Control.state, State.asking);
    }
  };
  const isForUs = (reason: number): boolean =>
    reason !== Exit.interrupted &&
    reason !== Exit.irqWindowOpen &&
    reason !== Exit.intr &&
    !(reason === Exit.hlt && data.recordApics);
  const enter = (): number => {
    clock.enter(calls.now());
    const reason = vcpu.run();
    clock.exit(calls.now(), reason);
    if (reason === Exit.hlt && data.recordApics) Atomics.store(words, at + Control.halted, Halted.hlt);
    return reason;
  };
  const answersItself = (reason: number): boolean =>
    reason === Exit.io ? absent.answer() : reason === Exit.mmio && window.answer();
  /** What the machine thread answered reaches the guest with the next KVM_RUN: before that, registers are half done. */
  let unfinished = false;
  const complete = (): void => {
    while (unfinished) {
      vcpu.setImmediateExit(true);
      if (enter() === Exit.interrupted) unfinished = false;
      else ask(Question.exit);
    }
  };
  /** An 8259's interrupt was acknowledged and given to KVM, which cannot tell whether the guest has got it yet. */
  let offered = false;
  /**
   * Lets the guest run until it has got it. Not by KVM's single steps: they leave a trap flag in what the interrupt puts on the
   * guest's stack.
   */
  const deliver = (): void => {
    const { rip, rsp } = vcpu.regs();
    for (let tries = 0; offered && tries < DELIVERIES; tries++) {
      // Back when the guest lets interrupts in again, if no kick comes before.
      vcpu.requestInterruptWindow(true);
      vcpu.setImmediateExit(false);
      const reason = enter();
      const now = vcpu.regs();
      // A kick may have come before the guest did anything.
      if (reason !== Exit.interrupted || now.rip !== rip || now.rsp !== rsp) offered = false;
      else if (vcpu.mpState() !== MpState.runnable) break;
      unfinished = isHalfDone(reason);
      if (isForUs(reason)) ask(Question.exit);
      complete();
    }
    vcpu.requestInterruptWindow(false);
    offered = false;
  };
  const finish = (): void => {
    complete();
    if (offered) deliver();
  };
  /** KVM says whether an interrupt can be taken when it comes back: after someone loaded registers, it has not yet. */
  const refresh = (): void => {
    vcpu.setImmediateExit(true);
    enter();
  };
  /** Something waits that ends HLT? */
  const wakes = (): boolean =>
    Atomics.load(words, at + Control.nmis) > 0 ||
    Atomics.load(words, at + Control.smis) > 0 ||
    (Atomics.load(words, at + Control.interruptLine) !== 0 && vcpu.readyForInterrupt);
  // Before the first command there is nothing to look at: registers are not loaded yet.
  if (Atomics.load(words, at + Control.command) === Command.run) refresh();
  let apicBase = vcpu.apicBaseLow;
  for (;;) {
    vcpu.setImmediateExit(false);
    const wake = Atomics.load(words, at + Control.wake);
    // A kick that came before the line above is seen below, one that comes after it ends the next KVM_RUN.
    Atomics.add(words, at + Control.fence, 1);
    const command = Atomics.load(words, at + Control.command);
    if (command === Command.end) break;
    if (command === Command.park) {
      finish();
      tell(State.parked);
      Atomics.wait(words, at + Control.command, Command.park);
      Atomics.compareExchange(words, at + Control.state, State.parked, State.running);
      refresh();
      continue;
    }
    Atomics.store(words, at + Control.state, State.running);
    const halted = Atomics.load(words, at + Control.halted);
    if (halted !== Halted.no) {
      if (halted === Halted.startup || !wakes()) {
        Atomics.wait(words, at + Control.wake, wake);
        continue;
      }
      Atomics.store(words, at + Control.halted, Halted.no);
    }
    if (Atomics.load(words, at + Control.smis) > 0) {
      Atomics.sub(words, at + Control.smis, 1);
      vcpu.smi();
    }
    if (Atomics.load(words, at + Control.nmis) > 0) {
      Atomics.sub(words, at + Control.nmis, 1);
      vcpu.nmi();
    }
    if (Atomics.load(words, at + Control.interruptLine) !== 0 && vcpu.readyForInterrupt) {
      ask(Question.acknowledge);
      const vector = Atomics.load(words, at + Control.answer);
      if (vector >= 0) {
        vcpu.interrupt(vector);
        offered = true;
      }
      vcpu.requestInterruptWindow(false);
    } else vcpu.requestInterruptWindow(Atomics.load(words, at + Control.interruptLine) !== 0);
    const reason = enter();
    if (reason !== Exit.interrupted) offered = false;
    unfinished = isHalfDone(reason);
    if (isForUs(reason)) {
      if (!answersItself(reason)) ask(Question.exit);
    } else if (Atomics.load(words, at + Control.watched) !== 0) ask(Question.seen);
    if (data.recordApics && vcpu.apicBaseLow !== apicBase) {
      apicBase = vcpu.apicBaseLow;
      ask(Question.apicBase);
    }
  }
  vcpu.detach();
  tell(State.ended);
}
