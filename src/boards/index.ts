/** The machine types. */
import type { BoardType } from './board.js';
import { pc } from './pc.js';

export const BOARDS: readonly BoardType[] = [pc];
export type {
  BoardHost,
  BoardType,
  BuiltBoard,
  DeviceRequest,
  KernelOptions,
  MachineOptions,
  RtcOptions,
} from './board.js';
