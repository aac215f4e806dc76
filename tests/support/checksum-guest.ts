/** A guest of a few instructions that goes wrong when anything of its processor or its memory is not what it was. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { UserError, type VirtualMachine } from '../../src/app/lib/index.js';
import type { Disposable } from '../../src/base/disposable.js';
import { FORMATS } from '../../src/block/formats.js';
import { NODE_BLOCK_HOST } from '../../src/host/node/block-host.js';

const ROUNDS = 20_000;
const MULTIPLIER = 1_664_525;
const INCREMENT = 1_013_904_223;

/**
 *   cli / mov ax, 2000h / mov ds, ax / mov ss, ax / mov sp, fff0h / xor eax, eax / xor bx, bx / mov dx, 3f8h
 * again: mov ecx, ROUNDS
 * next: imul eax, eax, MULTIPLIER / add eax, INCREMENT / add eax, [bx] / mov [bx], eax / add bx, 4 / dec ecx / jnz next
 *   push ax / and al, 0fh / add al, 'A' / out dx, al / pop ax / jmp again
 */
const CODE = `fa b8 00 20 8e d8 b8 00 30 8e d0 bc f0 ff 66 31 c0 31 db ba f8 03
  66 b9 20 4e 00 00
  66 69 c0 0d 66 19 00 66 05 5f f3 6e 3c 66 03 07 66 89 07 83 c3 04 66 49 75 e6
  50 24 0f 04 41 ee 58 eb d7`;

/** What the guest says, letter by letter. */
export function* letters(): Generator<string> {
  const memory = new Uint32Array(0x4000);
  let eax = 0;
  for (let at = 0; ; ) {
    for (let i = 0; i < ROUNDS; i++) {
      eax = (Math.imul(eax, MULTIPLIER) + INCREMENT + memory[at]!) >>> 0;
      memory[at] = eax;
      at = (at + 1) & 0x3fff;
    }
    yield String.fromCharCode(0x41 + (eax & 15));
  }
}

/** Firmware of 64 KiB that is this guest. */
export function checksumFirmware(): Uint8Array {
  const image = Buffer.alloc(0x10000);
  Buffer.from(CODE.replace(/\s/g, ''), 'hex').copy(image);
  Buffer.from('ea000000f0', 'hex').copy(image, 0xfff0);
  return image;
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Collects what the machines say, and holds it against what should be said. */
export class Listener {
  readonly #expected = letters();
  heard = 0;

  hear(vm: VirtualMachine): Disposable {
    return vm.serial.output.subscribe((bytes) => {
      for (const byte of bytes) {
        this.heard++;
        assert.equal(String.fromCharCode(byte), this.#expected.next().value, `letter ${this.heard}`);
      }
    });
  }

  async more(count: number): Promise<void> {
    const wanted = this.heard + count;
    for (let waited = 0; this.heard < wanted; waited += 5) {
      assert.ok(waited < 60_000, `nothing said after ${this.heard} letters`);
      await pause(5);
    }
  }
}

/** A qcow2 image of 1 MiB. */
export async function image(folder: string, name: string): Promise<string> {
  const path = join(folder, name);
  const file = NODE_BLOCK_HOST.createFile!(path);
  await FORMATS.find((f) => f.name === 'qcow2')!.create!({
    host: NODE_BLOCK_HOST,
    filename: path,
    file,
    size: 1 << 20,
    text: () => undefined,
    flag: () => undefined,
    number: () => undefined,
    secret: () => new Uint8Array(),
    createFile: () => {
      throw new UserError('one file is enough');
    },
    openBacking: async () => null,
  });
  await file.close();
  return path;
}
