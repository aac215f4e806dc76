/** Runs a guest of testdata/ as the firmware of a whole PC: devices, interrupt controllers, several processors. */
import type { IrqchipMode } from '../../src/accel/kvm/irqchip-mode.js';
import { compose } from '../../src/app/lib/compose.js';
import { BOARDS, DEFAULT_OPTIONS } from '../../src/boards/index.js';
import type { CharBackend, CharFrontend } from '../../src/char/backend.js';
import { parseCpu } from '../../src/guest/x86/cpu-models.js';
import { X86_64 } from '../../src/guest/x86/index.js';

export interface MachineGuestOptions {
  readonly cpus?: number;
  readonly cpu?: string;
  readonly hotThreshold?: number;
  /** Under KVM, with interrupt controllers there. */
  readonly kvm?: IrqchipMode;
}

/** What the guest printed on port E9h until it wrote to port F4h, or for at most `ms`. */
export async function runMachineGuest(
  image: Uint8Array,
  options: MachineGuestOptions = {},
  ms = 30_000,
): Promise<string> {
  const decoder = new TextDecoder('latin1');
  let output = '';
  let frontend: CharFrontend | null = null;
  const debug: CharBackend = {
    type: 'test',
    filename: 'test',
    attach(f) {
      frontend = f;
      frontend?.event?.('opened');
    },
    write(data) {
      output += decoder.decode(data);
      return data.length;
    },
    acceptInput() {},
  };
  const cpus = options.cpus ?? 1;
  const machine = compose({
    guest: X86_64,
    board: BOARDS.find((b) => b.name === 'pc')!,
    cpu: parseCpu(options.cpu ?? 'max'),
    topology: { sockets: 1, cores: cpus, threads: 1 },
    ...(options.hotThreshold === undefined ? {} : { hotThreshold: options.hotThreshold }),
    ...(options.kvm && { accelerator: 'kvm', irqchip: options.kvm }),
    chardev: () => debug,
    machine: {
      ...DEFAULT_OPTIONS,
      ramBytes: 16 << 20,
      cpus,
      firmware: image,
      lifecycle: { noReboot: true },
      devices: [
        { type: 'isa-debugcon', id: 'debug', properties: { iobase: '0xe9', chardev: 'debug' } },
        { type: 'isa-debug-exit', id: 'exit', properties: { iobase: '0xf4', iosize: '1' } },
      ],
    },
  });
  const limit = setTimeout(() => machine.quit(), ms);
  machine.machine.lifecycle.start();
  await machine.run();
  clearTimeout(limit);
  return output;
}
