/** Blocks of 256 words that describe a device (IDENTIFY), and SMART's pages of 512 bytes. Source: ATA/ATAPI-6, 8.15 to 8.17. */

/** Who a drive says that it is. */
export interface DriveIdentity {
  /** At most 40, 20 and 8 characters. */
  readonly model: string;
  readonly serial: string;
  readonly firmware: string;
}

/** Writes 16-bit words into an IDENTIFY block of 512 bytes. */
export class IdentifyBlock {
  readonly bytes = new Uint8Array(512);

  word(index: number, value: number): this {
    this.bytes[2 * index] = value;
    this.bytes[2 * index + 1] = value >>> 8;
    return this;
  }

  dword(index: number, value: number): this {
    return this.word(index, value % 0x10000).word(index + 1, Math.floor(value / 0x10000) % 0x10000);
  }

  /** ASCII, padded with spaces, the first character of each pair in the high byte. */
  text(index: number, words: number, text: string): this {
    const padded = text.padEnd(2 * words).slice(0, 2 * words);
    for (let i = 0; i < words; i++)
      this.word(index + i, ((padded.charCodeAt(2 * i) & 0xff) << 8) | (padded.charCodeAt(2 * i + 1) & 0xff));
    return this;
  }

  identity({ model, serial, firmware }: DriveIdentity): this {
    return this.text(10, 10, serial).text(23, 4, firmware).text(27, 20, model);
  }
}

/** Which transfer mode SET FEATURES chose, as words 62, 63 and 88 show it. */
export interface TransferMode {
  readonly kind: 'pio' | 'singleword' | 'multiword' | 'ultra';
  readonly mode: number;
}

/** The mode in SET FEATURES' sector count (8.46.8); null for one that we do not have. */
export function transferMode(code: number): TransferMode | null {
  const mode = code & 7;
  switch (code >> 3) {
    case 0:
      return mode <= 1 ? { kind: 'pio', mode } : null;
    case 1:
      return mode <= 4 ? { kind: 'pio', mode } : null;
    case 2:
      return mode <= 2 ? { kind: 'singleword', mode } : null;
    case 4:
      return mode <= 2 ? { kind: 'multiword', mode } : null;
    case 8:
      return mode <= 5 ? { kind: 'ultra', mode } : null;
    default:
      return null;
  }
}

/** Words 49 to 53, 62 to 68 and 88: what a device can do and which DMA mode is on. */
export function describeTransfers(block: IdentifyBlock, code: number): IdentifyBlock {
  const chosen = transferMode(code);
  const selected = (kind: TransferMode['kind']) => (chosen?.kind === kind ? 1 << (8 + chosen.mode) : 0);
  block
    // Word 49: LBA, DMA, IORDY.
    .word(49, 0x0b00)
    .word(51, 0x0200)
    .word(52, 0x0200)
    .word(53, 0x0007)
    .word(62, 0x07 | selected('singleword'))
    .word(63, 0x07 | selected('multiword'))
    .word(64, 0x03)
    .word(88, 0x3f | selected('ultra'));
  for (let word = 65; word <= 68; word++) block.word(word, 120);
  return block;
}

/** Makes the bytes of a page sum up to 0. */
export function checksummed(page: Uint8Array): Uint8Array {
  page[511] = -page.subarray(0, 511).reduce((sum, byte) => sum + byte, 0);
  return page;
}

/** SMART attributes: number, flags, value, threshold, raw value. Nothing ever wears out. */
const ATTRIBUTES = [
  [0x01, 0x0003, 100, 6, 0],
  [0x03, 0x0003, 100, 0, 16],
  [0x04, 0x0002, 100, 20, 100],
  [0x05, 0x0003, 100, 36, 0],
  [0x09, 0x0003, 100, 0, 1],
  [0x0c, 0x0003, 100, 0, 0],
  [0xbe, 0x0003, 69, 50, 31],
] as const;

export function smartData(autoSave: boolean): Uint8Array {
  const page = new Uint8Array(512);
  page[0] = 1;
  ATTRIBUTES.forEach(([id, flags, value, , raw], i) => {
    page.set([id, flags & 0xff, flags >> 8, value, value, raw & 0xff, raw >> 8], 2 + 12 * i);
  });
  // Offline collection completed; it takes 4 minutes; off-line, selective and conveyance tests are not there.
  page[362] = 0x02 | (autoSave ? 0x80 : 0);
  page[364] = 240;
  page[367] = 0x01;
  page[368] = 0x03;
  return checksummed(page);
}

export function smartThresholds(): Uint8Array {
  const page = new Uint8Array(512);
  page[0] = 1;
  ATTRIBUTES.forEach(([id, , , threshold], i) => {
    page.set([id, threshold], 2 + 12 * i);
  });
  return checksummed(page);
}
