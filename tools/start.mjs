/**
 * `npm start [-- options]`: installs, builds, fetches a guest, and boots it to a shell in this terminal. What is there
 * already is not done again. Options go to tinamou-system-x86_64, behind those given here.
 */
import { createRequire } from 'node:module';
import { build } from './build.mjs';

await build();
const { linuxImage, initrdImage, biosFile } = await import('../dist/tools/guest/guests.js');
const { main } = createRequire(import.meta.url)('../bin/command.js')('system');

async function fetchGuest() {
  try {
    const kernel = await linuxImage('linux-amd64');
    const initrd = await initrdImage();
    await biosFile('bios-256k.bin');
    return { kernel, initrd };
  } catch (error) {
    if (error?.name !== 'UserError') throw error;
    console.error(`tinamou: ${error.message}`);
    process.exit(1);
  }
}

const { kernel, initrd } = await fetchGuest();
console.error('tinamou: booting a stock Debian kernel; Ctrl-A x ends it, Ctrl-A c is the monitor, Ctrl-A h helps');
process.exit(
  await main('tinamou-system-x86_64', 'x86_64', [
    ...['-kernel', kernel, '-initrd', initrd, '-append', 'console=ttyS0'],
    ...['-cpu', 'max', '-m', '256', '-nographic'],
    ...process.argv.slice(2),
  ]),
);
