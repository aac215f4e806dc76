/**
 * The 8042 keyboard controller of a PS/2-style PC, with its second ("auxiliary") port.
 * Source: IBM PS/2 Technical Reference, Keyboard/Mouse Controller (Type 1); Intel UPI-42.
 *
 *   0x60 read   output buffer         0x60 write  data for the keyboard, or a command's parameter
 *   0x64 read   status                0x64 write  command
 *
 *   status: PERR 80, TIMEOUT 40, AUX 20, UNLOCKED 10, CMD 08, SYS 04, IBF 02, OBF 01
 *   command byte (RAM 0): XLATE 40, AUX_OFF 20, KBD_OFF 10, SYS 04, AUX_INT 02, KBD_INT 01
 *   output port: KBD_DATA 80, KBD_CLK 40, AUX_OBF 20, KBD_OBF 10, A20 02, RESET 01 (0 resets)
 */
import { traceEvents } from '../../base/trace.js';
import type { Device } from '../../machine/device.js';
import type { IrqLine } from '../../machine/irq.js';
import { type DeviceState, type Stateful, stateOf } from '../../machine/state.js';
import type { AccessSize, IoHandler } from '../../memory/io.js';
import type { Ps2Device } from './ps2-port.js';
import { translated } from './scan-codes.js';

const STATUS = { OBF: 0x01, SYS: 0x04, CMD: 0x08, UNLOCKED: 0x10, AUX: 0x20 };
const MODE = { KBD_INT: 0x01, AUX_INT: 0x02, SYS: 0x04, KBD_OFF: 0x10, AUX_OFF: 0x20, XLATE: 0x40, MASK: 0x7f };
const OUT = { RESET: 0x01, A20: 0x02, KBD_OBF: 0x10, AUX_OBF: 0x20 };
const COMMAND = {
  WRITE_RAM: 0x60,
  AUX_DISABLE: 0xa7,
  AUX_ENABLE: 0xa8,
  AUX_TEST: 0xa9,
  SELF_TEST: 0xaa,
  KBD_TEST: 0xab,
  KBD_DISABLE: 0xad,
  KBD_ENABLE: 0xae,
  READ_INPUT_PORT: 0xc0,
  READ_OUTPUT_PORT: 0xd0,
  WRITE_OUTPUT_PORT: 0xd1,
  WRITE_KBD_OUTPUT: 0xd2,
  WRITE_AUX_OUTPUT: 0xd3,
  WRITE_AUX: 0xd4,
  A20_OFF: 0xdd,
  A20_ON: 0xdf,
  PULSE: 0xf0,
};
const SELF_TEST_PASSED = 0x55;
/** Keyboard not locked, colour display. */
const INPUT_PORT = 0x80;
const BREAK_PREFIX = 0xf0;
/** Offsets of the two ports in the handler's region: 0 is port 60h, 4 is port 64h. */
const COMMAND_PORT = 4;

export const trace = traceEvents({
  i8042_read_data: '0x%02x',
  i8042_read_status: '0x%02x',
  i8042_write_data: '0x%02x',
  i8042_write_command: '0x%02x',
});

export interface I8042Wiring {
  readonly keyboardIrq: IrqLine;
  readonly mouseIrq: IrqLine;
  readonly keyboard: Ps2Device;
  readonly mouse: Ps2Device;
  /** The A20 gate: true lets address bit 20 through. */
  readonly a20: IrqLine;
  /** The processor's reset pin was pulled. */
  readonly requestReset: () => void;
}

type Source = 'none' | 'controller' | 'keyboard' | 'mouse';

const powerOn = () => ({
  ram: Uint8Array.from({ length: 32 }, (_, i) => (i === 0 ? MODE.KBD_INT | MODE.AUX_INT : 0)),
  status: (STATUS.CMD | STATUS.UNLOCKED) as number,
  /** The output buffer, and where its byte came from ('none': it is empty). */
  data: 0,
  source: 'none' as Source,
  /** The command at 64h that waits for its parameter at 60h; 0 when none does. */
  command: 0,
  outputPort: (OUT.RESET | OUT.A20 | 0xcc) as number,
  /** Translation has seen the break prefix. */
  breakSeen: false,
});

export class I8042 implements Device, IoHandler {
  readonly type = 'i8042';
  readonly sizes = { min: 1, max: 1 } as const;
  readonly #w: I8042Wiring;
  readonly #s = powerOn();
  readonly #stateful: Stateful;

  constructor(wiring: I8042Wiring) {
    this.#w = wiring;
    const { keyboard, mouse } = wiring;
    this.#stateful = stateOf({ controller: stateOf(this.#s, 1), keyboard, mouse }, 1, undefined, () => this.#drive());
    wiring.keyboard.onReady = () => this.#fill();
    wiring.mouse.onReady = () => this.#fill();
  }

  reset(): void {
    Object.assign(this.#s, powerOn());
    this.#w.keyboard.reset();
    this.#w.mouse.reset();
    this.#drive();
  }

  /** With what is plugged into it. */
  save(): DeviceState {
    return this.#stateful.save();
  }

  load(state: DeviceState): void {
    this.#stateful.load(state);
  }

  read(offset: number, _size: AccessSize): number {
    const command = offset === COMMAND_PORT;
    const value = command ? this.#status() : this.#takeData();
    const event = command ? trace.i8042_read_status : trace.i8042_read_data;
    if (event.enabled) event.emit(value);
    return value;
  }

  write(offset: number, _size: AccessSize, value: number): void {
    const s = this.#s;
    const event = offset === COMMAND_PORT ? trace.i8042_write_command : trace.i8042_write_data;
    if (event.enabled) event.emit(value);
    if (offset === COMMAND_PORT) {
      s.status |= STATUS.CMD;
      s.command = 0;
      this.#command(value);
    } else {
      s.status &= ~STATUS.CMD;
      const command = s.command;
      s.command = 0;
      if (command !== 0) this.#parameter(command, value);
      else {
        // Sending to the keyboard switches its clock back on.
        this.#setMode(s.ram[0]! & ~MODE.KBD_OFF);
        this.#w.keyboard.receive(value);
      }
    }
    this.#fill();
  }

  /** Port 92h and the PIIX drive A20 too; this is what the output port reads back. */
  setA20(on: boolean): void {
    this.#s.outputPort = on ? this.#s.outputPort | OUT.A20 : this.#s.outputPort & ~OUT.A20;
  }

  #status(): number {
    const s = this.#s;
    return (
      s.status |
      (s.ram[0]! & MODE.SYS) |
      (s.source === 'none' ? 0 : STATUS.OBF) |
      (s.source === 'mouse' ? STATUS.AUX : 0)
    );
  }

  #takeData(): number {
    const s = this.#s;
    s.source = 'none';
    this.#drive();
    const byte = s.data;
    this.#fill();
    return byte;
  }

  /** Puts the next byte into the output buffer if that is empty. */
  #fill(): void {
    const s = this.#s;
    // A prefix that translation swallows leaves the buffer empty: the byte after it follows at once.
    while (s.source === 'none') {
      const mode = s.ram[0]!;
      let byte = mode & MODE.KBD_OFF ? -1 : this.#w.keyboard.next();
      if (byte >= 0) {
        if (mode & MODE.XLATE) {
          if (byte === BREAK_PREFIX) {
            s.breakSeen = true;
            continue;
          }
          byte = translated(byte) | (s.breakSeen ? 0x80 : 0);
          s.breakSeen = false;
        }
        this.#put(byte, 'keyboard');
        return;
      }
      byte = mode & MODE.AUX_OFF ? -1 : this.#w.mouse.next();
      if (byte < 0) return;
      this.#put(byte, 'mouse');
    }
  }

  /** The controller's own answers go before what the devices send. */
  #put(byte: number, source: Source): void {
    this.#s.data = byte & 0xff;
    this.#s.source = source;
    this.#drive();
  }

  #drive(): void {
    const s = this.#s;
    const mode = s.ram[0]!;
    const mouse = s.source === 'mouse';
    const keyboard = s.source === 'keyboard' || s.source === 'controller';
    s.outputPort = (s.outputPort & ~(OUT.KBD_OBF | OUT.AUX_OBF)) | (mouse ? OUT.AUX_OBF : keyboard ? OUT.KBD_OBF : 0);
    this.#w.keyboardIrq.set(keyboard && (mode & MODE.KBD_INT) !== 0);
    this.#w.mouseIrq.set(mouse && (mode & MODE.AUX_INT) !== 0);
  }

  #setMode(mode: number): void {
    this.#s.ram[0] = mode & MODE.MASK;
    this.#drive();
  }

  #command(command: number): void {
    const s = this.#s;
    const mode = s.ram[0]!;
    if (command >= 0x20 && command < 0x40) this.#put(s.ram[command & 0x1f]!, 'controller');
    else if (command >= COMMAND.WRITE_RAM && command < COMMAND.WRITE_RAM + 0x20) s.command = command;
    else if (command >= COMMAND.PULSE) {
      // Bits 0 to 3 that are clear pulse the output port's; bit 0 is the processor's reset.
      if (!(command & OUT.RESET)) this.#w.requestReset();
    } else
      switch (command) {
        case COMMAND.AUX_DISABLE:
          this.#setMode(mode | MODE.AUX_OFF);
          break;
        case COMMAND.AUX_ENABLE:
          this.#setMode(mode & ~MODE.AUX_OFF);
          break;
        case COMMAND.AUX_TEST:
        case COMMAND.KBD_TEST:
          this.#put(0, 'controller');
          break;
        case COMMAND.SELF_TEST:
          this.#setMode(mode | MODE.SYS);
          this.#put(SELF_TEST_PASSED, 'controller');
          break;
        case COMMAND.KBD_DISABLE:
          this.#setMode(mode | MODE.KBD_OFF);
          break;
        case COMMAND.KBD_ENABLE:
          this.#setMode(mode & ~MODE.KBD_OFF);
          break;
        case COMMAND.READ_INPUT_PORT:
          this.#put(INPUT_PORT, 'controller');
          break;
        case COMMAND.READ_OUTPUT_PORT:
          this.#put(s.outputPort, 'controller');
          break;
        case COMMAND.WRITE_OUTPUT_PORT:
        case COMMAND.WRITE_KBD_OUTPUT:
        case COMMAND.WRITE_AUX_OUTPUT:
        case COMMAND.WRITE_AUX:
          s.command = command;
          break;
        case COMMAND.A20_OFF:
        case COMMAND.A20_ON:
          this.#writeOutputPort(command === COMMAND.A20_ON ? s.outputPort | OUT.A20 : s.outputPort & ~OUT.A20);
          break;
      }
  }

  #parameter(command: number, value: number): void {
    switch (command) {
      case COMMAND.WRITE_RAM:
        this.#setMode(value);
        break;
      case COMMAND.WRITE_OUTPUT_PORT:
        this.#writeOutputPort(value);
        break;
      case COMMAND.WRITE_KBD_OUTPUT:
        this.#put(value, 'keyboard');
        break;
      case COMMAND.WRITE_AUX_OUTPUT:
        this.#put(value, 'mouse');
        break;
      case COMMAND.WRITE_AUX:
        // As for the keyboard: sending switches the port's clock on.
        this.#setMode(this.#s.ram[0]! & ~MODE.AUX_OFF);
        this.#w.mouse.receive(value);
        break;
      default:
        this.#s.ram[command & 0x1f] = value;
    }
  }

  #writeOutputPort(value: number): void {
    this.#s.outputPort = value;
    this.#w.a20.set((value & OUT.A20) !== 0);
    this.#drive();
    if (!(value & OUT.RESET)) this.#w.requestReset();
  }
}
