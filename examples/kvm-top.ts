/**
 * A machine under KVM and, every second, why its processors left the guest in that second: a table like that of `top`. Arguments are
 * those of tinamou-system-x86_64. Build, then:
 *
 *     npm run build && node dist/examples/kvm-top.js -kernel vmlinuz -initrd initrd.img -append console=ttyS0
 */
import { exitsSince, exitTable, type KvmReport, UserError, VirtualMachine } from '../src/app/lib/index.js';

const CLEAR = '\x1b[H\x1b[J';

async function main(): Promise<void> {
  const vm = await VirtualMachine.create({ args: ['-accel', 'kvm', ...process.argv.slice(2)] });
  let before: KvmReport = { facts: [], processors: [], accesses: [] };
  vm.start();
  const timer = setInterval(() => {
    const now = vm.exits()!;
    const screen = vm.serial.text.split('\n').slice(-5).join('\n');
    process.stdout.write(`${CLEAR}${exitTable(exitsSince(before, now))}\n${screen}\n`);
    before = now;
  }, 1000);
  process.once('SIGINT', () => vm.monitor('quit'));
  console.log(await vm.ended);
  clearInterval(timer);
  await vm.dispose();
}

main().catch((error: unknown) => {
  console.error(error instanceof UserError ? error.message : error);
  process.exitCode = 1;
});
