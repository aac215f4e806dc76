/** A channel with a bus master, for tests of its devices. */
import assert from 'node:assert/strict';
import { putU16, putU32 } from '../../../base/bytes.js';
import { FlatMemory } from '../../../machine/testing/flat-memory.js';
import { ProbeLine } from '../../../machine/testing/manual-clock.js';
import { BusMaster } from '../bus-master.js';
import { IdeChannel } from '../ide-channel.js';
import type { IdeDevice } from '../ide-device.js';
import { STATUS } from '../task-file.js';

export interface Command {
  readonly unit?: 0 | 1;
  readonly features?: number;
  readonly count?: number;
  readonly low?: number;
  readonly mid?: number;
  readonly high?: number;
  /** Bits of the device register: 0x40 for LBA, head. */
  readonly device?: number;
}

const PRDT = 0x1000;

export class IdeBench {
  readonly irq = new ProbeLine();
  readonly memory = new FlatMemory(1 << 20);
  readonly master = new BusMaster(this.memory);
  readonly channel = new IdeChannel(this.master.through(this.irq));

  constructor(...devices: readonly IdeDevice[]) {
    this.master.connect(this.channel);
    devices.forEach((device, unit) => {
      this.channel.attach(unit as 0 | 1, device);
    });
    this.channel.reset();
  }

  get = (register: number): number => this.channel.commandBlock.read(register, 1);
  put = (register: number, value: number): void => this.channel.commandBlock.write(register, 1, value);
  control = (value: number): void => this.channel.controlBlock.write(0, 1, value);
  alternateStatus = (): number => this.channel.controlBlock.read(0, 1);

  issue(command: number, { unit = 0, features = 0, count = 0, low = 0, mid = 0, high = 0, device = 0 }: Command): void {
    this.put(6, 0xa0 | device | (unit << 4));
    this.put(1, features);
    this.put(2, count);
    this.put(3, low);
    this.put(4, mid);
    this.put(5, high);
    this.put(7, command);
  }

  /** Reads `bytes` of PIO data, 16 bits at a time. */
  readPio(bytes: number): Uint8Array {
    const out = new Uint8Array(bytes);
    for (let i = 0; i < bytes; i += 2) {
      assert.ok(this.alternateStatus() & STATUS.DRQ, `DRQ at byte ${i}`);
      putU16(out, i, this.channel.commandBlock.read(0, 2));
    }
    return out;
  }

  writePio(data: Uint8Array): void {
    for (let i = 0; i < data.length; i += 2) {
      assert.ok(this.alternateStatus() & STATUS.DRQ, `DRQ at byte ${i}`);
      this.channel.commandBlock.write(0, 2, data[i]! | (data[i + 1]! << 8));
    }
  }

  /** Writes a descriptor table. */
  describe(...parts: readonly (readonly [address: number, bytes: number])[]): void {
    parts.forEach(([address, bytes], i) => {
      putU32(this.memory.bytes, PRDT + 8 * i, address);
      putU32(this.memory.bytes, PRDT + 8 * i + 4, (bytes & 0xffff) | (i === parts.length - 1 ? 0x8000_0000 : 0));
    });
    for (let i = 0; i < 4; i++) this.master.write(4 + i, 1, (PRDT >>> (8 * i)) & 0xff);
  }

  startDma(toMemory: boolean): void {
    this.master.write(2, 1, 0x66);
    this.master.write(0, 1, (toMemory ? 8 : 0) | 1);
  }

  get masterStatus(): number {
    return this.master.read(2, 1);
  }
}
