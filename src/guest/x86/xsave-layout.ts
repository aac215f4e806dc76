/**
 * Where XSAVE puts what (standard format; SDM vol. 1 chapter 13): CPUID leaf 0DH and the runtime both go by this. The
 * offset of PKRU is Intel's, behind the AVX-512 areas that we do not have.
 */
export const XsaveArea = {
  header: 512,
  avx: 576,
  avxBytes: 256,
  pkru: 2688,
  pkruBytes: 8,
  /** Legacy region and header: where the compacted format begins. */
  base: 576,
} as const;
/** Bits of XCR0 (and of a requested-feature bitmap) that can be supported: x87, SSE, AVX, PKRU. */
export const XsaveBit = { x87: 1, sse: 2, avx: 4, pkru: 512 } as const;
