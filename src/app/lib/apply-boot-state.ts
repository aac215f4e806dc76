/** Puts a loader's idea of the boot processor into its registers. */
import type { BootState } from '../../firmware/boot/boot-state.js';
import type { SegmentName, X86Registers } from '../../guest/x86/registers.js';

export function applyBootState(registers: X86Registers, boot: BootState): void {
  for (const [name, value] of Object.entries(boot.registers)) registers.set(name, BigInt(value));
  registers.set('rflags', 2n);
  if (boot.mode !== 'real') {
    for (const name of ['gdt', 'idt'] as const) {
      registers.setSegment(`${name}r`, {
        selector: 0,
        base: BigInt(boot[name].base),
        limit: boot[name].limit,
        attributes: 0,
      });
    }
    registers.set('cr3', BigInt(boot.cr3));
    registers.set('cr4', BigInt(boot.cr4));
    registers.set('efer', BigInt(boot.efer));
    registers.set('cr0', BigInt(boot.cr0));
  }
  for (const [name, s] of Object.entries(boot.segments)) {
    registers.setSegment(name as SegmentName, {
      selector: s.selector,
      base: BigInt(s.base),
      limit: s.limit,
      attributes: s.attributes,
    });
  }
  // Firmware asks CPUID; here the processor leaves out what it has not (MTRRs, on the oldest models).
  // A model without memory type registers refuses them, and needs none.
  for (const [index, value] of boot.msrs ?? []) registers.writeMsr(index, value);
  for (const [offset, value] of boot.localApic ?? []) registers.writeLocalApic(offset, value);
  registers.set('rip', BigInt(boot.pc));
}
