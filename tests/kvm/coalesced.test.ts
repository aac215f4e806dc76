/** Writes that KVM gathers reach their device before anything that a processor does afterwards, whichever other processor asks. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { firmware, Guest } from './guest.js';
import { patience, times } from './patience.js';
import { hex, skip } from './rig.js';

const ROUNDS = times(2000);

/**
 * Starts the other processor at f000:0100, and reads port 92h for ever:
 *
 *       cli / xor ax, ax / mov ds, ax / [8000h] = jmp f000:0100
 *       lgdt cs:[e0h] / fs = a segment of 4 GiB / mov ebx, fee00300h: INIT, and start-up at 8000h twice, to all but itself
 * read: in al, 92h / jmp read
 */
const ASKS = `fa 31 c0 8e d8 c6 06 00 80 ea c7 06 01 80 00 01 c7 06 03 80 00 f0 2e 66 0f 01 16 e0 00 0f 20 c0 0c 01 0f 22 c0
  bb 08 00 8e e3 24 fe 0f 22 c0 66 bb 00 03 e0 fe 64 67 66 c7 03 00 45 0c 00 64 67 66 c7 03 08 46 0c 00 64 67 66 c7 03 08
  46 0c 00 e4 92 eb fc`;
const GDT = '0f 00 e8 00 0f 00 00 00 00 00 00 00 00 00 00 00 ff ff 00 00 00 93 cf 00';
/**
 * Selects the host bridge's vendor and its class in turns, whose address is gathered, and reads them:
 *
 *       mov bp, ROUNDS
 * next: mov dx, cf8h / mov eax, 80000000h / out dx, eax / mov dx, cfch / in eax, dx / cmp eax, 12378086h / jne bad
 *       mov dx, cf8h / mov eax, 80000008h / out dx, eax / mov dx, cfch / in eax, dx / cmp eax, 06000002h / jne bad
 *       dec bp / jnz next / mov al, 'D' / jmp say
 * bad:  mov al, 'X'
 * say:  mov dx, 402h / out dx, al / hlt / jmp $ - 1
 */
const READS = `bd ${(ROUNDS & 0xff).toString(16)} ${(ROUNDS >> 8).toString(16)} ba f8 0c 66 b8 00 00 00 80 66 ef ba fc 0c 66 ed
  66 3d 86 80 37 12 75 1f ba f8 0c 66 b8 08 00 00 80 66 ef ba fc 0c 66 ed 66 3d 02 00 00 06 75 07 4d 75 cd b0 44 eb 02 b0 58
  ba 02 04 ee f4 eb fd`;

test('a configuration address counts for the next read, while another processor keeps the machine thread busy', {
  skip,
  timeout: patience(120_000),
}, async () => {
  const image = firmware(ASKS);
  image.set(hex(GDT), 0xe0);
  image.set(hex(READS), 0x100);
  const guest = new Guest(image, { cpus: 2 });
  try {
    await guest.expect(/[DX]/);
    assert.equal(guest.said, 'D');
  } finally {
    await guest.dispose();
  }
});
