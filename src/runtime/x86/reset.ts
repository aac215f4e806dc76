/** Power-on, INIT and start-up (Intel SDM vol. 3A ch. 10), and the A20 gate. */
import { VCPU_ADDRESS_SPACE, VCPU_FAULT_PENDING, VCPU_HALTED, VCPU_INTERRUPT_REQUEST } from '../generated/layout';
import {
  SEG_CS,
  SEG_GDTR,
  SEG_IDTR,
  SEG_LDTR,
  SEG_TR,
  X86_A20_CLOSED,
  X86_APIC_BASE,
  X86_BOOT_MSRS,
  X86_CPL,
  X86_CPUID,
  X86_CR0,
  X86_CR2,
  X86_CR3,
  X86_CR4,
  X86_CSTAR,
  X86_DF,
  X86_DR,
  X86_EFER,
  X86_EFLAGS,
  X86_FCS,
  X86_FCW,
  X86_FDP,
  X86_FDS,
  X86_FIP,
  X86_FMASK,
  X86_FOP,
  X86_FP_TAGS,
  X86_FP_TOP,
  X86_FPR,
  X86_FSW,
  X86_HARD_PENDING,
  X86_IN_SMM,
  X86_INHIBIT_INTERRUPTS,
  X86_KERNEL_GS_BASE,
  X86_LSTAR,
  X86_MC_BANKS,
  X86_MCG_CTL,
  X86_MCG_STATUS,
  X86_MISC_ENABLE,
  X86_MONITOR_ARMED,
  X86_MTRR_DEF_TYPE,
  X86_MTRR_FIXED,
  X86_MTRR_VAR,
  X86_MXCSR,
  X86_NMI_BLOCKED,
  X86_OLD_EXCEPTION,
  X86_OPMASK,
  X86_PARAVIRTUAL,
  X86_PARAVIRTUAL_CLOCK,
  X86_PAT,
  X86_PENDING_DR6,
  X86_PKRU,
  X86_RAX,
  X86_SIPI_VECTOR,
  X86_SMBASE,
  X86_SPEC_CTRL,
  X86_STAR,
  X86_SYSENTER_CS,
  X86_SYSENTER_EIP,
  X86_SYSENTER_ESP,
  X86_TLB_PCID,
  X86_TSC_ADJUST,
  X86_TSC_AUX,
  X86_TSC_OFFSET,
  X86_WAIT_FOR_SIPI,
  X86_XCR0,
  X86_XSS,
  X86_ZMM,
  X86_ZMM_HIGH,
} from '../generated/x86';
import { flushAll } from './address-spaces';
import { CR0_CD, CR0_ET, CR0_NW, cr0, setPc, setReg, setSegment } from './cpu';
import { DR6_FIXED, DR7_FIXED } from './debug';
import { setLazyFlags } from './flags';
import { BASE_BSP, BASE_ENABLE, BASE_RESET, resetApic } from './lapic';
import { updateMode } from './mode';
import { REAL_CODE, REAL_DATA } from './segments';

const PAT_RESET: u64 = 0x0007040600070406;
const LDT_ATTR: u32 = 0x82;
const TSS_ATTR: u32 = 0x8b;

const PARAVIRTUAL_BYTES: usize = X86_PARAVIRTUAL_CLOCK - X86_PARAVIRTUAL;

/** What INIT and reset have in common: the integer and system registers. */
function initRegisters(cpu: usize): void {
  memory.fill(cpu + X86_RAX, 0, 16 * 8);
  // EDX tells the processor's family, model and stepping: CPUID leaf 1's EAX (leaves are stored from 0 on).
  setReg(cpu, 2, load<u32>(cpu + X86_CPUID + 16));
  store<u64>(cpu + X86_EFLAGS, 2);
  setLazyFlags(cpu, 0);
  store<u64>(cpu + X86_DF, 1);
  for (let seg: u32 = 0; seg < 6; seg++) setSegment(cpu, seg, 0, 0, 0xffff, REAL_DATA);
  setSegment(cpu, SEG_CS, 0xf000, 0xffff0000, 0xffff, REAL_CODE);
  setSegment(cpu, SEG_LDTR, 0, 0, 0xffff, LDT_ATTR);
  setSegment(cpu, SEG_TR, 0, 0, 0xffff, TSS_ATTR);
  setSegment(cpu, SEG_GDTR, 0, 0, 0xffff, 0);
  setSegment(cpu, SEG_IDTR, 0, 0, 0xffff, 0);
  setPc(cpu, 0xfff0);
  store<u64>(cpu + X86_CR2, 0);
  store<u64>(cpu + X86_CR3, 0);
  store<u64>(cpu + X86_CR4, 0);
  store<u64>(cpu + X86_EFER, 0);
  memory.fill(cpu + X86_DR, 0, 64);
  store<u64>(cpu + X86_DR + 48, DR6_FIXED);
  store<u64>(cpu + X86_DR + 56, DR7_FIXED);
  store<u32>(cpu + X86_INHIBIT_INTERRUPTS, 0);
  store<u32>(cpu + X86_NMI_BLOCKED, 0);
  store<u32>(cpu + X86_IN_SMM, 0);
  store<u32>(cpu + VCPU_ADDRESS_SPACE, 0);
  store<u32>(cpu + X86_CPL, 0);
  store<u32>(cpu + X86_OLD_EXCEPTION, 0xffffffff);
  store<u32>(cpu + X86_MONITOR_ARMED, 0);
  store<u32>(cpu + X86_PENDING_DR6, 0);
  store<u32>(cpu + VCPU_FAULT_PENDING, 0);
  store<u32>(cpu + VCPU_HALTED, 0);
}

function waitOrRun(cpu: usize): void {
  const bsp = (load<u64>(cpu + X86_APIC_BASE) & BASE_BSP) !== 0;
  store<u32>(cpu + X86_WAIT_FOR_SIPI, bsp ? 0 : 1);
  store<u32>(cpu + VCPU_HALTED, bsp ? 0 : 1);
  memory.fill(cpu + X86_TLB_PCID, 0, 8192);
  flushAll(cpu);
  updateMode(cpu);
}

/** Power-on state. The CPU model (CPUID, features, address width) and the A20 gate are not touched. */
export function resetCpu(cpu: usize, isBsp: u32): void {
  atomic.store<u32>(cpu + VCPU_INTERRUPT_REQUEST, 0);
  initRegisters(cpu);
  store<u64>(cpu + X86_CR0, CR0_CD | CR0_NW | CR0_ET);
  store<u64>(cpu + X86_STAR, 0);
  store<u64>(cpu + X86_LSTAR, 0);
  store<u64>(cpu + X86_CSTAR, 0);
  store<u64>(cpu + X86_FMASK, 0);
  store<u64>(cpu + X86_KERNEL_GS_BASE, 0);
  store<u64>(cpu + X86_SYSENTER_CS, 0);
  store<u64>(cpu + X86_SYSENTER_ESP, 0);
  store<u64>(cpu + X86_SYSENTER_EIP, 0);
  store<u64>(cpu + X86_PAT, PAT_RESET);
  store<u64>(cpu + X86_TSC_OFFSET, 0);
  store<u64>(cpu + X86_TSC_ADJUST, 0);
  store<u64>(cpu + X86_TSC_AUX, 0);
  store<u64>(cpu + X86_MISC_ENABLE, 1); // fast strings
  store<u64>(cpu + X86_MTRR_DEF_TYPE, 0);
  memory.fill(cpu + X86_MTRR_FIXED, 0, 11 * 8);
  memory.fill(cpu + X86_MTRR_VAR, 0, 16 * 8);
  store<u64>(cpu + X86_MCG_STATUS, 0);
  store<u64>(cpu + X86_MCG_CTL, <u64>-1);
  for (let bank: usize = 0; bank < 10; bank++) {
    memory.fill(cpu + X86_MC_BANKS + bank * 32, 0, 32);
    store<u64>(cpu + X86_MC_BANKS + bank * 32, <u64>-1);
  }
  // The microcode revision belongs to the CPU model; the rest of these registers resets to zero.
  const microcode = load<u64>(cpu + X86_BOOT_MSRS + 8);
  memory.fill(cpu + X86_BOOT_MSRS, 0, 64);
  store<u64>(cpu + X86_BOOT_MSRS + 8, microcode);
  store<u64>(cpu + X86_XCR0, 1);
  store<u64>(cpu + X86_XSS, 0);
  store<u64>(cpu + X86_PKRU, 0);
  store<u64>(cpu + X86_SMBASE, 0x30000);
  store<u32>(cpu + X86_SIPI_VECTOR, 0);
  store<u32>(cpu + X86_HARD_PENDING, 0);
  store<u64>(cpu + X86_APIC_BASE, BASE_RESET | BASE_ENABLE | (isBsp !== 0 ? BASE_BSP : 0));

  store<u64>(cpu + X86_SPEC_CTRL, 0);
  memory.fill(cpu + X86_PARAVIRTUAL, 0, PARAVIRTUAL_BYTES);

  memory.fill(cpu + X86_OPMASK, 0, 8 * 8);
  memory.fill(cpu + X86_ZMM_HIGH, 0, 16 * 64);
  memory.fill(cpu + X86_ZMM, 0, 16 * 64);
  memory.fill(cpu + X86_FPR, 0, 8 * 16);
  store<u32>(cpu + X86_FP_TOP, 0);
  store<u32>(cpu + X86_FP_TAGS, 0xff);
  store<u32>(cpu + X86_FCW, 0x37f);
  store<u32>(cpu + X86_FSW, 0);
  store<u32>(cpu + X86_FOP, 0);
  store<u32>(cpu + X86_FCS, 0);
  store<u32>(cpu + X86_FDS, 0);
  store<u64>(cpu + X86_FIP, 0);
  store<u64>(cpu + X86_FDP, 0);
  store<u32>(cpu + X86_MXCSR, 0x1f80);
  resetApic(cpu);
  waitOrRun(cpu);
}

/** INIT: as reset, but model-specific registers, floating point and cache control stay. */
export function initProcessor(cpu: usize): void {
  const cache = cr0(cpu) & (CR0_CD | CR0_NW);
  initRegisters(cpu);
  store<u64>(cpu + X86_CR0, cache | CR0_ET);
  resetApic(cpu);
  waitOrRun(cpu);
}

/** A start-up message's vector names the page where real-mode execution begins. */
export function startProcessor(cpu: usize): void {
  const vector = load<u32>(cpu + X86_SIPI_VECTOR) & 0xff;
  setSegment(cpu, SEG_CS, vector << 8, <u64>(vector << 12), 0xffff, REAL_CODE);
  setPc(cpu, 0);
  store<u32>(cpu + X86_WAIT_FOR_SIPI, 0);
  store<u32>(cpu + VCPU_HALTED, 0);
  updateMode(cpu);
}

const A20: u64 = 1 << 20;
/** Opens or closes the A20 gate. */
export function setA20(cpu: usize, on: u32): void {
  const closed: u64 = on !== 0 ? 0 : A20;
  if (load<u64>(cpu + X86_A20_CLOSED) === closed) return;
  store<u64>(cpu + X86_A20_CLOSED, closed);
  flushAll(cpu);
}
