/** Machines with Debian's kernel for a complete KVM: what the tests of this folder have in common. */
import assert from 'node:assert/strict';
import type { MachineState, VirtualMachine } from '../../src/app/lib/index.js';
import { type LinuxOptions, linuxMachine, PROMPT } from '../systems/linux.js';

/** Of a busy host: a quiet one needs a tenth. */
export const BOOT_SECONDS = 1200;
/** Likewise, of one command. */
export const COMMAND_SECONDS = 300;

/**
 * Most of a boot in the lab is exits for what no test looks at: the kernel reads each word of the VGA window, and looks for an AGP
 * bridge on all 256 buses, twice.
 */
export const WITHOUT_VGA = ['-vga', 'none'];
const WITHOUT_EARLY_PCI = 'pci=noearly';
/** A lab on a busy host stands still for longer than the kernel's watchdog thinks possible. */
export const WITHOUT_WATCHDOG = 'nosoftlockup';
export const APPEND = `console=ttyS0 quiet ${WITHOUT_EARLY_PCI} ${WITHOUT_WATCHDOG}`;

export interface Says {
  diagnostic(text: string): void;
}

/** Boots to the shell. */
export async function boot(t: Says, options: Partial<LinuxOptions>): Promise<VirtualMachine> {
  const vm = await linuxMachine({
    linux: 'linux-amd64',
    cpu: 'host',
    append: APPEND,
    ...options,
  });
  const start = performance.now();
  vm.start();
  const said = await vm.serial.waitFor(PROMPT, { timeout: BOOT_SECONDS });
  assert.doesNotMatch(said, /header type|Kernel panic|Oops|BUG:|invalid opcode|general protection|segfault/);
  t.diagnostic(`${((performance.now() - start) / 1000).toFixed(1)} s to the prompt`);
  return vm;
}

/** Stops the machine and takes its state. */
export async function stateOf(vm: VirtualMachine): Promise<MachineState> {
  vm.stop();
  while (vm.state === 'running') await new Promise((resolve) => setTimeout(resolve, 10));
  return vm.saveState();
}
