/**
 * Helpers for system instructions; all of kind `callf`: (cpu, a, b, imm) => result.
 *
 * Rules for instruction rows:
 * - Helpers check privilege, mode (#UD outside protected mode and the like), CPUID features and CR4 enables themselves;
 *   a row only decodes and loads operands. Exceptions: `LOCK` prefixes and register/memory forms are the decoder's.
 * - "size" is the operand size in bytes: 2, 4 or 8. `a`/`b` are zero-extended to the operand size unless said otherwise;
 *   linear addresses include the segment base and are cut to the address size.
 * - Where "leave" stands, the helper may change pc, mode, IF or pending requests: the row ends with the op `leave`, after
 *   writing back what is left to write (POP SS: rsp after the helper; LSS: the register after the helper). VCPU_PC is
 *   already the next instruction's then: a helper that does not jump leaves it so.
 * - Helpers that set flags do so through writeEflags (lazy state "explicit").
 * - A block with Mode.trap, inhibit, breakpoints or single is one instruction, begins with `armSingleStep` and ends with
 *   `leave` (not `goto`): that is how single step, STI's shadow and RF work.
 */
import type { HelperKind, HelperTable } from './table.js';

const all = (...names: readonly string[]): (readonly [string, HelperKind])[] => names.map((n) => [n, 'callf']);

export const SYSTEM_HELPERS: HelperTable = {
  module: 'x86/system',
  helpers: all(
    // ---- segments
    'loadSegment', //   a = selector, imm = segment (encoding order: es cs ss ds fs gs) | 256 for MOV/POP SS (holds interrupts off). leave
    'sgdt', //          a = linear address, imm = size (2/4: 6 bytes, 8: 10 bytes)
    'sidt', //          the same
    'lgdt', //          the same. leave
    'lidt', //          the same. leave
    'sldt', //          result = selector
    'lldt', //          a = selector. leave
    'str', //           result = selector
    'ltr', //           a = selector
    'lar', //           a = selector, b = old destination; result = access rights or b; sets ZF
    'lsl', //           a = selector, b = old destination; result = limit or b; sets ZF
    'verr', //          a = selector; sets ZF
    'verw', //          a = selector; sets ZF
    // ---- control transfer
    'checkTarget', //   a = pc: #GP(0) when CS has no code there (beyond its limit; not canonical)
    'farJump', //       a = selector, b = offset, imm = size. leave
    'farCall', //       a = selector, b = offset, imm = size. leave
    'farReturn', //     a = bytes to pop besides, imm = size. leave
    'iret', //          imm = size. leave
    'interrupt', //     imm = vector | kind << 8; kind 0 INT n, 1 INT3, 2 INTO (OF tested by the row), 3 INT1. leave
    'syscall', //       leave
    'sysret', //        imm = size. leave
    'sysenter', //      leave
    'sysexit', //       imm = size. leave
    'rsm', //           leave
    'raise', //         a = error code, imm = vector | (has code) << 8: a fault at this instruction. No op after it matters
    // ---- flags
    'cli', //           no leave needed
    'sti', //           leave
    'pushf', //         imm = size; result = image to push
    'popf', //          a = image popped, imm = size; rsp after the helper. leave
    'clac', //          leave
    'stac', //          leave
    'armSingleStep', // first op of such a block
    // ---- control and debug registers
    'readCr', //        imm = number (0 2 3 4 8); result = value
    'writeCr', //       a = value, imm = number. leave
    'readDr', //        imm = number; result = value
    'writeDr', //       a = value, imm = number. leave
    'smsw', //          result = CR0 (the row cuts it to 16 bits for memory)
    'lmsw', //          a = value. leave
    'clts', //          leave
    'invlpg', //        a = linear address. leave
    'invpcid', //       a = type, b = linear address of the descriptor. leave
    'wbinvd', //        INVD and WBINVD: imm = 0 WBINVD, 1 INVD
    'xgetbv', //        reads ECX, writes EDX:EAX
    'xsetbv', //        leave
    'rdpkru', //        reads ECX, writes EDX:EAX
    'wrpkru', //        leave
    // ---- model specific
    'rdmsr', //         reads ECX, writes EDX:EAX
    'wrmsr', //         leave
    'rdtsc', //         writes EDX:EAX
    'rdtscp', //        writes EDX:EAX, ECX
    'rdpmc',
    'rdpid', //         result
    'cpuid', //         reads EAX, ECX; writes EAX EBX ECX EDX
    'rdrand', //        imm = size; result; sets the flags
    'rdseed', //        imm = size; result; sets the flags
    'readBase', //      RDFSBASE/RDGSBASE: imm = 0 FS, 1 GS; result (the row cuts it to the operand size)
    'writeBase', //     WRFSBASE/WRGSBASE: a = value, imm = 0 FS, 1 GS. leave
    'swapgs',
    // ---- waiting and I/O
    'hlt', //           leave
    'monitor', //       a = linear address
    'mwait', //         leave
    'pause', //         lets another vCPU run. leave
    'inPort', //        a = port, imm = 1, 2, 4; result = value. leave
    'outPort', //       a = port, b = value, imm = 1, 2, 4. leave
    'checkIo', //       a = port, imm = 1, 2, 4: #GP unless this port may be used (INS/OUTS)
  ),
};
