/** What of the tests depends on the host's speed: `npm run test:kvm-lab` runs them on a processor that is emulated itself. */
export const inLab = process.env['TINAMOU_KVM_LAB'] !== undefined;

/** The lab takes 10 to 20 times as long, and more while its host has other things to do. */
const LAB_SLOWER = 20;
/** In the lab, what is done very often to find what seldom happens is done so much less often. */
const LAB_FEWER = 10;

/** A limit for what does not come: ms, or how often to look. */
export const patience = (limit: number): number => (inLab ? limit * LAB_SLOWER : limit);
export const times = (count: number): number => (inLab ? Math.ceil(count / LAB_FEWER) : count);
