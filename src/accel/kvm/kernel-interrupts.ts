/** The ways of interrupts into KVM, where it has the local APICs: inputs of its chips, and messages. */
import type { ApicMessage } from '../../machine/apic-message.js';
import { HeldInterrupts } from './held-interrupts.js';
import type { HostCalls } from './host-calls.js';
import type { KvmMachine } from './interface.js';
import type { IrqchipMode } from './irqchip-mode.js';
import { KernelChips, PC_ROUTES } from './kernel-chips.js';
import { MessageRoutes } from './message-routes.js';

const IOAPIC_PINS = 24;
const MSI_ADDRESS = 0xfee00000;

export class KernelInterrupts {
  /** With `kernel_irqchip=on`. */
  readonly chips: KernelChips | undefined;
  /** While the processors' state is in their records alone. */
  readonly held = new HeldInterrupts(
    (gsi, level) => this.chips?.drive(gsi, level),
    (address, data) => this.#routes.send(address, data),
  );
  readonly #routes: MessageRoutes;

  constructor(vm: KvmMachine, calls: HostCalls, irqchip: IrqchipMode, monotonic: () => number) {
    const setInput = (gsi: number, level: boolean): void => this.held.setInput(gsi, level);
    if (irqchip === 'on') this.chips = new KernelChips(vm, setInput, monotonic);
    else if (irqchip === 'split') vm.enableCapability('SPLIT_IRQCHIP', BigInt(IOAPIC_PINS));
    this.#routes = new MessageRoutes(vm, calls, this.chips ? PC_ROUTES : []);
  }

  deliver(m: ApicMessage): void {
    if (m.levelTriggered && !m.level) return;
    const address =
      MSI_ADDRESS + (m.destination & 0xff) * 0x1000 + (m.logical ? 4 : 0) + (m.deliveryMode === 1 ? 8 : 0);
    const data = m.vector | (m.deliveryMode << 8) | (m.level ? 0x4000 : 0) | (m.levelTriggered ? 0x8000 : 0);
    if (m.levelTriggered && !this.chips) this.#routes.tellEndOf(address, data);
    this.held.send(address, data);
  }

  dispose(): void {
    this.#routes.dispose();
  }
}
