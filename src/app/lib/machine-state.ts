/** A whole stopped machine as data: the same under every accelerator, so that one goes on where another stopped. */
import { loadVcpu, saveVcpu, type VcpuState } from '../../guest/x86/vcpu-state.js';
import type { DeviceState } from '../../machine/state.js';
import type { Composed } from './compose.js';

export interface MachineState {
  /** Virtual time, ns. */
  readonly virtual: number;
  readonly ram: readonly { readonly name: string; readonly bytes: Uint8Array }[];
  readonly vcpus: readonly VcpuState[];
  readonly devices: Readonly<Record<string, DeviceState>>;
}

/** The machine must stand still. Drives' contents are no part of it. */
export function saveMachine({ machine, accelerator, kvm, registers }: Composed): MachineState {
  kvm?.settle();
  return {
    virtual: machine.clocks.virtual.now(),
    ram: machine.memory.ramBlocks.map(({ name, bytes }) => ({ name, bytes: bytes.slice() })),
    vcpus: registers.map((r) => saveVcpu(accelerator.memory, r)),
    devices: machine.saveDevices(),
  };
}

/** Into a machine made with the same options that has not run yet, or stands still. */
export function loadMachine(composed: Composed, state: MachineState): void {
  const { machine, accelerator, kvm, registers } = composed;
  composed.synchronize();
  machine.clocks.setVirtual(state.virtual);
  machine.memory.ramBlocks.forEach(({ host, bytes }, i) => {
    bytes.set(state.ram[i]!.bytes);
    accelerator.notifyWrite(host, bytes.length);
  });
  machine.loadDevices(state.devices);
  registers.forEach((r, i) => {
    loadVcpu(accelerator.memory, r, accelerator.runtime, state.vcpus[i]!, state.virtual);
  });
  kvm?.recordsLoaded();
}
