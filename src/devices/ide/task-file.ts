/**
 * Registers and bits that all ATA and ATAPI devices have.
 * Source: T13/1321D, AT Attachment with Packet Interface 5, chapter 7; T13/1410D (ATA/ATAPI-6) for 48-bit addresses.
 *
 *   command block  0 DATA   1 ERROR/FEATURES   2 SECTOR COUNT   3 LBA LOW   4 LBA MID   5 LBA HIGH   6 DEVICE   7 STATUS/COMMAND
 *   control block  ALTERNATE STATUS/DEVICE CONTROL
 */

export const STATUS = { BSY: 0x80, DRDY: 0x40, DF: 0x20, DSC: 0x10, DRQ: 0x08, ERR: 0x01 } as const;
export const ERROR = { UNC: 0x40, MC: 0x20, IDNF: 0x10, MCR: 0x08, ABRT: 0x04 } as const;
export const DEVICE = { LBA: 0x40, DEV: 0x10, HEAD: 0x0f, OBSOLETE: 0xa0 } as const;
export const CONTROL = { HOB: 0x80, SRST: 0x04, NIEN: 0x02 } as const;

/** Largest PIO block: what a packet device may announce with its 16-bit byte count, in whole words. */
export const PIO_BYTES = 65536;

/** Commands, named as in the specification. */
export const COMMAND = {
  NOP: 0x00,
  DATA_SET_MANAGEMENT: 0x06,
  DEVICE_RESET: 0x08,
  RECALIBRATE: 0x10,
  READ_SECTORS: 0x20,
  READ_SECTORS_NO_RETRY: 0x21,
  READ_SECTORS_EXT: 0x24,
  READ_DMA_EXT: 0x25,
  READ_NATIVE_MAX_EXT: 0x27,
  READ_MULTIPLE_EXT: 0x29,
  READ_LOG_EXT: 0x2f,
  WRITE_SECTORS: 0x30,
  WRITE_SECTORS_NO_RETRY: 0x31,
  WRITE_SECTORS_EXT: 0x34,
  WRITE_DMA_EXT: 0x35,
  WRITE_MULTIPLE_EXT: 0x39,
  WRITE_VERIFY: 0x3c,
  WRITE_DMA_FUA_EXT: 0x3d,
  READ_VERIFY: 0x40,
  READ_VERIFY_NO_RETRY: 0x41,
  READ_VERIFY_EXT: 0x42,
  READ_FPDMA_QUEUED: 0x60,
  WRITE_FPDMA_QUEUED: 0x61,
  SEEK: 0x70,
  EXECUTE_DEVICE_DIAGNOSTIC: 0x90,
  INITIALIZE_DEVICE_PARAMETERS: 0x91,
  STANDBY_IMMEDIATE_OLD: 0x94,
  IDLE_IMMEDIATE_OLD: 0x95,
  STANDBY_OLD: 0x96,
  IDLE_OLD: 0x97,
  CHECK_POWER_MODE_OLD: 0x98,
  SLEEP_OLD: 0x99,
  PACKET: 0xa0,
  IDENTIFY_PACKET_DEVICE: 0xa1,
  SMART: 0xb0,
  READ_MULTIPLE: 0xc4,
  WRITE_MULTIPLE: 0xc5,
  SET_MULTIPLE_MODE: 0xc6,
  READ_DMA: 0xc8,
  READ_DMA_NO_RETRY: 0xc9,
  WRITE_DMA: 0xca,
  WRITE_DMA_NO_RETRY: 0xcb,
  WRITE_MULTIPLE_FUA_EXT: 0xce,
  STANDBY_IMMEDIATE: 0xe0,
  IDLE_IMMEDIATE: 0xe1,
  STANDBY: 0xe2,
  IDLE: 0xe3,
  CHECK_POWER_MODE: 0xe5,
  SLEEP: 0xe6,
  FLUSH_CACHE: 0xe7,
  FLUSH_CACHE_EXT: 0xea,
  IDENTIFY_DEVICE: 0xec,
  SET_FEATURES: 0xef,
  SECURITY_FREEZE_LOCK: 0xf5,
  READ_NATIVE_MAX: 0xf8,
} as const;

/**
 * What the device does between commands and interrupts. `fetching` and `storing`: the drive is busy with the block that
 * PIO or DMA moves. `dmaWait`: the bus master has not started, or ran out of descriptors.
 */
export type Phase = 'idle' | 'busy' | 'pioIn' | 'pioOut' | 'dmaWait' | 'dma';

/** State of one device's task file and of the transfer under way. */
export const taskFile = () => ({
  error: 0,
  features: 0,
  count: 0,
  lbaLow: 0,
  lbaMid: 0,
  lbaHigh: 0,
  device: 0,
  status: 0,
  /** What was in the registers before: the high-order bytes of 48-bit commands. */
  previousFeatures: 0,
  previousCount: 0,
  previousLbaLow: 0,
  previousLbaMid: 0,
  previousLbaHigh: 0,
  /** INTRQ, before nIEN. */
  interrupt: false,
  command: 0,
  phase: 'idle' as Phase,
  /** Whether the transfer goes to the host, and how many bytes it still has. */
  toHost: false,
  remaining: 0,
  /** The PIO block that the host reads or writes. */
  buffer: new Uint8Array(PIO_BYTES),
  position: 0,
  end: 0,
});

export type TaskFile = ReturnType<typeof taskFile>;
