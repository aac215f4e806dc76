/** Debian's kernels, started directly or by firmware, up to BusyBox's shell on the first serial port. */
import assert from 'node:assert/strict';
import { UserError, VirtualMachine, type VirtualMachineOptions } from '../../src/app/lib/index.js';
import { endWithParent } from '../../tools/guest/bound.js';
import { type InitrdRequest, initrdImage, type LinuxName, linuxImage } from '../../tools/guest/guests.js';
import { missing } from '../../tools/guest/missing.js';

// A runner that is killed leaves the processes of its files behind.
endWithParent();

export const PROMPT = '/ # ';

export type Tier = NonNullable<VirtualMachineOptions['tier']>;

const KNOWN: readonly Tier[] = ['both', 'compiled', 'interpreter', 'stress'];
/** Tiers to run on, where a test does not say itself: TINAMOU_TIERS=both,interpreter,compiled,stress; without it both together. */
export const TIERS: readonly Tier[] = (process.env['TINAMOU_TIERS'] ?? 'both').split(',').map((name) => {
  const tier = KNOWN.find((t) => t === name);
  if (!tier) throw new UserError(`TINAMOU_TIERS: no tier '${name}': choose from ${KNOWN.join(', ')}`);
  return tier;
});
/** How tests name a tier. */
export const tierName = (tier: Tier): string =>
  tier === 'both' ? 'both tiers' : tier === 'stress' ? 'stress' : `${tier} alone`;
/** How much longer things take than on both tiers together. */
export const SLOWER: Readonly<Record<Tier, number>> = { both: 1, compiled: 3, interpreter: 6, stress: 6 };

/** Seconds to wait for a prompt on a host that does other things too. */
export const BOOT_SECONDS: Readonly<Record<Tier, number>> = { both: 180, compiled: 600, interpreter: 900, stress: 900 };

export interface LinuxOptions extends VirtualMachineOptions {
  readonly linux: LinuxName;
  readonly initrdRequest?: Omit<InitrdRequest, 'linux'>;
}

/** False, or why this kernel with BusyBox cannot be had. */
export const missingLinux = (linux: LinuxName): Promise<string | false> =>
  missing(linux, linux === 'linux-amd64' ? 'busybox-amd64' : 'busybox-i386');

/** A machine with the kernel and an initrd, not started. */
export async function linuxMachine(options: LinuxOptions): Promise<VirtualMachine> {
  const { linux, initrdRequest, ...machine } = options;
  return VirtualMachine.create({
    kernel: await linuxImage(linux),
    initrd: await initrdImage({ linux, ...initrdRequest }),
    append: 'console=ttyS0',
    memory: '256M',
    ...machine,
  });
}

/** Starts the machine and waits for the shell. Resolves with what the guest said on the way. */
export async function toPrompt(vm: VirtualMachine, tier: Tier = 'both'): Promise<string> {
  vm.start();
  const said = await vm.serial.waitFor(PROMPT, { timeout: BOOT_SECONDS[tier] });
  assert.doesNotMatch(said, /Kernel panic|Oops|BUG:|WARNING: CPU|invalid opcode|general protection|segfault/);
  // What the kernel still has to say would come between the lines of commands.
  await run(vm, 'dmesg -n 1', BOOT_SECONDS[tier]);
  return said;
}

/** What a command prints, without its echo and the prompt. */
export async function run(vm: VirtualMachine, command: string, timeout = 60): Promise<string> {
  const said = await vm.serial.run(command, PROMPT, { timeout });
  return said
    .slice(said.indexOf('\n') + 1, -PROMPT.length)
    .replaceAll('\r', '')
    .trim();
}

/** The guest powers its machine off; the emulator's exit status is 0. */
export async function powerOff(vm: VirtualMachine): Promise<void> {
  vm.serial.write('poweroff\n');
  assert.deepEqual(await vm.ended, { cause: 'guest-shutdown', exitCode: 0 });
}
