/** Constants of Zstandard (RFC 8878): codes of lengths and the predefined distributions. */

/** First value and extra bits of each literal length code. */
export const LITERAL_LENGTHS: readonly (readonly [base: number, bits: number])[] = [
  ...Array.from({ length: 16 }, (_, i) => [i, 0] as const),
  ...([
    [16, 1],
    [18, 1],
    [20, 1],
    [22, 1],
    [24, 2],
    [28, 2],
    [32, 3],
    [40, 3],
    [48, 4],
    [64, 6],
    [128, 7],
    [256, 8],
  ] as const),
  ...([
    [512, 9],
    [1024, 10],
    [2048, 11],
    [4096, 12],
    [8192, 13],
    [16384, 14],
    [32768, 15],
    [65536, 16],
  ] as const),
];

export const MATCH_LENGTHS: readonly (readonly [base: number, bits: number])[] = [
  ...Array.from({ length: 32 }, (_, i) => [i + 3, 0] as const),
  ...([
    [35, 1],
    [37, 1],
    [39, 1],
    [41, 1],
    [43, 2],
    [47, 2],
    [51, 3],
    [59, 3],
    [67, 4],
    [83, 4],
    [99, 5],
    [131, 7],
  ] as const),
  ...([
    [259, 8],
    [515, 9],
    [1027, 10],
    [2051, 11],
    [4099, 12],
    [8195, 13],
    [16387, 14],
    [32771, 15],
    [65539, 16],
  ] as const),
];

export interface Distribution {
  readonly log: number;
  /** By symbol; -1: less than one. */
  readonly counts: readonly number[];
}

const times = (n: number, value: number): number[] => new Array<number>(n).fill(value);

export const DEFAULT_LITERAL_LENGTHS: Distribution = {
  log: 6,
  counts: [4, 3, ...times(11, 2), 1, 1, 1, ...times(9, 2), 3, 2, ...times(5, 1), ...times(4, -1)],
};
export const DEFAULT_MATCH_LENGTHS: Distribution = {
  log: 6,
  counts: [1, 4, 3, ...times(6, 2), ...times(37, 1), ...times(7, -1)],
};
export const DEFAULT_OFFSETS: Distribution = {
  log: 5,
  counts: [...times(6, 1), 2, 2, 2, ...times(15, 1), ...times(5, -1)],
};

export const MAX_BLOCK = 1 << 17;

/** Which symbol each state of a table stands for. */
export function spread({ log, counts }: Distribution): Uint8Array {
  const size = 1 << log;
  const symbols = new Uint8Array(size);
  let high = size - 1;
  counts.forEach((count, symbol) => {
    if (count === -1) symbols[high--] = symbol;
  });
  const step = (size >> 1) + (size >> 3) + 3;
  let at = 0;
  counts.forEach((count, symbol) => {
    for (let i = 0; i < count; i++) {
      symbols[at] = symbol;
      do at = (at + step) & (size - 1);
      while (at > high);
    }
  });
  return symbols;
}
