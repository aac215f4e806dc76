/**
 * What a floating-point helper computes, told to the region compiler so that it can put the usual case in line: the engine's own
 * arithmetic, where operands and result are such that the guest's processor would raise nothing but an exception that is masked
 * and already recorded. All other cases call the helper.
 */

export type FloatOperation =
  | 'add'
  | 'sub'
  | 'mul'
  | 'div'
  | 'sqrt'
  | 'min'
  | 'max'
  /** All ones where one of `relations` holds, else zeros. */
  | 'mask'
  /** Scalar: one of `outcomes` into the slot. */
  | 'compare'
  /** Scalar: an integer slot to a number, a number to an integer slot. */
  | 'fromInteger'
  | 'toInteger'
  /** Scalar: to the other of the two formats. */
  | 'convert'
  /** Packed: two or four integers of 32 bits to numbers. */
  | 'fromIntegers';

export interface FloatCode {
  readonly operation: FloatOperation;
  /** Bits of an element: of the operand in `toInteger` and `convert`, else of the result. */
  readonly bits: 32 | 64;
  readonly packed: boolean;
  /** 16-byte parts of the operands. */
  readonly parts: 1 | 2;
  /** The 16 bytes above a result of one part become zero. */
  readonly clearsUpper: boolean;
  /** `mask`: 1 less, 2 equal, 4 greater. */
  readonly relations: number;
  /** `compare`: values for less, equal, greater; each zero or a power of two. */
  readonly outcomes: readonly [number, number, number];
  /** `fromInteger`, `toInteger`: 64 bits rather than 32. */
  readonly long: boolean;
  /** `toInteger`: towards zero rather than to nearest. */
  readonly truncates: boolean;
}

/**
 * The vCPU's floating-point control and status word (byte offset): `word & mask` equals `value` when rounding is to nearest and
 * results that are not exact go unnoticed.
 */
export interface FloatStatus {
  readonly offset: number;
  readonly mask: number;
  readonly value: number;
}
