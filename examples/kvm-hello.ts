/**
 * The classic first KVM program: a page of guest memory, one processor in real mode, and a loop that writes a text to the
 * serial port until it halts. Build, then run it on any Linux with /dev/kvm, or anywhere with `software`:
 *
 *     npm run build && node dist/examples/kvm-hello.js [software]
 */
import { Kvm } from '../src/accel/kvm/kvm.js';
import { linuxCalls } from '../src/host/node/kvm/linux.js';
import { softwareKvm } from '../src/host/node/kvm/software.js';

const CODE_AT = 0x1000;
const SERIAL_PORT = 0x3f8;

//     mov si, 0x1010
// put: lodsb
//     test al, al / jz done
//     mov dx, 0x3f8 / out dx, al / jmp put
// done: hlt
const code = [0xbe, 0x10, 0x10, 0xac, 0x84, 0xc0, 0x74, 0x06, 0xba, 0xf8, 0x03, 0xee, 0xeb, 0xf5, 0xf4, 0x90];
const text = 'Hello from a guest!\n\0';

const kvm = process.argv[2] === 'software' ? softwareKvm() : new Kvm(linuxCalls());
console.log(`KVM interface version ${kvm.apiVersion}`);
const vm = kvm.createVm();
const ram = vm.allocate(0x10000);
ram.set(code, CODE_AT);
ram.set(new TextEncoder().encode(text), CODE_AT + code.length);
vm.setMemory({ slot: 0, guestAddress: 0n, memory: ram });
const vcpu = vm.createVcpu(0);

// After reset CS points to the firmware below 4 GiB; ours starts at 0000:1000.
const sregs = vcpu.sregs();
vcpu.setSregs({ ...sregs, cs: { ...sregs.cs, base: 0n, selector: 0 } });
vcpu.setRegs({ ...vcpu.regs(), rip: BigInt(CODE_AT), rflags: 2n });

for (let halted = false; !halted; ) {
  vcpu.run();
  const exit = vcpu.exit();
  switch (exit.reason) {
    case 'io':
      if (exit.write && exit.port === SERIAL_PORT) process.stdout.write(exit.data.slice());
      break;
    case 'hlt':
      halted = true;
      break;
    case 'interrupted':
      break;
    default:
      throw new Error(`the guest stopped: ${exit.reason}`);
  }
}
console.log(`halted at ${vcpu.regs().rip.toString(16)}`);
vcpu.close();
vm.close();
kvm.close();
