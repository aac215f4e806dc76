/** An accelerator without processors' work: RAM, and a record of what a board asks of it. For tests of boards and devices. */
import type { Accelerator, MachineServices, SliceEnd, Vcpu } from '../../accel/accelerator.js';
import type { FlatRange } from '../../memory/flat-view.js';
import type { ApicMessage } from '../apic-message.js';

const WASM_PAGE = 65536;
const MAXIMUM_PAGES = 4096;

export class FakeVcpu implements Vcpu {
  readonly state = 0;
  halted = false;
  interruptLine = false;
  readonly events: string[] = [];
  constructor(readonly index: number) {}

  reset(): void {
    this.events.push('reset');
  }
  setInterruptLine(level: boolean): void {
    this.interruptLine = level;
  }
  raiseNmi(): void {
    this.events.push('nmi');
  }
  raiseSmi(): void {
    this.events.push('smi');
  }
}

export class FakeAccelerator implements Accelerator {
  readonly name = 'fake';
  readonly smm = true;
  readonly memory = new WebAssembly.Memory({ initial: 1, maximum: MAXIMUM_PAGES, shared: true });
  readonly vcpus: readonly FakeVcpu[];
  readonly messages: ApicMessage[] = [];
  readonly written: (readonly [host: number, bytes: number])[] = [];
  readonly views: (readonly FlatRange[])[] = [];
  services: MachineServices | undefined;
  a20 = true;
  kicks = 0;
  #next = WASM_PAGE;

  constructor(vcpus = 1) {
    this.vcpus = Array.from({ length: vcpus }, (_, i) => new FakeVcpu(i));
  }

  connect(services: MachineServices): void {
    this.services = services;
  }
  allocateRam(bytes: number, align: number): number {
    const at = Math.ceil(this.#next / align) * align;
    this.#next = at + bytes;
    const missing = Math.ceil((this.#next - this.memory.buffer.byteLength) / WASM_PAGE);
    if (missing > 0) this.memory.grow(missing);
    return at;
  }
  notifyWrite(host: number, bytes: number): void {
    this.written.push([host, bytes]);
  }
  fetchAndClearDirty(_host: number, bytes: number): Uint8Array {
    return new Uint8Array(bytes / 4096);
  }
  setFlatView(space: 0 | 1, ranges: readonly FlatRange[]): void {
    this.views[space] = ranges;
  }
  setA20(enabled: boolean): void {
    this.a20 = enabled;
  }
  deliverApic(message: ApicMessage): void {
    this.messages.push(message);
  }
  stop(): void {}
  runSlice(): SliceEnd {
    return { reason: 'halted' };
  }
  nextDeadline(): number {
    return Number.POSITIVE_INFINITY;
  }
  kick(): void {
    this.kicks++;
  }
  dispose(): void {}
}
