/** Registers, bits and structures of AHCI. Serial ATA AHCI 1.3.1, chapters 3 and 4; Serial ATA 3.0, 10.3 for FISes. */

export const Hba = { CAP: 0x00, GHC: 0x04, IS: 0x08, PI: 0x0c, VS: 0x10, CAP2: 0x24 } as const;
export const PORTS_AT = 0x100;
export const PORT_BYTES = 0x80;
export const COMMAND_SLOTS = 32;

export const Cap = {
  s64a: 0x8000_0000,
  nativeQueuing: 0x4000_0000,
  ahciOnly: 1 << 18,
  gen1: 1 << 20,
  slots: (COMMAND_SLOTS - 1) << 8,
} as const;
export const Ghc = { reset: 1, interruptEnable: 2, ahciEnable: 0x8000_0000 } as const;
export const VERSION = 0x0001_0000;

export const Port = {
  CLB: 0x00,
  CLBU: 0x04,
  FB: 0x08,
  FBU: 0x0c,
  IS: 0x10,
  IE: 0x14,
  CMD: 0x18,
  TFD: 0x20,
  SIG: 0x24,
  SSTS: 0x28,
  SCTL: 0x2c,
  SERR: 0x30,
  SACT: 0x34,
  CI: 0x38,
} as const;

export const PortCmd = {
  start: 0x0001,
  spinUp: 0x0002,
  powerOn: 0x0004,
  commandListOverride: 0x0008,
  fisReceive: 0x0010,
  fisRunning: 0x4000,
  listRunning: 0x8000,
  atapi: 0x0100_0000,
} as const;
/** What a guest may change of CMD; the rest is the port's. */
export const PORT_CMD_WRITABLE = 0xff00_001f & ~PortCmd.commandListOverride;

/** Bits of a port's IS and IE. */
export const PortInterrupt = {
  registerFis: 1,
  pioSetupFis: 2,
  setDeviceBits: 8,
  overflow: 1 << 24,
  busFatal: 1 << 29,
  taskFileError: 1 << 30,
} as const;
export const PORT_INTERRUPTS = 0xfdc0_00ff;

/** Device present, Gen 1 speed, interface active. */
export const LINK_UP = 0x113;
export const Signature = { disk: 0x0000_0101, packet: 0xeb14_0101, none: 0xffff_ffff } as const;
/** TFD without a device: busy for ever. */
export const NO_DEVICE = 0x7f;

/** Where FISes are received. */
export const Received = { pioSetup: 0x20, register: 0x40, setDeviceBits: 0x58 } as const;
export const Fis = { hostToDevice: 0x27, deviceToHost: 0x34, pioSetup: 0x5f, setDeviceBits: 0xa1 } as const;
export const FIS_BYTES = 20;

export const HEADER_BYTES = 32;
export const COMMAND_FIS_BYTES = 64;
export const PACKET_AT = 0x40;
export const PRDT_AT = 0x80;
export const PRD_BYTES = 16;
export const PRD_MOST_BYTES = 1 << 22;
