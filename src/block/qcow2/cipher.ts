import type { AmendContext, InfoValue } from '../format.js';

/** Encryption of data clusters, in sectors of 512 bytes that are numbered by their offset in the file or the disk. */
export interface ClusterCipher {
  /** Sectors are numbered by their offset in the file; else by the guest's. */
  readonly byHostOffset: boolean;
  encrypt(offset: number, data: Uint8Array): Uint8Array;
  decrypt(offset: number, data: Uint8Array): void;
  /** What `info` tells. */
  info(): InfoValue;
  /** Changes key slots by options of `amend`. Throws UserError. */
  amend(option: (name: string) => string | undefined, context: AmendContext): Promise<void>;
}
