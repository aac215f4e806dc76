/** The SMBus host controller of Intel's south bridges: one transaction at a time, done at once. Intel 82371AB, 7.3; ICH9, 19.2. */
import { unimplemented } from '../../base/log.js';
import { defineRegisters, RegisterFile } from '../../machine/register-map.js';

export const SMBUS_BYTES = 0x40;
const SmbStatus = { interrupt: 2, deviceError: 4, busError: 8, failed: 16 } as const;
const SMB_START = 0x40;
const SMBUS = defineRegisters(SMBUS_BYTES, [
  { name: 'SMBHSTSTS', at: 0, size: 1, w1c: 0x1e },
  { name: 'SMBSLVSTS', at: 1, size: 1, w1c: 0x3c },
  { name: 'SMBHSTCNT', at: 2, size: 1, rsvd: SMB_START | 0x80 },
  { name: 'SMBHSTCMD', at: 3, size: 1 },
  { name: 'SMBHSTADD', at: 4, size: 1 },
  { name: 'SMBHSTDAT0', at: 5, size: 1 },
  { name: 'SMBHSTDAT1', at: 6, size: 1 },
  { name: 'SMBBLKDAT', at: 7, size: 1 },
  { name: 'SMBSLVCNT', at: 8, size: 1 },
]);

/** Bytes of an SMBus memory (a DIMM's SPD) by 7-bit address; undefined: no such device. */
export type SmbusMemory = (address: number) => Uint8Array | undefined;

export class SmbusHost extends RegisterFile<(typeof SMBUS)['registers'][number]['name']> {
  constructor(private readonly memory: SmbusMemory = () => undefined) {
    super(SMBUS, {
      written: { SMBHSTCNT: (_value, _previous, written) => (written & SMB_START ? this.#start() : undefined) },
    });
  }

  /** Byte and word reads of a memory; anything else finds no device. */
  #start(): void {
    const address = this.get('SMBHSTADD');
    const protocol = (this.get('SMBHSTCNT') >> 2) & 7;
    const bytes = this.memory(address >> 1);
    const command = this.get('SMBHSTCMD');
    const isRead = (address & 1) !== 0;
    if (!bytes) this.set('SMBHSTSTS', SmbStatus.deviceError);
    else {
      if (protocol > 3) unimplemented('smbus: protocol %d', protocol);
      if (isRead) this.set('SMBHSTDAT0', bytes[command] ?? 0xff);
      if (isRead && protocol === 3) this.set('SMBHSTDAT1', bytes[(command + 1) & 0xff] ?? 0xff);
      this.set('SMBHSTSTS', SmbStatus.interrupt);
    }
  }
}
