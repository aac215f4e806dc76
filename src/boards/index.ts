/** The machine types. */
import type { BoardType } from './board.js';
import { isapc } from './isapc.js';
import { microvm } from './microvm.js';
import { none } from './none.js';
import { pc } from './pc.js';
import { q35 } from './q35.js';

export const BOARDS: readonly BoardType[] = [pc, q35, microvm, isapc, none];

/** By name or alias. */
export function findBoard(name: string): BoardType | undefined {
  return BOARDS.find((board) => board.name === name || board.aliases.includes(name));
}

export {
  type BoardHost,
  type BoardType,
  type BuiltBoard,
  DEFAULT_OPTIONS,
  type DeviceRequest,
  type GlobalProperty,
  type IdeDriveRequest,
  type Inspection,
  type KernelOptions,
  type MachineOptions,
  type RtcOptions,
} from './board.js';
export { describeDeviceType, describeDeviceTypes } from './plugs.js';
