/** A call of the KVM interface that failed. */
export class KvmError extends Error {
  override readonly name = 'KvmError';

  constructor(
    /** `KVM_RUN`, `open`, `mmap`. */
    readonly call: string,
    readonly errno: number,
    /** `EINVAL` */
    readonly errnoName: string,
    detail = '',
  ) {
    super(`${call} failed: ${errnoName}${detail === '' ? '' : ` (${detail})`}`);
  }
}
