/**
 * Interrupts that come while the processors' state is in their records alone: KVM's local APICs would take them, and then be loaded
 * over. They are held back until KVM has the state. What comes twice meanwhile comes once, as in a local APIC.
 */
export class HeldInterrupts {
  #holding = false;
  /** A bit for each input that was raised. */
  #raised = 0;
  /** And for each of those that is high still. */
  #high = 0;
  readonly #messages = new Map<string, readonly [address: number, data: number]>();

  constructor(
    private readonly line: (gsi: number, level: boolean) => void,
    private readonly message: (address: number, data: number) => void,
  ) {}

  /** Whether something waits. */
  get any(): boolean {
    return this.#raised !== 0 || this.#messages.size > 0;
  }

  hold(): void {
    this.#holding = true;
  }

  /** Lets what was held go. */
  release(): void {
    this.#holding = false;
    const raised = this.#raised;
    this.#raised = 0;
    for (let gsi = 0; raised >>> gsi !== 0; gsi++) {
      if (!(raised & (1 << gsi))) continue;
      this.line(gsi, true);
      if (!(this.#high & (1 << gsi))) this.line(gsi, false);
    }
    const messages = [...this.#messages.values()];
    this.#messages.clear();
    for (const [address, data] of messages) this.message(address, data);
  }

  setInput(gsi: number, level: boolean): void {
    const bit = 1 << gsi;
    if (!this.#holding || (!level && !(this.#raised & bit))) {
      this.line(gsi, level);
      return;
    }
    this.#raised |= bit;
    this.#high = level ? this.#high | bit : this.#high & ~bit;
  }

  send(address: number, data: number): void {
    if (this.#holding) this.#messages.set(`${address} ${data}`, [address, data]);
    else this.message(address, data);
  }
}
