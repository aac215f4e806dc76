/**
 * The device that kvm-unit-tests drive on x86 (its lib/x86 and x86/ sources are the specification): a port that keeps what is
 * written, one that flushes a page, one that raises interrupt lines, and memory-mapped bytes.
 */
import { getSized, putSized } from '../../base/bytes.js';
import type { Device } from '../../machine/device.js';
import type { IsaDeviceType } from '../../machine/device-type.js';
import type { IrqLine } from '../../machine/irq.js';
import type { IsaBus } from '../../machine/isa-bus.js';
import { stateOf } from '../../machine/state.js';
import type { AccessSize, IoHandler } from '../../memory/io.js';
import type { Memory } from '../../memory/memory.js';

const DATA_PORT = 0xe0;
const FLUSH_PORT = 0xe4;
/** Like the data port, but the device only knows bytes; wider accesses are split on the way. */
const BYTE_PORT = 0xe8;
const IRQ_PORT = 0x2000;
const IRQ_LINES = 16;
const MEMORY_ADDRESS = 0xff000000;
const MEMORY_BYTES = 0x10000;

/** Registers that keep what is written, accessed in at most `max` bytes. */
const store = (bytes: Uint8Array, max: AccessSize): IoHandler => ({
  sizes: { min: 1, max, unaligned: true },
  read: (offset, size) => getSized(bytes, offset, size),
  write: (offset, size, value) => putSized(bytes, offset, size, value),
});

export class PcTestdev implements Device {
  readonly type = 'pc-testdev';
  readonly data = new Uint8Array(4);
  readonly memoryBytes = new Uint8Array(MEMORY_BYTES);
  readonly #state = stateOf<PcTestdev>(this, 1, ['data', 'memoryBytes']);
  readonly save = this.#state.save;
  readonly load = this.#state.load;

  constructor(bus: IsaBus, memory: Pick<Memory, 'io'>) {
    bus.mapPorts('pc-testdev-ioport', DATA_PORT, this.data.length, store(this.data, 4));
    bus.mapPorts('pc-testdev-ioport-byte', BYTE_PORT, this.data.length, store(this.data, 1));
    // On hardware with shadow page tables the write dropped a page's mapping; there is nothing of the kind to drop here.
    bus.mapPorts('pc-testdev-flush-page', FLUSH_PORT, 4, { read: () => 0, write: () => {} });
    const lines: IrqLine[] = Array.from({ length: IRQ_LINES }, (_, i) => bus.irq(i));
    bus.mapPorts('pc-testdev-irq-line', IRQ_PORT, IRQ_LINES, {
      sizes: { min: 1, max: 1 },
      read: () => 0,
      write: (offset, _size, value) => lines[offset]!.set(value !== 0),
    });
    bus.mapMemory(memory.io('pc-testdev-iomem', MEMORY_BYTES, store(this.memoryBytes, 4)), MEMORY_ADDRESS);
  }

  reset(): void {
    this.data.fill(0);
    this.memoryBytes.fill(0);
  }
}

const properties = {};

export const pcTestdev: IsaDeviceType<typeof properties> = {
  name: 'pc-testdev',
  description: 'device of kvm-unit-tests',
  category: 'Misc devices',
  bus: 'ISA',
  properties,
  create: (bus, _properties, context) => new PcTestdev(bus, context.memory),
};
