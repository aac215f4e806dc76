/**
 * What the machine thread and a vCPU's thread tell each other: words in shared memory, one block per vCPU, and one
 * doorbell for all. An exit itself is not copied: both threads see struct kvm_run.
 */
export const CONTROL_WORDS = 16;
export const Control = {
  /** Command to the vCPU's thread. */
  command: 0,
  /** State: what that thread does. */
  state: 1,
  /** Number of the thread in the host. */
  thread: 2,
  /** Whether an interrupt of a chip outside the kernel waits for this processor. */
  interruptLine: 3,
  /** NMIs to inject. */
  nmis: 4,
  /** SMIs to inject. */
  smis: 8,
  /** Halted: what the processor does instead of running, where KVM leaves that to us. */
  halted: 9,
  /** Changes whenever a halted processor should look at its words. */
  wake: 10,
  /** Someone wants to see every exit. */
  watched: 11,
  /** Question: why `state` is `asking`. */
  question: 5,
  /** Vector, in answer to Question.acknowledge; -1: none. */
  answer: 6,
  /** Orders memory accesses; its value means nothing. */
  fence: 7,
} as const;

export const Command = { park: 0, run: 1, end: 2 } as const;
/** `attaching`: the thread has its vCPU, but does not run it yet. */
export const State = { starting: 0, parked: 1, running: 2, asking: 3, ended: 4, attaching: 5 } as const;
/** `hlt` ends with an interrupt, `startup` with a start-up message. */
export const Halted = { no: 0, hlt: 1, startup: 2 } as const;
/**
 * `exit`: the machine thread handles what KVM_RUN came back with; `acknowledge`: which interrupt do the chips offer?
 * `apicBase`: the guest has moved its local APIC, or turned it on or off. `seen`: an exit that is not for the machine thread, while
 * someone watches.
 */
export const Question = { exit: 0, acknowledge: 1, apicBase: 2, seen: 3 } as const;

/** What a vCPU's thread starts with. */
export interface VcpuThreadData {
  readonly fd: number;
  readonly runBytes: number;
  readonly index: number;
  readonly control: SharedArrayBuffer;
  /** Page of struct kvm_run's mapping that has the ring of coalesced writes; 0: none. */
  readonly ringPage: number;
  /** PciPresence. */
  readonly presence: SharedArrayBuffer;
  /** WindowReads. */
  readonly window: SharedArrayBuffer;
  readonly memory: WebAssembly.Memory;
  /** In words. */
  readonly base: number;
  readonly doorbell: number;
  /** What ExitClock writes, for all vCPUs. */
  readonly stats: SharedArrayBuffer;
  /** The kernel has no local APIC: HLT is for us. */
  readonly recordApics: boolean;
  /** How often to look for an answer before going to sleep over it. */
  readonly spins: number;
}

/** Of a new thread: may it use its vCPU? Not once someone has called `forestall`: the descriptor may be another file's by then. */
export function attach({ control, base }: VcpuThreadData): boolean {
  const words = new Int32Array(control);
  return Atomics.compareExchange(words, base + Control.state, State.starting, State.attaching) === State.starting;
}

/** Makes a thread that has not come to its vCPU leave it alone. */
export function forestall(words: Int32Array, base: number): void {
  Atomics.compareExchange(words, base + Control.state, State.starting, State.ended);
}

/** Whoever waits for this processor hears that its thread is gone. */
export function markEnded({ control, base, doorbell }: VcpuThreadData): void {
  const words = new Int32Array(control);
  Atomics.store(words, base + Control.state, State.ended);
  Atomics.add(words, doorbell, 1);
  Atomics.notify(words, doorbell);
}
