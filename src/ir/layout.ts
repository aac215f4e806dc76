/**
 * Layouts that TypeScript and the AssemblyScript runtime share. Each is declared once here (or in a guest's `state.ts`);
 * `tools/generate-runtime.ts` writes the AssemblyScript constants.
 */

export type FieldType = 'u8' | 'u16' | 'u32' | 'u64' | 'f64';
const SIZE: Readonly<Record<FieldType, number>> = { u8: 1, u16: 2, u32: 4, u64: 8, f64: 8 };

/** `[name, type]`, `[name, type, count]` (array), or `[name, {bytes, align}]` (opaque). */
export type FieldSpec =
  | readonly [string, FieldType, number?]
  | readonly [string, { readonly bytes: number; readonly align: number }];

export interface Layout {
  readonly name: string;
  /** Total bytes, rounded up to 16. */
  readonly size: number;
  /** Byte offset of each field. */
  readonly at: Readonly<Record<string, number>>;
  /** Bytes of each field (whole array). */
  readonly bytes: Readonly<Record<string, number>>;
}

/** Lays fields out in order with natural alignment, from byte `start` on. Offsets count from 0, not from `start`. */
export function layout(name: string, fields: readonly FieldSpec[], start = 0): Layout {
  const at: Record<string, number> = {};
  const bytes: Record<string, number> = {};
  let offset = start;
  for (const [field, type, count] of fields as readonly (readonly [
    string,
    FieldType | { bytes: number; align: number },
    number?,
  ])[]) {
    const [size, align] = typeof type === 'string' ? [SIZE[type] * (count ?? 1), SIZE[type]] : [type.bytes, type.align];
    offset = Math.ceil(offset / align) * align;
    if (field in at) throw new Error(`layout ${name}: field ${field} twice`);
    at[field] = offset;
    bytes[field] = size;
    offset += size;
  }
  return { name, size: Math.ceil(offset / 16) * 16, at, bytes };
}

export const TEMP_COUNT = 96;
/** Accesses of a loop that can remember their pages in memory. */
export const PAGE_MEMORIES = 16;

/** Every guest's vCPU state begins with this header. Slots (64-bit cells) are numbered from its start. */
export const VCPU = layout('Vcpu', [
  ['pc', 'u64'], // the guest's program counter (x86: rip/eip, without segment base)
  ['flagOp', 'u64'], // lazy condition codes: which operation,
  ['flagRes', 'u64'], // its result,
  ['flagSrc', 'u64'], // and an operand
  ['flagSrc2', 'u64'],
  ['temps', 'u64', TEMP_COUNT], // block-local temporaries
  ['ioHigh', 'u32'], // high half of a 64-bit device read
  ['machine', 'u32'], // address of the Machine record
  ['index', 'u32'], // vCPU number, from 0
  ['halted', 'u32'],
  // These two are read as one u64, the key of a jump cache entry;
  ['mode', 'u32'], // mode bits: the part of the block key that changes decoding or checks
  ['tlbGeneration', 'u32'], // 1..4095: low 12 bits of a valid TLB tag
  // and these two.
  ['exitRequest', 'u32'], // non-zero: leave compiled code at the next poll; set with an atomic store
  ['interruptRequest', 'u32'], // pending-interrupt bits, guest specific
  ['faultPending', 'u32'], // non-zero: a guest fault is waiting to be delivered
  ['faultVector', 'u32'],
  ['faultCode', 'u32'],
  ['faultAddress', 'u64'],
  ['mmuIndex', 'u32'], // which of the TLBs ordinary accesses use
  ['tlbLastGeneration', 'u32'], // highest generation handed out since the tables were last cleared
  ['tlbGlobalGeneration', 'u32'], // from 1: what global TLB entries that are still valid carry in their flags
  ['tlb', 'u32'], // address of this vCPU's TLBs (MMU_MODES tables in a row)
  ['addressSpace', 'u32'], // which flat view physical addresses go through (0: system, 1: system management mode)
  ['jumpCache', 'u32'], // address of this vCPU's jump cache
  ['executedPages', 'u64', 64], // bit per linear page number modulo 4096: the jump cache may have entries in it
  ['exitDetail', 'u32'], // what the exit reason is about
  // Where a compiled region left by a side exit (pc then is that of the block):
  ['callDepth', 'u32'], // guest calls in progress that are WebAssembly calls
  ['jumped', 'u32'], // the last block or region ended with an indirect jump (no call, no return): low half of its pc, bit 0 set; else 0
  ['sideRegion', 'u32'], // head block of the region,
  ['sideBlock', 'u32'], // block to go on in,
  ['sideOp', 'u32'], // and its op; WHOLE_BLOCK: it has not been entered yet
  ['instructionBudget', 'u64'], // under -icount: instructions left in this slice
  ['instructionCount', 'u64'], // guest instructions executed by blocks entered (interpreter; compiled code under -icount)
  ['blockPc', 'u64'], // pc at which the running block was entered
  ['pageMemories', 'u64', 2 * PAGE_MEMORIES], // of the innermost loop that compiled code is in: pairs of a page and an addend
  ['statLookups', 'u64'],
  ['statTlbMisses', 'u64'],
  ['statTlbFlushes', 'u64'],
  ['statTlbRevived', 'u64'], // misses that a global entry of another generation served
  ['statColdBlocks', 'u64'],
  ['statSideExits', 'u64'],
  ['statIoAccesses', 'u64'],
]);

/** One per machine: what all its vCPUs share. */
export const MACHINE = layout('Machine', [
  ['flat', 'u32', 2], // address of the flat range table, per address space (0: system, 1: system management mode)
  ['flatCount', 'u32', 2],
  ['codePages', 'u32'], // u32 per RAM page (host offset / 4096): first block in it, or 0
  ['codeGranules', 'u32'], // u64 per RAM page: one bit per 64 bytes that hold translated code
  ['dirty', 'u32'], // u8 per RAM page: bits of clients that want to know of writes still armed
  ['writable', 'u32'], // u8 per RAM page: non-zero if a TLB entry may let writes to it through
  ['blockHash', 'u32'], // u32[BLOCK_HASH]: blocks by host pc and mode
  ['hotThreshold', 'u32'], // region head entries before the region is queued; 0xffffffff: interpreter only
  ['vcpuCount', 'u32'],
  ['vcpus', 'u32', 8], // addresses of the vCPU states
  ['icount', 'u32'], // non-zero: count instructions exactly
  ['traceMask', 'u32'], // which -d items are on (TraceBit)
  ['codeEpoch', 'u32'], // changes whenever compiled code may have become void
  ['apicBus', 'u32'], // guest specific
  ['regionExits', 'u64', 4], // how often regions ended, by what they returned (run.ts: REGION_*; the last: all others)
  ['sideExitOps', 'u32', 256], // side exits by the number of the op (ops.ts), the last: before a block
]);

/** One flattened range of guest physical address space; sorted by start, no overlap. */
export const FLAT_RANGE = layout('FlatRange', [
  ['start', 'u64'],
  ['last', 'u64'], // inclusive
  ['flags', 'u32'], // FlatFlag
  ['host', 'u32'], // linear-memory address of `start` when it is RAM or ROM
  ['region', 'u32'], // number of the I/O region that answers reads/writes not served by RAM
  ['pad', 'u32'],
  ['offset', 'u64'], // offset of `start` in that I/O region
]);
export const FlatFlag = { ramRead: 1, ramWrite: 2, ioRead: 4, ioWrite: 8, dirtyLog: 16 } as const;

/**
 * Head of a translated block, followed by its ops. What the interpreter reads of each block stands last: it is mostly in one line of
 * the host's cache with the first ops.
 */
export const BLOCK = layout('Block', [
  ['pad', 'u32'],
  ['host', 'u32'], // linear-memory address of its first guest byte
  ['mode', 'u32'],
  ['ops', 'u32'], // ops that follow this head
  ['hashNext', 'u32'],
  ['pageNext', 'u32'], // next block of the same RAM page
  ['host2', 'u32'], // where the block's second page starts when it straddles two pages, else 0
  ['page2Next', 'u32'],
  ['flags', 'u32'], // BlockFlag
  ['region', 'u32'], // non-zero: part of that many compiled regions
  ['sideExits', 'u32'], // of the region that this block heads
  ['heat', 'u32'],
  ['bytes', 'u16'], // guest bytes
  ['instructions', 'u16'],
  ['runs', 'u32'], // how often the interpreter has entered it
  ['entry', 'u32'], // index of the compiled region in the function table, and << ENTRY_SHIFT which of its entries; 0: none
  ['valid', 'u32'], // 0 once invalidated
]);
/** The function table has fewer functions than 1 << this. */
export const ENTRY_SHIFT = 24;
/** Guest calls in progress that may be WebAssembly calls: bounds the host's stack. */
export const MAX_CALL_DEPTH = 160;
/**
 * As if an ExitReason, but it ends only the guest calls in progress, not the run: their number is at its bound, and without them a
 * deeper recursion has room again. Frames hold no state: the guest's returns into those that are gone look their code up.
 */
export const EXIT_UNWIND = 64;
export const WHOLE_BLOCK = 2047;
/**
 * `queued`: its region is about to be compiled; `indirect`: an indirect jump has led to it; `deferred`: it has been hot once, but
 * as it is part of other regions it has to be so for longer.
 */
export const BlockFlag = { queued: 1, indirect: 2, deferred: 4 } as const;
/**
 * A region is compiled again when it has had so many side exits for each of its ops, so that it fills the TLB itself: that takes the
 * engine's compilers longer the larger it is, and they begin with slow code; a side exit costs about a microsecond.
 */
export const SIDE_EXITS_PER_OP = 16;
/** And this is the least. The dispatcher asks when the count is this, or a later power of two. */
export const MANY_SIDE_EXITS = 512;

export const MMU_MODES = 3; // 0: supervisor, 1: user, 2: supervisor with user access refused (SMAP)
/** Per table. Behind the tables lies a u32 for each entry: the host page (linear-memory address / 4096) it names. */
export const TLB_ENTRIES = 16384;
/** A tag is (linear page address | generation) for a page that may be accessed so without a check, else 0. */
export const TLB_ENTRY = layout('TlbEntry', [
  ['read', 'u64'],
  ['write', 'u64'],
  ['execute', 'u64'],
  ['addend', 'u32'], // + low 32 bits of the linear address = linear-memory address
  ['flags', 'u32'], // bit 0: writes must be seen; bits 8..31: tlbGlobalGeneration of a global page, else 0
]);
/** Bytes of one vCPU's TLBs. */
export const TLB_BYTES = MMU_MODES * TLB_ENTRIES * (TLB_ENTRY.size + 4);
/** A power of two; the entries of a page lie in one run of 4096 (src/runtime/core/code.ts). */
export const JUMP_CACHE_ENTRIES = 16384;
export const JUMP_ENTRY = layout('JumpEntry', [
  ['pc', 'u64'], // linear address
  ['mode', 'u32'],
  ['generation', 'u32'], // tlbGeneration
  ['block', 'u32'],
  ['pad', 'u32'],
]);
export const BLOCK_HASH = 262144;
/** -d items the runtime itself reports. */
export const TraceBit = { int: 1, exec: 2, mmu: 4, noChain: 8 } as const;
