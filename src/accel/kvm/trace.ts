/** What passes between guest, KVM and machine, as trace events. `kvm_exit` and `kvm_entry` frame what the machine thread does. */
import { traceEvents } from '../../base/trace.js';

export const KVM_TRACE = traceEvents({
  kvm_exit: 'cpu %d reason %s rip %s',
  kvm_entry: 'cpu %d rip %s',
  kvm_pio: 'cpu %d %s port 0x%x size %d count %d data %s',
  kvm_page_fault: 'cpu %d address 0x%x rip %s instruction %s',
  kvm_mmio: 'cpu %d %s address 0x%x size %d data %s',
  kvm_set_memory: 'slot %d guest address 0x%x size 0x%x flags %d',
  kvm_delete_memory: 'slot %d',
  kvm_set_routes: '%d routes',
  kvm_route: 'gsi %d to %s',
  kvm_irq_line: 'gsi %d level %d',
  kvm_msi: 'address 0x%x data 0x%x',
  kvm_inj_virq: 'cpu %d vector 0x%x',
  kvm_inj_nmi: 'cpu %d',
  kvm_inj_smi: 'cpu %d',
  kvm_park: 'processors stand still',
  kvm_doorbell: 'address 0x%x',
  kvm_hypercall: 'cpu %d number %s',
  kvm_notify: 'cpu %d rip %s',
  kvm_unknown_msr: 'cpu %d %s msr 0x%x value %s',
  kvm_msr_refused: 'cpu %d msr 0x%x',
});
