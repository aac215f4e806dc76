import type { Dma } from '../../memory/io.js';

/** Guest memory for tests of devices that master the bus: `bytes` at address 0, nothing beyond. */
export class FlatMemory implements Dma {
  readonly bytes: Uint8Array;

  constructor(size: number) {
    this.bytes = new Uint8Array(size);
  }

  read(address: number, into: Uint8Array): void {
    into.fill(0xff);
    if (address < this.bytes.length) into.set(this.bytes.subarray(address, address + into.length));
  }

  write(address: number, from: Uint8Array): void {
    if (address < this.bytes.length) this.bytes.set(from.subarray(0, this.bytes.length - address), address);
  }
}
