/** The data of a qcow2 image's clusters where they lie in the file, encrypted or not. */
// hot path
import { roundUp } from '../big-endian.js';
import type { Completion } from '../node.js';
import type { ClusterCipher } from './cipher.js';
import type { CompressedClusters } from './compressed-clusters.js';
import type { Image } from './image.js';

const SECTOR = 512;

export class ClusterData {
  constructor(
    private readonly image: Image,
    private readonly cipher: ClusterCipher | null,
    private readonly compressed: CompressedClusters,
  ) {}

  /** Clusters' bytes at `host`, which the guest has at `guest`. */
  read(host: number, guest: number, into: Uint8Array): Completion {
    const { cipher } = this;
    if (!cipher) return this.image.data.read(host, into);
    return this.#readEncrypted(cipher, host, guest, into);
  }

  async #readEncrypted(cipher: ClusterCipher, host: number, guest: number, into: Uint8Array): Promise<void> {
    const before = host % SECTOR;
    const bytes = new Uint8Array(roundUp(before + into.length, SECTOR));
    await this.image.data.read(host - before, bytes);
    cipher.decrypt((cipher.byHostOffset ? host : guest) - before, bytes);
    into.set(bytes.subarray(before, before + into.length));
  }

  write(host: number, guest: number, from: Uint8Array): Completion {
    const { image, cipher } = this;
    if (!image.external && image.isMetadata(host, from.length)) {
      image.damaged(`Preventing invalid write on metadata (overlaps at offset 0x${host.toString(16)})`);
    }
    image.dataWritten = true;
    this.compressed.forget();
    if (!cipher) return image.data.write(host, from);
    const start = cipher.byHostOffset ? host : guest;
    if (host % SECTOR === 0 && from.length % SECTOR === 0) return image.data.write(host, cipher.encrypt(start, from));
    return this.#writePartSectors(cipher, host, guest, from);
  }

  async #writePartSectors(cipher: ClusterCipher, host: number, guest: number, from: Uint8Array): Promise<void> {
    const before = host % SECTOR;
    const bytes = new Uint8Array(roundUp(before + from.length, SECTOR));
    await this.#readEncrypted(cipher, host - before, guest - before, bytes);
    bytes.set(from, before);
    const start = (cipher.byHostOffset ? host : guest) - before;
    await this.image.data.write(host - before, cipher.encrypt(start, bytes));
  }
}
