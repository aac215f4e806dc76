/** What a processor's question is answered with, on the machine thread. */
import type { MachineServices, SliceEnd } from '../accelerator.js';
import { exitName, SystemEvent } from './abi.js';
import { Control, Question } from './control.js';
import type { Debugger } from './debugger.js';
import { describeStop, hexOf } from './describe-exit.js';
import type { GuestAccess } from './guest-access.js';
import { InstructionText } from './instruction-text.js';
import type { KvmExit } from './interface.js';
import type { RecordApics } from './record-apics.js';
import { KVM_TRACE } from './trace.js';
import type { KvmVcpu } from './vcpu.js';
import type { Controlled, VcpuThreads } from './vcpu-threads.js';
import type { NotifyPolicy } from './vm-tuning.js';

/** KVM_ENOSYS */
const NO_SUCH_HYPERCALL = -1000n;

export interface Asking extends Controlled {
  readonly kvm: KvmVcpu;
  readonly debugger: Debugger;
}

export class Answers {
  constructor(
    private readonly threads: VcpuThreads,
    private readonly access: GuestAccess,
    /** With `kernel_irqchip=off`. */
    private readonly apics: RecordApics | undefined,
    private readonly services: () => MachineServices,
    private readonly notify: NotifyPolicy,
    private readonly report: (text: string) => void,
  ) {}

  /** Gives why the machine stops, if it does. */
  answer(p: Asking): SliceEnd | undefined {
    const { index } = p;
    const question = this.threads.get(p, Control.question);
    if (question === Question.acknowledge) {
      const vector = this.apics ? this.apics.accept(index) : this.services().picAcknowledge();
      if (KVM_TRACE.kvm_inj_virq.enabled) KVM_TRACE.kvm_inj_virq.emit(index, vector);
      this.threads.set(p, Control.answer, vector);
      return undefined;
    }
    if (question === Question.apicBase) {
      this.apics?.catchUp(index);
      return undefined;
    }
    const exit = p.kvm.exit();
    if (KVM_TRACE.kvm_exit.enabled) this.#traceExit(p, exit);
    if (question === Question.seen) return undefined;
    switch (exit.reason) {
      case 'io':
        this.access.io(index, exit);
        return undefined;
      case 'mmio':
        if (KVM_TRACE.kvm_page_fault.enabled) this.#traceFault(p, exit.address, exit.write);
        if (!this.apics?.access(index, exit)) this.access.mmio(index, p.kvm.inSmm ? 1 : 0, exit);
        return undefined;
      case 'setTpr':
        this.apics?.catchUp(index);
        return undefined;
      case 'ioapicEoi':
        this.services().ioapicEoi(exit.vector);
        return undefined;
      case 'rdmsr':
      case 'wrmsr':
        if (KVM_TRACE.kvm_unknown_msr.enabled) {
          KVM_TRACE.kvm_unknown_msr.emit(index, exit.reason, exit.index, hexOf(exit.value));
        }
        p.kvm.answerMsr(undefined);
        return undefined;
      case 'hypercall':
        if (KVM_TRACE.kvm_hypercall.enabled) KVM_TRACE.kvm_hypercall.emit(index, hexOf(exit.number));
        // KVM answers those that we know of itself.
        p.kvm.answerHypercall(NO_SUCH_HYPERCALL);
        return undefined;
      case 'notify':
        if (KVM_TRACE.kvm_notify.enabled) KVM_TRACE.kvm_notify.emit(index, hexOf(p.kvm.regs().rip));
        if (!exit.contextInvalid && this.notify !== 'internal-error') return undefined;
        this.report(describeStop(index, exit, p.kvm));
        return { reason: 'internalError', vcpu: index };
      case 'shutdown':
        return { reason: 'shutdown', vcpu: index };
      case 'systemEvent':
        if (exit.type === SystemEvent.reset) return { reason: 'shutdown', vcpu: index };
        this.report(describeStop(index, exit, p.kvm));
        return { reason: 'internalError', vcpu: index };
      case 'debug':
        return p.debugger.stops(exit) ? { reason: 'debug', vcpu: index } : undefined;
      default:
        this.report(describeStop(index, exit, p.kvm));
        return { reason: 'internalError', vcpu: index };
    }
  }

  #traceExit({ kvm, index }: Asking, exit: KvmExit): void {
    const reason = exit.reason === 'other' ? exitName(exit.number) : exit.reason;
    KVM_TRACE.kvm_exit.emit(index, reason, hexOf(kvm.regs().rip));
  }

  /** Memory without a slot was touched: by which instruction. */
  #traceFault({ kvm, index }: Asking, address: number, write: boolean): void {
    const text = new InstructionText((at, count) => this.access.code(kvm.inSmm ? 1 : 0, at, count));
    KVM_TRACE.kvm_page_fault.emit(index, address, hexOf(kvm.regs().rip), text.at(kvm, write));
  }
}
