/** Rows of booting: from the start of the process to the shell's prompt. */
import type { GroupOfRows } from './groups.js';
import { type Clock, type Command, Guest, PROMPT } from './guest.js';
import { PEERS, plainFiles, tinamou } from './machines.js';
import { row } from './report.js';
import type { Session } from './session.js';

const WORKLOADS = {
  amd64: { bits: 64, bar: 1.5 },
  i386: { bits: 32, bar: 0.4 },
} as const;

async function seconds(name: string, command: Command, clock: Clock): Promise<number> {
  const guest = new Guest(name, command, clock);
  try {
    await guest.until(PROMPT);
    return guest.age;
  } finally {
    await guest.stop();
  }
}

async function measure(session: Session): Promise<void> {
  for (const [workload, { bits, bar }] of Object.entries(WORKLOADS)) {
    if (!session.wants('boot', workload)) continue;
    const f = await plainFiles(bits);
    const { cpu, clock, runs, peers } = session.wishes;
    const samples: { ours: number[]; theirs: number[] } = { ours: [], theirs: [] };
    for (let i = 0; i < runs; i++) {
      samples.ours.push(await seconds('tinamou', tinamou(bits, f, cpu), clock));
      if (peers) samples.theirs.push(await seconds(PEERS[bits].name, PEERS[bits].command(f, cpu), clock));
    }
    session.add(row({ group: 'boot', workload, unit: 's', bar }, samples.ours, samples.theirs));
  }
  const title = "direct boot of Debian's stock kernel to a shell";
  session.endGroup({ name: 'boot', title, peer: `amd64: ${PEERS[64].title}, i386: ${PEERS[32].title}` }, {});
}

export const boot: GroupOfRows = { name: 'boot', workloads: Object.keys(WORKLOADS), measure };
