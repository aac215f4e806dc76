/** What VIRTIO's drivers write to say that there is work does not leave the guest, whichever way the device is reached. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { VirtualMachine } from '../../src/app/lib/index.js';
import { firmware, pause } from './guest.js';
import { patience, times } from './patience.js';
import { hex, skip } from './rig.js';

/**
 * Puts the legacy ports of 00:03.0 at c000h, and rings queue 0's bell there for ever, with a port between that is an exit:
 *
 *       mov dx, cf8h / mov eax, 80001810h / out dx, eax / mov dx, cfch / mov eax, c000h / out dx, eax
 *       mov dx, cf8h / mov eax, 80001804h / out dx, eax / mov dx, cfch / mov ax, 1 / out dx, ax
 * ring: mov dx, c010h / xor ax, ax / out dx, ax / out 80h, al / jmp ring
 */
const LEGACY = `ba f8 0c 66 b8 10 18 00 80 66 ef ba fc 0c 66 b8 00 c0 00 00 66 ef
  ba f8 0c 66 b8 04 18 00 80 66 ef ba fc 0c b8 01 00 ef ba 10 c0 31 c0 ef e6 80 eb f6`;
/**
 * The same with the transport at feb00000h, by way of a segment of 4 GiB. Code is at ffff0000h, where there is no RAM:
 *
 *       cli / lgdt cs:[30h] / mov eax, cr0 / or al, 1 / mov cr0, eax / mov bx, 8 / mov fs, bx / and al, feh / mov cr0, eax
 *       mov ebx, feb00050h
 * ring: mov dword fs:[ebx], 0 / out 80h, al / jmp ring
 */
const MMIO = `fa 2e 66 0f 01 16 30 00 0f 20 c0 0c 01 0f 22 c0 bb 08 00 8e e3 24 fe 0f 22 c0 66 bb 50 00 b0 fe
  64 67 66 c7 03 00 00 00 00 e6 80 eb f3 90 90 90 0f 00 38 00 ff ff 00 00 00 00 00 00 00 00 00 00 ff ff 00 00 00 93 cf 00`;

const ROUNDS = times(500);

function image(code: string): Uint8Array {
  const bytes = firmware(code);
  bytes.set(hex('e9 0d 00'), 0xfff0); // jmp 0
  return bytes;
}

for (const [what, code, bell, args] of [
  ['legacy ports', LEGACY, '0xc010', ['-device', 'virtio-rng-pci,addr=3']],
  ['legacy ports with ioeventfd=off', LEGACY, '0xc010', ['-device', 'virtio-rng-pci,addr=3,ioeventfd=off']],
  ['virtio-mmio', MMIO, '0xfeb00000', ['-machine', 'microvm', '-device', 'virtio-rng-device']],
] as const) {
  test(`doorbells: ${what}`, { skip, timeout: patience(60_000) }, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'kvm-doorbells-'));
    const bios = join(folder, 'bios.bin');
    writeFileSync(bios, image(code));
    const vm = await VirtualMachine.create({ bios, memory: '16M', args: ['-accel', 'kvm', ...args] });
    try {
      vm.start();
      const writes = (place: string): number =>
        Number(new RegExp(`${place} +write +(\\d+)`).exec(vm.monitor('info exits'))?.[1] ?? 0);
      for (let waited = 0; writes('0x80') < ROUNDS && waited < patience(5000); waited++) await pause(1);
      assert.ok(writes('0x80') >= ROUNDS, vm.monitor('info exits'));
      // Each round rings once.
      if (what.includes('off')) assert.ok(writes(bell) >= ROUNDS - 1, vm.monitor('info exits'));
      else assert.equal(writes(bell), 0, vm.monitor('info exits'));
    } finally {
      await vm.dispose();
      rmSync(folder, { recursive: true });
    }
  });
}
