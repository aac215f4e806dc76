/** 16550A serial ports on the ISA bus: COM1 to COM4 of a PC. */
import { UserError } from '../../base/errors.js';
import type { CharContext } from '../../char/context.js';
import type { IsaDeviceType } from '../../machine/device-type.js';
import { prop } from '../../machine/property.js';
import { trace, Uart16550 } from './uart16550.js';

/** By index: base port and interrupt. */
export const SERIAL_PORTS = [
  [0x3f8, 4],
  [0x2f8, 3],
  [0x3e8, 4],
  [0x2e8, 3],
] as const;
const UNSET = 0xffff_ffff;

const properties = {
  index: prop.uint32(UNSET, 'which of the four ports of a PC (0 to 3) gives iobase and irq'),
  iobase: prop.uint32(UNSET, 'first of its eight ports'),
  irq: prop.uint32(UNSET, 'ISA interrupt line'),
  chardev: prop.chardev('character backend that the line is connected to'),
};

export const isaSerial: IsaDeviceType<typeof properties, CharContext> = {
  name: 'isa-serial',
  description: '16550A UART',
  category: 'Input devices',
  bus: 'ISA',
  properties,
  trace,
  create(bus, { index, iobase, irq, chardev }, context) {
    const fixed = SERIAL_PORTS[index === UNSET ? 0 : index];
    if (!fixed) throw new UserError(`Max. supported number of ISA serial ports is ${SERIAL_PORTS.length}.`);
    const line = irq === UNSET ? fixed[1] : irq;
    if (line > 15) throw new UserError(`isa-serial: there is no ISA interrupt ${line} (0 to 15)`);
    const uart = new Uart16550({
      irq: bus.irq(line),
      clock: context.clocks.virtual,
      backend: context.chardev(chardev),
    });
    bus.mapPorts('serial', iobase === UNSET ? fixed[0] : iobase, Uart16550.PORTS, uart);
    return uart;
  },
};
