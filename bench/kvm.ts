/**
 * What the KVM binding and accelerator cost, side by side with C programs and QEMU on the same /dev/kvm:
 *
 *     npm run bench:kvm [-- PART ...]
 *
 * Parts: exits, trip, firmware; and debian, which needs a complete KVM: `npm run bench:kvm-lab` brings one. Every figure is the median of rounds in which both sides take turns.
 */
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Exit } from '../src/accel/kvm/abi.js';
import { Kvm } from '../src/accel/kvm/kvm.js';
import { VirtualMachine } from '../src/app/lib/index.js';
import { linuxCalls } from '../src/host/node/kvm/linux.js';
import { biosFile } from '../tools/guest/guests.js';
import { leaveOutCertificates } from './environment.js';
import { Guest, PROMPT, processorSeconds } from './guest.js';
import { plainFiles } from './machines.js';

leaveOutCertificates();

const ROUNDS = 7;
const EXITS = 100_000;
const DEBIAN_ROUNDS = 3;
const DEBIAN_MS = 900_000;
const CODE = 0x1000;
const PROGRAMS = { port: [0xe6, 0x80, 0xeb, 0xfc], memory: [0xa3, 0, 0, 0xeb, 0xfb] } as const;
type Kind = keyof typeof PROGRAMS;

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1]!;

/** A device as an object: what our devices are. */
class Latch {
  readonly bytes = new Uint8Array(4);

  write(offset: number, data: Uint8Array): void {
    for (let i = 0; i < data.length; i++) this.bytes[(offset + i) & 3] = data[i]!;
  }
}

/** Seconds for so many exits through the binding. */
function bindingSeconds(kind: Kind): number {
  const kvm = new Kvm(linuxCalls());
  const vm = kvm.createVm();
  const ram = new Uint8Array(new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true }).buffer);
  ram.set(PROGRAMS[kind], CODE);
  vm.setMemory({ slot: 0, guestAddress: 0n, memory: ram });
  const vcpu = vm.createVcpu(0);
  const sregs = vcpu.sregs();
  vcpu.setSregs({
    ...sregs,
    cs: { ...sregs.cs, base: 0n, selector: 0 },
    ds: { ...sregs.ds, base: 0xd0000n, selector: 0xd000 },
  });
  vcpu.setRegs({ ...vcpu.regs(), rip: BigInt(CODE), rflags: 2n });
  const latch = new Latch();
  const start = performance.now();
  for (let i = 0; i < EXITS; i++) {
    const reason = vcpu.run();
    if (reason !== Exit.io && reason !== Exit.mmio) throw new Error(`exit ${reason}`);
    const exit = vcpu.exit();
    if (exit.reason === 'io') latch.write(exit.port, exit.data);
    else if (exit.reason === 'mmio') latch.write(exit.address, exit.data);
  }
  const seconds = (performance.now() - start) / 1000;
  vcpu.close();
  vm.close();
  kvm.close();
  return seconds;
}

function compareExits(folder: string): void {
  const program = join(folder, 'exits');
  execFileSync('gcc', ['-O2', '-o', program, new URL('../../bench/kvm-exits.c', import.meta.url).pathname]);
  for (const kind of ['port', 'memory'] as const) {
    const ours: number[] = [];
    const theirs: number[] = [];
    bindingSeconds(kind);
    for (let round = 0; round < ROUNDS; round++) {
      ours.push(bindingSeconds(kind));
      theirs.push(Number(execFileSync(program, [kind, String(EXITS)], { encoding: 'utf8' })));
    }
    const rate = (seconds: readonly number[]): number => EXITS / median(seconds) / 1000;
    const ratio = median(ours.map((seconds, i) => theirs[i]! / seconds));
    console.log(
      `${kind.padEnd(7)} exits: ${rate(ours).toFixed(0)} thousand a second, C ${rate(theirs).toFixed(0)}: ${ratio.toFixed(2)} of C`,
    );
  }
}

/** What a whole machine pays for one exit: the way to the machine thread and back, with the device. */
async function roundTrip(folder: string): Promise<void> {
  const image = new Uint8Array(0x10000);
  image.set(PROGRAMS.port);
  image.set([0xea, 0, 0, 0, 0xf0], 0xfff0); // jmp f000:0000
  const bios = join(folder, 'loop.bin');
  writeFileSync(bios, image);
  const vm = await VirtualMachine.create({ bios, memory: '16M', args: ['-accel', 'kvm'] });
  vm.start();
  await new Promise((resolve) => setTimeout(resolve, 2000));
  console.log(`\nA machine whose guest writes port 80h for two seconds:\n${vm.monitor('info exits')}`);
  await vm.dispose();
}

const COMMAND = new URL('../../bin/tinamou-system-x86_64.js', import.meta.url).pathname;
const DEBUGCON = ['-debugcon', 'stdio', '-global', 'isa-debugcon.iobase=0x402'];

/** In seconds; `processor`: of all threads, the guest's included. */
interface Took {
  readonly wall: number;
  readonly processor: number;
}

/** From the start of a program to SeaBIOS's attempt to boot. */
function bootSeconds(command: string, args: readonly string[]): Promise<Took> {
  const start = performance.now();
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.stdout.on('data', (data) => {
      said += data;
      if (!said.includes('Booting from')) return;
      resolve({ wall: (performance.now() - start) / 1000, processor: processorSeconds(child.pid!) });
      child.kill('SIGKILL');
    });
    child.on('exit', () => reject(new Error(`${command} ended: ${said.slice(-200)}`)));
  });
}

/** Debian's kernel to its shell, from the start of the program. */
async function compareDebian(): Promise<void> {
  const { kernel, initrd } = await plainFiles(64);
  const machine = [
    ...['-accel', 'kvm', '-cpu', 'host', '-m', '256', '-nographic', '-no-reboot', '-nic', 'none'],
    ...['-kernel', kernel, '-initrd', initrd, '-append', 'console=ttyS0 quiet'],
  ];
  const seconds = async (program: string, args: readonly string[]): Promise<number> => {
    const guest = new Guest(program, { program, args: [...args, ...machine] });
    try {
      await guest.until(PROMPT, DEBIAN_MS);
      return guest.age;
    } finally {
      await guest.stop();
    }
  };
  const ours: number[] = [];
  const theirs: number[] = [];
  for (let round = 0; round < DEBIAN_ROUNDS; round++) {
    theirs.push(await seconds('qemu-system-x86_64', []));
    ours.push(await seconds(process.execPath, [COMMAND]));
    // A round takes minutes in the lab, which may end it.
    console.log(`Debian, round ${round + 1}: ${ours[round]!.toFixed(1)} s, QEMU ${theirs[round]!.toFixed(1)} s`);
  }
  const ratio = median(ours.map((s, i) => s / theirs[i]!));
  console.log(
    `Debian to its shell, with the start of the program: ${median(ours).toFixed(1)} s, QEMU ${median(theirs).toFixed(1)} s: ${ratio.toFixed(2)} times`,
  );
}

async function compareBoot(): Promise<void> {
  const bios = await biosFile('bios-256k.bin');
  const machine = ['-accel', 'kvm', '-nodefaults', '-display', 'none', '-m', '64', '-bios', bios, ...DEBUGCON];
  const ours: Took[] = [];
  const theirs: Took[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    ours.push(await bootSeconds(process.execPath, [COMMAND, ...machine]));
    theirs.push(await bootSeconds('qemu-system-x86_64', machine));
  }
  for (const [clock, name] of [
    ['wall', 'to its prompt, with the start of the program'],
    ['processor', 'the same in processor time'],
  ] as const) {
    const of = (took: readonly Took[]): number => median(took.map((t) => t[clock]));
    const ratio = median(ours.map((took, i) => took[clock] / theirs[i]![clock]));
    console.log(
      `SeaBIOS ${name}: ${of(ours).toFixed(2)} s, QEMU ${of(theirs).toFixed(2)} s: ${ratio.toFixed(2)} times`,
    );
  }
}

const PARTS: Readonly<Record<string, (folder: string) => void | Promise<void>>> = {
  exits: compareExits,
  trip: roundTrip,
  firmware: compareBoot,
  debian: compareDebian,
};
const asked = process.argv.slice(2);
const parts = asked.length > 0 ? asked : ['exits', 'trip', 'firmware'];
const unknown = parts.find((part) => !(part in PARTS));
if (unknown !== undefined) {
  console.error(`bench:kvm: there is no part '${unknown}': ${Object.keys(PARTS).join(', ')}`);
  process.exit(2);
}

const folder = mkdtempSync(join(tmpdir(), 'kvm-bench-'));
try {
  for (const part of parts) await PARTS[part]!(folder);
} finally {
  rmSync(folder, { recursive: true });
}
