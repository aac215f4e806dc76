/** What the host gives to the runtime. */

/** Device access through the memory bus: `offset` into I/O region `region`; 1, 2 or 4 bytes. */
export declare function mmioRead(cpu: usize, region: u32, offset: u32, size: u32): u32;
export declare function mmioWrite(cpu: usize, region: u32, offset: u32, size: u32, value: u32): void;
export declare function portIn(cpu: usize, port: u32, size: u32): u32;
export declare function portOut(cpu: usize, port: u32, size: u32, value: u32): void;
/** Nanoseconds of the machine's virtual clock. */
export declare function virtualNs(): f64;
export declare function hostRandom(): u32;
/** The interrupt controller's answer to the processor's acknowledge cycle: a vector. */
export declare function picAcknowledge(cpu: usize): u32;
/** A local APIC has finished a level-triggered interrupt. */
export declare function ioapicEoi(vector: u32): void;
/** System management mode begins (1) or ends (0) on this processor. */
export declare function smiEntered(cpu: usize, on: u32): void;
/**
 * An event is about to be delivered (only with -d int): kind 0 exception, 1 INT n, 2 INT3/INTO, 3 INT1, 4 hardware; or,
 * with -d mmu, kind 5: control register `vector` was written.
 */
export declare function traceInterrupt(cpu: usize, kind: u32, vector: u32, code: u32): void;
/** FERR#: the x87 error line, for CR0.NE = 0. */
export declare function fpuError(level: u32): void;
/**
 * Translates the code at linear-memory address `host` under `mode`; returns the new block. `page2` is the linear-memory
 * address where the code goes on after its page when that is known to be needed, else 0. Returns 0 when the instruction
 * needs its second page and page2 is 0.
 */
export declare function translate(cpu: usize, host: u32, mode: u32, page2: u32): u32;
/** A region head became hot. `cpu`: the vCPU that is about to run it, with its pc in the header; 0: none is. */
export declare function hot(block: usize, cpu: usize): void;
/** A block that is part of compiled regions has been invalidated. */
export declare function blockInvalidated(block: usize): void;
/** A block is about to be interpreted or entered (only with -d exec). */
export declare function traceBlock(cpu: usize, block: usize): void;
