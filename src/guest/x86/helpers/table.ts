/**
 * Functions of the AssemblyScript runtime that translated code calls. One table per runtime file; `index.ts` numbers them
 * all. `call`: (cpu: usize, a: u64, b: u64, imm: u32): u64, result depends on arguments only. `callf`: the same signature,
 * may touch any state and may raise a guest fault (then the result is ignored). `vcall`/`vcallf`: (cpu: usize, d: usize,
 * a: usize, b: usize, imm: u32): void with addresses of vector state fields; touches only state from `vectorBase` on.
 */
export type HelperKind = 'call' | 'callf' | 'vcall' | 'vcallf';

export interface HelperTable {
  /** File under src/runtime/, without extension. */
  readonly module: string;
  /** Exported function name and kind. */
  readonly helpers: readonly (readonly [name: string, kind: HelperKind])[];
}
