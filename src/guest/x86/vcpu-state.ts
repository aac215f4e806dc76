/** The architectural state of a vCPU as plain data: what a saved machine has of it, whichever accelerator runs it. */
import { UserError } from '../../base/errors.js';
import { VCPU } from '../../ir/layout.js';
import type { X86Registers } from './registers.js';
import { IntReq, LAPIC, X86 } from './state.js';

/** Of the machine's set-up, of the translator, or a debugger's: not the guest's. */
const NOT_ARCHITECTURAL = new Set([
  ...['debugger', 'breakpointCount', 'breakpoints', 'cpuid', 'cpuidIndex', 'cpuidCount', 'physBits', 'features'],
  ...[
    'tlbPcid',
    'largePages',
    'hugePages',
    'stringScratch',
    'vectorBase',
    'vtemp',
    'lapicDeadline',
    'cpl',
    'hardPending',
  ],
]);
const FIELDS = Object.keys(X86.at).filter((field) => !NOT_ARCHITECTURAL.has(field));
/** What can wait for a processor besides what its local APIC and 8259 say. */
const EVENTS = IntReq.nmi | IntReq.smi | IntReq.init | IntReq.sipi;
const TIMER_MASKED = 1 << 16;
/** Of the fields that a saved processor has. */
const VERSION = 1;
/** Fields of which the runtime takes for granted that nothing else is in them. */
const IN_RANGE: Readonly<Record<string, number>> = {
  fpTop: 7,
  fpTags: 0xff,
  inhibitInterrupts: 3,
  sipiVector: 0xff,
  // The number of an address space.
  inSmm: 1,
};

export interface VcpuState {
  readonly version: number;
  readonly rip: bigint;
  readonly rflags: bigint;
  readonly halted: boolean;
  /** IntReq bits. */
  readonly events: number;
  /** Bytes of each field of the record. */
  readonly fields: Readonly<Record<string, Uint8Array>>;
}

/** What `loadVcpu` needs of the runtime. */
export interface VcpuRuntime {
  tlbFlush(cpu: number): void;
  updateMode(cpu: number): void;
  setIntr(cpu: number, level: number): void;
}

export function saveVcpu(memory: WebAssembly.Memory, registers: X86Registers): VcpuState {
  const { state } = registers;
  const view = new DataView(memory.buffer);
  const rflags = registers.get('rflags');
  const bytes = (field: string): Uint8Array => {
    const copy = new Uint8Array(memory.buffer, state + X86.at[field]!, X86.bytes[field]!).slice();
    if (field === 'lapic') new DataView(copy.buffer).setUint32(LAPIC.at['intr']!, 0, true);
    return copy;
  };
  return {
    version: VERSION,
    rip: registers.get('rip'),
    rflags,
    halted: view.getUint32(state + VCPU.at['halted']!, true) !== 0,
    events: view.getUint32(state + VCPU.at['interruptRequest']!, true) & EVENTS,
    fields: Object.fromEntries(FIELDS.map((field) => [field, bytes(field)])),
  };
}

/** Whether the guest has asked KVM to write the time into its memory. */
export function usesKvmClock({ fields }: VcpuState): boolean {
  return ((fields['paravirtual']?.[0] ?? 0) & 1) !== 0;
}

/** Throws UserError unless this is a saved processor: it may come from anywhere. */
function check(saved: VcpuState): void {
  if (saved.version !== VERSION) {
    throw new UserError(
      `saved processor has version ${saved.version}${saved.version > VERSION ? ', newer than' : ', known is'} ${VERSION}`,
    );
  }
  const whole =
    typeof saved.rip === 'bigint' &&
    typeof saved.rflags === 'bigint' &&
    typeof saved.halted === 'boolean' &&
    typeof saved.events === 'number' &&
    typeof saved.fields === 'object';
  if (!whole) throw new UserError('saved processor is broken');
  for (const field of FIELDS) {
    const bytes = saved.fields[field];
    if (!(bytes instanceof Uint8Array) || bytes.length !== X86.bytes[field]) {
      throw new UserError(`saved processor lacks '${field}'`);
    }
  }
}

/** `now`: virtual time, ns. Throws UserError when `saved` is no saved processor. */
export function loadVcpu(
  memory: WebAssembly.Memory,
  registers: X86Registers,
  runtime: VcpuRuntime,
  saved: VcpuState,
  now: number,
): void {
  check(saved);
  const { state } = registers;
  const view = new DataView(memory.buffer);
  const intr = state + X86.at['lapic']! + LAPIC.at['intr']!;
  // The board drives this line.
  const level = view.getUint32(intr, true);
  for (const field of FIELDS) {
    new Uint8Array(memory.buffer, state + X86.at[field]!, X86.bytes[field]!).set(saved.fields[field]!);
  }
  for (const [field, mask] of Object.entries(IN_RANGE)) registers.setField(field, registers.field(field) & mask);
  // Privilege level and mode follow from segments and control registers.
  registers.setSegment('cs', registers.segment('cs'));
  registers.setSegment('ss', registers.segment('ss'));
  registers.set('rip', saved.rip);
  registers.set('rflags', saved.rflags);
  view.setUint32(state + VCPU.at['halted']!, saved.halted ? 1 : 0, true);
  view.setUint32(state + VCPU.at['addressSpace']!, registers.field('inSmm'), true);
  view.setUint32(state + VCPU.at['interruptRequest']!, saved.events | IntReq.poll, true);
  view.setUint32(state + VCPU.at['exitRequest']!, 1, true);
  runtime.tlbFlush(state);
  runtime.updateMode(state);
  view.setFloat64(state + X86.at['lapicDeadline']!, timerDeadline(view, state, now), true);
  // Makes the local APIC look at its registers.
  view.setUint32(intr, 0, true);
  runtime.setIntr(state, level);
}

/** Nanoseconds of one count of a local APIC's timer with this divide configuration. */
export function lapicTimerStep(divide: number): number {
  return 1 << ((((divide & 3) | ((divide >> 1) & 4)) + 1) & 7);
}

const TimerMode = { oneShot: 0, periodic: 1, deadline: 2 } as const;

function timerDeadline(view: DataView, state: number, now: number): number {
  const lapic = state + X86.at['lapic']!;
  const timer = view.getUint32(lapic + LAPIC.at['lvt']!, true);
  if (timer & TIMER_MASKED) return Number.POSITIVE_INFINITY;
  const mode = (timer >>> 17) & 3;
  if (mode === TimerMode.deadline) {
    const at = view.getBigUint64(state + X86.at['tscDeadline']!, true);
    const offset = view.getBigUint64(state + X86.at['tscOffset']!, true);
    return at === 0n ? Number.POSITIVE_INFINITY : Math.max(now, Number(BigInt.asIntN(64, at - offset)));
  }
  const start = view.getFloat64(lapic + LAPIC.at['timerStart']!, true);
  const step = lapicTimerStep(view.getUint32(lapic + LAPIC.at['timerDivide']!, true));
  const period = view.getUint32(lapic + LAPIC.at['timerInitial']!, true) * step;
  if (start < 0 || period === 0) return Number.POSITIVE_INFINITY;
  if (mode === TimerMode.periodic) return start + (Math.floor((now - start) / period) + 1) * period;
  return Math.max(now, start + period);
}
