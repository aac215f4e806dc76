/** The usual case of a condition (`cond` op) on lazy flags, for in-line use: what a block meets whose predecessors left different flags. */
export interface ConditionCode {
  /** The low bits of flagOp, so many, are the logarithm of the operand's bytes; those above them are its kind. */
  readonly sizeBits: number;
  /** In line if the kind is this one, or, with `zero`, is any but this one; else the runtime evaluates the condition. */
  readonly kind: number;
  /**
   * Of the low operand-size bits: `zero`: flagRes is zero; else the order of flagSrc and flagSrc - flagRes, the operands of a
   * compare.
   */
  readonly test: 'zero' | 'ltu' | 'leu' | 'lts' | 'les';
  readonly negated: boolean;
}
