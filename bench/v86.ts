/**
 * v86 (the npm package) as a process like any other emulator: `node v86.js KERNEL INITRD COMMAND-LINE RAM-MIB`, with the
 * guest's first serial port on the standard streams.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { V86 } from 'v86';
import { biosFile } from '../tools/guest/guests.js';

const image = (path: string): { buffer: ArrayBuffer } => ({ buffer: new Uint8Array(readFileSync(path)).buffer });

const [kernel, initrd, cmdline, mib] = process.argv.slice(2);
if (kernel === undefined || initrd === undefined || cmdline === undefined || mib === undefined) {
  console.error('usage: v86 KERNEL INITRD COMMAND-LINE RAM-MIB');
  process.exit(2);
}
const machine = new V86({
  wasm_path: fileURLToPath(import.meta.resolve('v86').replace('libv86.mjs', 'v86.wasm')),
  bios: image(await biosFile('bios.bin')),
  vga_bios: image(await biosFile('vgabios.bin')),
  bzimage: image(kernel),
  initrd: image(initrd),
  cmdline,
  memory_size: Number(mib) << 20,
  autostart: true,
  disable_keyboard: true,
  disable_mouse: true,
  disable_speaker: true,
});
machine.add_listener('serial0-output-byte', (byte) => {
  process.stdout.write(Uint8Array.of(byte));
});
process.stdin.on('data', (data: Buffer) => machine.serial0_send(data.toString('latin1')));
