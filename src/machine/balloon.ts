/** A memory balloon, as monitors steer it. */
export interface BalloonControl {
  /** Bytes of RAM that the guest has left. */
  readonly actual: number;
  /** Asks the guest to make do with `bytes`. */
  setTarget(bytes: number): void;
}

/** The part of a device that is a balloon. */
export const balloonOf = (device: object): BalloonControl | undefined => {
  if ('setTarget' in device) return device as BalloonControl;
  return 'device' in device && typeof device.device === 'object' && device.device && 'setTarget' in device.device
    ? (device.device as BalloonControl)
    : undefined;
};
