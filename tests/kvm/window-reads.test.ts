/** Reads of the VGA's window are answered on the vCPU's own thread, and nobody sees a difference. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { firmware, Guest } from './guest.js';
import { patience, times } from './patience.js';
import { skip } from './rig.js';

const ROUNDS = times(200);
const WORDS = 0x40;

/**
 * Writes 64 words of text, each time others, and reads them; then copies them through the latches, and compares all planes:
 *
 *        cli / cld / ds = es = b800h / graphics registers 5 = 10h, 6 = 0eh, 4 = 0 / sequencer 4 = 2, 2 = 3 / mov bp, ROUNDS
 * round: xor di, di / mov cx, 40h / mov ax, bp
 *        stosw / add ax, 1234h / loop $ - 4
 *        xor si, si / mov cx, 40h / mov bx, bp
 * next:  lodsw / cmp ax, bx / jne bad / add bx, 1234h / loop next
 *        dec bp / jnz round
 *        sequencer 2 = 0fh, 4 = 6 / graphics register 5 = 1 / xor si, si / mov di, 1000h / mov cx, 80h / rep movsb
 *        graphics register 5 = 0 / xor bx, bx
 * plane: graphics register 4 = bl / xor si, si / mov di, 1000h / mov cx, 80h / repe cmpsb / jne bad
 *        inc bx / cmp bl, 4 / jne plane / mov al, 'D' / jmp say
 * bad:   mov al, 'X'
 * say:   mov dx, 402h / out dx, al / hlt / jmp $ - 1
 */
const READS = `fa fc b8 00 b8 8e c0 8e d8 ba ce 03 b8 05 10 ef b8 06 0e ef b8 04 00 ef b2 c4 b8 04 02 ef b8 02 03 ef
  bd ${(ROUNDS & 0xff).toString(16).padStart(2, '0')} 00
  31 ff b9 40 00 89 e8 ab 05 34 12 e2 fa 31 f6 b9 40 00 89 eb ad 39 d8 75 45 81 c3 34 12 e2 f5 4d 75 de
  ba c4 03 b8 02 0f ef b8 04 06 ef b2 ce b8 05 01 ef 31 f6 bf 00 10 b9 80 00 f3 a4 b8 05 00 ef 31 db
  88 dc b0 04 ef 31 f6 bf 00 10 b9 80 00 f3 a6 75 0a 43 80 fb 04 75 e9 b0 44 eb 02 b0 58 ba 02 04 ee f4 eb fd`;

test('what was written to the window is read, and copied through the latches', {
  skip,
  timeout: patience(120_000),
}, async () => {
  const guest = new Guest(firmware(READS), { devices: [{ type: 'isa-vga', id: '', properties: {} }] });
  try {
    await guest.expect(/[DX]/);
    assert.equal(guest.said, 'D');
    const kvm = guest.composed.kvm!;
    const counts = kvm.windowReads.answered();
    assert.deepEqual([...counts.keys()], [0xb8000, 0xb9000]);
    // Of each round the first finds writes on their way.
    assert.ok(counts.get(0xb8000)! >= ROUNDS * (WORDS - 2), `${counts.get(0xb8000)}`);
    const reads = kvm
      .accesses()
      .find(({ space, write, address }) => space === 'memory' && !write && address === 0xb8000);
    assert.ok(reads!.count >= ROUNDS * WORDS, `${reads!.count}`);
  } finally {
    await guest.dispose();
  }
});
