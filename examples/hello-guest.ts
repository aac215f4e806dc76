/**
 * The classic first KVM program: a page of guest memory, one processor in real mode, and a loop that writes a text to the
 * serial port until it halts. `kvm-hello.ts` runs it on /dev/kvm, `browser/hello.ts` in a browser.
 */
import type { KvmSystem } from '../src/accel/kvm/interface.js';

const CODE_AT = 0x1000;
const SERIAL_PORT = 0x3f8;

//     mov si, 0x1010
// put: lodsb
//     test al, al / jz done
//     mov dx, 0x3f8 / out dx, al / jmp put
// done: hlt
const code = [0xbe, 0x10, 0x10, 0xac, 0x84, 0xc0, 0x74, 0x06, 0xba, 0xf8, 0x03, 0xee, 0xeb, 0xf5, 0xf4, 0x90];
const text = 'Hello from a guest!\n\0';

/** `print`: what the guest writes, and what there is to tell of it. */
export function hello(kvm: KvmSystem, print: (text: string) => void): void {
  print(`KVM interface version ${kvm.apiVersion}\n`);
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
        if (exit.write && exit.port === SERIAL_PORT) print(String.fromCharCode(...exit.data));
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
  print(`halted at ${vcpu.regs().rip.toString(16)}\n`);
  vcpu.close();
  vm.close();
  kvm.close();
}
