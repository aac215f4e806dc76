/** Rows of shell commands in the booted 64-bit guests: processes, pipes, system calls, programs of Debian's. */
import type { GroupOfRows } from './groups.js';
import type { Guest } from './guest.js';
import { PEERS } from './machines.js';
import type { Session } from './session.js';
import { runKernel } from './suite.js';

/** 32 MiB, half text and half noise; made once, like compiled Python modules. */
export const PREPARE =
  '[ -f /tmp/data ] || { for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do /suite data; done > /tmp/data; python3.11 -c pass; }';

/** What a command prints must be the same everywhere. */
const command =
  (line: string): Workload =>
  async (guest, session) => {
    const { seconds, text } = await guest.run(line);
    session.sameOutput(line, guest.name, text);
    return seconds;
  };
const kernel =
  (name: string): Workload =>
  async (guest) =>
    (await runKernel(guest, name)).host;

const TCC = 'tcc -I/usr/include/x86_64-linux-gnu -c -o /tmp/image.o /src/image.c';
const PYTHON = "python3.11 -c 'import re, os, functools'";

type Workload = (guest: Guest, session: Session) => Promise<number>;

const WORKLOADS: Readonly<Record<string, Workload>> = {
  'fork and exec of 1,000 processes': command('i=0; while [ $i -lt 1000 ]; do /bin/true; i=$((i+1)); done'),
  'gzip -9 of 32 MiB': command('gzip -9 < /tmp/data | wc -c'),
  'sha256sum of 32 MiB': command('sha256sum /tmp/data'),
  '40,000 context switches over a pipe': kernel('pipe'),
  '200,000 system calls': kernel('calls'),
  'tcc compiles 15,000 lines, 5 times': command([...Array(5).fill(TCC), 'md5sum /tmp/image.o'].join(' && ')),
  'python3 starts 5 times': command(Array(5).fill(PYTHON).join(' && ')),
};

/** A round of everything in small, for what must not grow. */
export const ROUND = [
  'i=0; while [ $i -lt 200 ]; do /bin/true; i=$((i+1)); done',
  'head -c 4194304 /tmp/data | gzip -9 > /dev/null',
  'sha256sum /tmp/data > /dev/null',
  '/suite pipe',
  '/suite sort',
  '/suite sse2',
  TCC,
  PYTHON,
].join(' && ');

async function measure(session: Session): Promise<void> {
  const wanted = Object.keys(WORKLOADS).filter((w) => session.wants('commands', w));
  if (wanted.length === 0) return;
  const pair = await session.pair(64);
  for (const guest of [pair.tinamou, pair.peer]) await guest?.run(PREPARE);
  for (const workload of wanted)
    await session.compare({ group: 'commands', workload, unit: 's' }, pair, (guest) =>
      WORKLOADS[workload]!(guest, session),
    );
  session.endGroup({ name: 'commands', title: 'commands in the guest', peer: PEERS[64].title }, { mean: 1 });
}

export const commands: GroupOfRows = { name: 'commands', workloads: Object.keys(WORKLOADS), measure };
