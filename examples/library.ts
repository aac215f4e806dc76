/** Boots a stock kernel, asks it something, saves its screen:  npm run build && node dist/examples/library.js */
import { writeFileSync } from 'node:fs';
import { VirtualMachine } from '../src/app/lib/index.js';
import { initrdImage, linuxImage } from '../tools/guest/guests.js';

const PROMPT = '/ # ';

const vm = await VirtualMachine.create({
  kernel: await linuxImage('linux-amd64'),
  initrd: await initrdImage(),
  append: 'console=ttyS0 quiet',
  memory: '256M',
  cpu: 'max',
});
vm.start();
await vm.serial.waitFor(PROMPT);
console.log(await vm.serial.run('cat /proc/cpuinfo', PROMPT));
console.log(`the shell waits at rip ${vm.register('rip').toString(16)}`);
writeFileSync('screen.png', vm.screenshot());
vm.serial.write('poweroff\n');
console.log(await vm.ended);
await vm.dispose();
