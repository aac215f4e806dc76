/** Rows of the guest CPU suite. */
import type { GroupOfRows } from './groups.js';
import type { Guest } from './guest.js';
import { PEERS } from './machines.js';
import type { Bar } from './report.js';
import type { Session } from './session.js';
import { type Bits, buildSuite, kernelNames, nativeChecksum, runKernel } from './suite.js';

/** The guest's clock may differ from the host's by this part, and by this many seconds (the console's delay). */
const CLOCK = { part: 0.1, seconds: 0.1 };

function suiteRows(bits: Bits, bar: Bar, without: readonly string[] = []): GroupOfRows {
  const name = `suite${bits}`;
  const workloads = kernelNames().filter((k) => !without.includes(k));
  return {
    name,
    workloads,
    async measure(session) {
      const wanted = workloads.filter((k) => session.wants(name, k));
      if (wanted.length === 0) return;
      const pair = await session.pair(bits);
      const program = buildSuite(bits);
      for (const workload of wanted) {
        const expected = nativeChecksum(program, workload);
        await session.compare({ group: name, workload, unit: 's', bar: bar.each }, pair, (guest) =>
          sample(session, guest, workload, expected),
        );
      }
      session.endGroup({ name, title: `guest CPU suite, ${bits} bits`, peer: PEERS[bits].title }, bar);
    },
  };
}

async function sample(session: Session, guest: Guest, kernel: string, expected: string | undefined): Promise<number> {
  const { checksum, guest: seconds, host } = await runKernel(guest, kernel);
  if (expected !== undefined && checksum !== expected)
    session.warn(`${guest.name} computes ${kernel} wrongly: ${checksum}, the host ${expected}`);
  if (session.wishes.clock === 'wall' && Math.abs(seconds - host) > CLOCK.part * host + CLOCK.seconds)
    session.warn(
      `${guest.name}'s clock: ${kernel} took ${seconds.toFixed(2)} s in the guest, ${host.toFixed(2)} s outside`,
    );
  return host;
}

export const suite64 = suiteRows(64, { each: 1.5, mean: 0.75 });
/** v86 has no AVX. */
export const suite32 = suiteRows(32, { mean: 0.4 }, ['avx2']);
