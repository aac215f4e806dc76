/** An interrupt message to the local APICs: from the I/O APIC, or an MSI. Fields as in the redirection table. */
export interface ApicMessage {
  /** APIC id, or logical destination. */
  readonly destination: number;
  readonly logical: boolean;
  /** 0 fixed, 1 lowest priority, 2 SMI, 4 NMI, 5 INIT, 7 ExtINT */
  readonly deliveryMode: number;
  readonly vector: number;
  /** Asserted. */
  readonly level: boolean;
  readonly levelTriggered: boolean;
}

/** What a write of `data` to an MSI address (fee00000..feefffff) says. Intel SDM volume 3A, 11.11. */
export function decodeMsi(address: number, data: number): ApicMessage {
  return {
    destination: (address >>> 12) & 0xff,
    logical: (address & 4) !== 0,
    deliveryMode: (data >>> 8) & 7,
    vector: data & 0xff,
    level: (data & 0x4000) !== 0 || (data & 0x8000) === 0,
    levelTriggered: (data & 0x8000) !== 0,
  };
}
