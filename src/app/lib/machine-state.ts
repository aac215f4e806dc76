/** A whole stopped machine as data: the same under every accelerator, so that one goes on where another stopped. */
import { UserError } from '../../base/errors.js';
import { loadVcpu, saveVcpu, usesKvmClock, type VcpuState } from '../../guest/x86/vcpu-state.js';
import type { DeviceState } from '../../machine/state.js';
import type { Composed } from './compose.js';

/** All but the contents of memory. */
export interface ProcessorAndDeviceState {
  /** Virtual time, and what the realtime clock shows, ns. */
  readonly virtual: number;
  readonly realtime: number;
  readonly vcpus: readonly VcpuState[];
  readonly devices: Readonly<Record<string, DeviceState>>;
}

export interface MachineState extends ProcessorAndDeviceState {
  readonly ram: readonly { readonly name: string; readonly bytes: Uint8Array }[];
}

/** The machine must stand still. */
export function saveParts({ machine, accelerator, kvm, registers }: Composed): ProcessorAndDeviceState {
  kvm?.settle();
  return {
    virtual: machine.clocks.virtual.now(),
    realtime: machine.clocks.realtime.now(),
    vcpus: registers.map((r) => saveVcpu(accelerator.memory, r)),
    devices: machine.saveDevices(),
  };
}

/**
 * Into a machine made with the same options that has not run yet, or stands still, and whose memory is already what it
 * was. Throws UserError when the state does not fit.
 */
export function loadParts(composed: Composed, state: ProcessorAndDeviceState): void {
  const { machine, accelerator, kvm, registers } = composed;
  if (state.vcpus.length !== registers.length) {
    throw new UserError(`the saved machine has ${state.vcpus.length} processors, this one ${registers.length}`);
  }
  if (!kvm && state.vcpus.some(usesKvmClock)) {
    throw new UserError(
      "the saved guest keeps time by KVM's clock, which tcg has not: go on with -accel kvm, or boot it with -cpu ...,kvm=off",
    );
  }
  composed.synchronize();
  machine.clocks.setVirtual(state.virtual);
  machine.clocks.setRealtime(state.realtime);
  machine.loadDevices(state.devices);
  registers.forEach((r, i) => {
    loadVcpu(accelerator.memory, r, accelerator.runtime, state.vcpus[i]!, state.virtual);
  });
  kvm?.recordsLoaded();
}

/** The machine must stand still. Drives' contents are no part of it. */
export function saveMachine(composed: Composed): MachineState {
  return {
    ...saveParts(composed),
    ram: composed.machine.memory.ramBlocks.map(({ name, bytes }) => ({ name, bytes: bytes.slice() })),
  };
}

/** Into a machine made with the same options that has not run yet, or stands still. */
export function loadMachine(composed: Composed, state: MachineState): void {
  composed.machine.memory.ramBlocks.forEach(({ host, bytes }, i) => {
    bytes.set(state.ram[i]!.bytes);
    composed.accelerator.notifyWrite(host, bytes.length);
  });
  loadParts(composed, state);
}
