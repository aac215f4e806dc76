/** The few system calls that KVM needs, as the host offers them. src/host/node/kvm implements them for Linux. */

/** Memory of the kernel that is seen by this process. */
export interface Mapping {
  readonly buffer: ArrayBuffer;
  readonly address: bigint;
}

export interface Watch {
  dispose(): void;
}

/** Calls give a result of 0 and up, or a negative errno. File descriptors are good in every thread of the process. */
export interface HostCalls {
  /** For reading and writing, closed on exec. */
  open(path: string): number;
  close(fd: number): void;
  /** The same without waiting for it: the kernel takes its time to take a VM apart. */
  closeSoon(fd: number): void;
  ioctl(fd: number, request: number, argument: number): number;
  /** KVM_RUN of a vCPU. */
  run(fd: number): number;
  /** The kernel reads and writes `argument` in place. */
  ioctlBytes(fd: number, request: number, argument: Uint8Array): number;
  /** Shared. Throws KvmError. */
  map(fd: number, bytes: number): Mapping;
  unmap(mapping: Mapping): void;
  /** Host address of the first byte; its memory must not move: shared WebAssembly memory, or a mapping. */
  addressOf(memory: Uint8Array): bigint;
  /** A counter that never blocks. */
  eventfd(): number;
  signalEvent(fd: number): void;
  /** Takes what has been added up since; 0n when nothing. */
  takeEvent(fd: number): bigint;
  /** Calls back from the event loop while the counter is not zero. It does not keep the process alive. */
  watchEvent(fd: number, rung: () => void): Watch;
  /** Monotonic ns. */
  now(): number;
  /** The calling thread's number in the host. */
  threadId(): number;
  /** Sends a thread the signal that interrupts KVM_RUN. */
  interruptThread(thread: number): void;
  errnoName(errno: number): string;
}
