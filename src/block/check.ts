/** What checking an image finds (QEMU's BdrvCheckResult). */
export interface CheckResult {
  corruptions: number;
  leaks: number;
  /** The check itself failed so many times. */
  checkErrors: number;
  corruptionsFixed: number;
  leaksFixed: number;
  /** Where the last used cluster ends in the file. */
  imageEndOffset: number;
  totalClusters: number;
  allocatedClusters: number;
  fragmentedClusters: number;
  compressedClusters: number;
  /** A line for each finding, as qemu-img prints them. */
  messages: string[];
}

export interface Repair {
  readonly leaks: boolean;
  readonly errors: boolean;
}

/** Further findings are only counted. */
const MAX_MESSAGES = 10_000;

export function newCheckResult(): CheckResult {
  return {
    corruptions: 0,
    leaks: 0,
    checkErrors: 0,
    corruptionsFixed: 0,
    leaksFixed: 0,
    imageEndOffset: 0,
    totalClusters: 0,
    allocatedClusters: 0,
    fragmentedClusters: 0,
    compressedClusters: 0,
    messages: [],
  };
}

export function say(result: CheckResult, message: string): void {
  if (result.messages.length < MAX_MESSAGES) result.messages.push(message);
}
