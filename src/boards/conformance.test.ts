/** The conformance suite over every chip of the board, each on buses of its own. */
import { Ich9Lpc } from '../devices/acpi/ich9-lpc.js';
import { Ich9Smbus } from '../devices/acpi/ich9-smbus.js';
import { Piix4Pm } from '../devices/acpi/piix4-pm.js';
import { I8259Pair } from '../devices/intc/i8259.js';
import { IOAPIC_BYTES, Ioapic } from '../devices/intc/ioapic.js';
import { I8237Pair } from '../devices/misc/i8237.js';
import { Port92 } from '../devices/misc/port92.js';
import { ConfigMechanism1 } from '../devices/pci/config-mechanism1.js';
import { I440fx } from '../devices/pci/i440fx.js';
import { PciBus } from '../devices/pci/pci-bus.js';
import { Piix3Isa } from '../devices/pci/piix3-isa.js';
import { HPET_BYTES, Hpet } from '../devices/timer/hpet.js';
import { I8254 } from '../devices/timer/i8254.js';
import { Mc146818 } from '../devices/timer/mc146818.js';
import type { Device } from '../machine/device.js';
import type { SystemRequests } from '../machine/device-type.js';
import { NO_IRQ } from '../machine/irq.js';
import type { MachineClocks } from '../machine/machine-clocks.js';
import { type ConformanceSubject, conformance } from '../machine/testing/conformance.js';
import { ManualTime } from '../machine/testing/manual-time.js';
import { ProbeBus, throughRegion } from '../machine/testing/probe-bus.js';

const NO_REQUESTS: SystemRequests = { reset() {}, shutdown() {}, suspend() {}, panicked() {} };

/** A device on probe buses, with time that moves. */
function subject(make: (bus: ProbeBus, clocks: MachineClocks) => Device): ConformanceSubject {
  const time = new ManualTime();
  const clocks = time.clocks();
  const bus = new ProbeBus();
  const device = make(bus, clocks);
  device.reset();
  return { device, regions: bus.regions(), advance: (ns) => time.advance(clocks, ns) };
}

conformance('isa-i8259', () => subject((bus) => new I8259Pair(bus.isa, NO_IRQ)));
conformance('isa-pit', () => subject((bus, clocks) => new I8254(bus.isa, clocks.virtual, bus.isa.irq(0))));
conformance('i8237', () => subject((bus, clocks) => new I8237Pair(bus.isa, clocks.virtual, bus.system)));
conformance('port92', () => subject((bus) => new Port92(bus.isa, { a20: NO_IRQ, requests: NO_REQUESTS })));
conformance('ioapic', () =>
  subject((bus) => {
    const ioapic = new Ioapic(() => {});
    bus.memorySpace.add(bus.memory.io('ioapic', IOAPIC_BYTES, ioapic), 0);
    return ioapic;
  }),
);
conformance('hpet', () =>
  subject((bus, clocks) => {
    const hpet = new Hpet({
      clock: clocks.virtual,
      gsis: bus.irqs,
      irq0: bus.irqs[0]!,
      irq8: bus.irqs[8]!,
      legacyReplacement() {},
    });
    bus.memorySpace.add(bus.memory.io('hpet', HPET_BYTES, hpet), 0);
    return hpet;
  }),
);
conformance('PIIX4_PM', () =>
  subject(
    (bus, clocks) =>
      new Piix4Pm(bus.slot, {
        clock: clocks.virtual,
        sci: NO_IRQ,
        requests: NO_REQUESTS,
        raiseSmi() {},
        smbusMemory: (address) => (address === 0x50 ? new Uint8Array(256) : undefined),
      }),
  ),
);
conformance('ICH9-LPC', () =>
  subject(
    (bus, clocks) =>
      new Ich9Lpc(bus.slot, {
        clock: clocks.virtual,
        isa: bus.irqs,
        pirqs: Array.from({ length: 8 }, () => NO_IRQ),
        sci: NO_IRQ,
        requests: NO_REQUESTS,
        raiseSmi() {},
      }),
  ),
);
conformance('ICH9-SMB', () => subject((bus) => new Ich9Smbus(bus.slot)));
conformance('PIIX3', () => subject((bus) => new Piix3Isa(bus.slot, { isa: bus.irqs, requests: NO_REQUESTS })));
conformance('i440FX', () => {
  const bus = new ProbeBus();
  const { memory } = bus;
  const pci = new PciBus({
    memory,
    dma: bus.system,
    memorySpace: bus.memorySpace,
    ioSpace: bus.ioSpace,
    setIntx() {},
    sendMsi() {},
  });
  const ports = new ConfigMechanism1('i440FX-pcihost', pci, memory, bus.ioSpace);
  const device = new I440fx({
    memory,
    bus: pci,
    system: memory.container('system'),
    smm: memory.container('smm'),
    pciMemory: bus.memorySpace,
    ram: memory.ram('ram', 2 ** 20),
  });
  device.reset();
  ports.configAddress = 0x8000_0000;
  const config = pci.functionAt(0)!;
  const regions = bus.ioSpace.subRegions.map(({ region }) => throughRegion(region));
  return {
    device,
    regions: [
      ...regions,
      {
        name: 'configuration space',
        size: 256,
        handler: {
          read: (offset, size) => config.configRead(offset, size),
          write: (offset, size, value) => config.configWrite(offset, size, value),
        },
      },
    ],
  };
});

conformance('mc146818rtc', () => ({
  ...subject((bus, clocks) => new Mc146818(bus.isa, clocks.host, bus.isa.irq(8))),
  // Calendar and RAM are on the battery; a reset clears the index, interrupt enables and flags.
  comparable({ fields }) {
    const cmos = fields['cmos'] as Uint8Array;
    return { index: fields['index'], enables: cmos[11]! & 0x70, flags: cmos[12] };
  },
}));
