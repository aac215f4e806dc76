/**
 * A machine under KVM and, every second, why its processors leave the guest: a table like that of `top`. Arguments are
 * those of tinamou-system-x86_64. Build, then:
 *
 *     npm run build && node dist/examples/kvm-top.js -kernel vmlinuz -initrd initrd.img -append console=ttyS0
 */
import { VirtualMachine } from '../src/app/lib/index.js';

const CLEAR = '\x1b[H\x1b[J';

const vm = await VirtualMachine.create({ args: ['-accel', 'kvm', ...process.argv.slice(2)] });
vm.start();
const timer = setInterval(() => {
  process.stdout.write(`${CLEAR}${vm.monitor('info exits')}\n${vm.serial.text.split('\n').slice(-5).join('\n')}\n`);
}, 1000);
process.once('SIGINT', () => vm.monitor('quit'));
console.log(await vm.ended);
clearInterval(timer);
await vm.dispose();
