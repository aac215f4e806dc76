/**
 * `npm run bench:guest [-- --runs N]`: the same commands in the same booted guest (stock Debian kernel, BusyBox) under
 * Tinamou and qemu-system-x86_64 -accel tcg, in turn; host seconds from sending a command to its end, medians and ratios.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { parseArgs } from 'node:util';
import { initrdImage, linuxImage } from '../tools/guest/guests.js';

/** Name and shell command. Each takes a second or so under QEMU. */
const WORKLOADS: readonly (readonly [name: string, command: string])[] = [
  ['fork and exec of 300 processes', 'i=0; while [ $i -lt 300 ]; do /bin/true; i=$((i+1)); done'],
  ['200 forks of the shell', 'i=0; while [ $i -lt 200 ]; do (:); i=$((i+1)); done'],
  ['gzip -9 of 4 MiB', 'dd if=/tmp/data bs=1M count=4 2>/dev/null | gzip -9 > /dev/null'],
  ['sha256sum of 16 MiB', 'sha256sum /tmp/data > /dev/null'],
  ['50,000 one-byte reads and writes', 'dd if=/dev/zero of=/dev/null bs=1 count=50000 2>/dev/null'],
  ['shell arithmetic, 60,000 rounds', 'i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done'],
  ['awk: floating point, 200,000 rounds', "awk 'BEGIN{for(i=1;i<200000;i++)s+=sin(i)/i; print s}' > /dev/null"],
  ['sort of 40,000 lines', 'seq 40000 | sort -r | sort -n > /dev/null'],
  ['md5sum over a pipe of 16 MiB', 'cat /tmp/data | md5sum > /dev/null'],
];
const TIMEOUT_MS = 180_000;

class Guest {
  #text = '';
  #wanted: { text: string; resolve: () => void } | undefined;
  readonly #child: ChildProcess;

  constructor(command: string, args: readonly string[]) {
    this.#child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#child.stdout!.on('data', (data: Buffer) => {
      this.#text += data.toString('latin1');
      if (this.#wanted && this.#text.includes(this.#wanted.text)) {
        const { resolve } = this.#wanted;
        this.#wanted = undefined;
        resolve();
      }
    });
  }

  /** Resolves when `text` has been printed since the last command. */
  until(text: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`no '${text}' from the guest; last: ${this.#text.slice(-300)}`)),
        TIMEOUT_MS,
      );
      this.#wanted = {
        text,
        resolve: () => {
          clearTimeout(timer);
          resolve();
        },
      };
      if (this.#text.includes(text)) this.#wanted.resolve();
    });
  }

  /** Host seconds that a shell command takes. The end mark is put together by the shell so that its echo is not it. */
  async run(command: string): Promise<number> {
    this.#text = '';
    const start = performance.now();
    this.#child.stdin!.write(`${command}; echo e""nd\n`);
    await this.until('\nend');
    return (performance.now() - start) / 1000;
  }

  stop(): void {
    this.#child.kill('SIGKILL');
  }
}

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1]!;

const { values } = parseArgs({
  options: { runs: { type: 'string', default: '3' }, cpu: { type: 'string', default: 'max' } },
});
const machine = [
  ...['-kernel', await linuxImage('linux-amd64'), '-initrd', await initrdImage(), '-append', 'console=ttyS0 quiet'],
  ...['-cpu', values.cpu, '-m', '256', '-nographic', '-no-reboot'],
];
const guests = {
  tinamou: new Guest(process.execPath, [
    new URL('../../bin/tinamou-system-x86_64.js', import.meta.url).pathname,
    ...machine,
  ]),
  qemu: new Guest('qemu-system-x86_64', ['-accel', 'tcg', '-nic', 'none', ...machine]),
};
try {
  for (const guest of Object.values(guests)) {
    await guest.until('/ # ');
    await guest.run('dd if=/dev/urandom of=/tmp/half bs=1M count=8 2>/dev/null; cat /tmp/half /tmp/half > /tmp/data');
  }
  const ratios: number[] = [];
  for (const [name, command] of WORKLOADS) {
    const seconds = { tinamou: [] as number[], qemu: [] as number[] };
    for (let i = 0; i <= Number(values.runs); i++) {
      for (const which of ['tinamou', 'qemu'] as const) {
        const took = await guests[which].run(command);
        if (i > 0) seconds[which].push(took); // the first warms up
      }
    }
    const [t, q] = [median(seconds.tinamou), median(seconds.qemu)];
    ratios.push(t / q);
    console.log(
      `${name.padEnd(40)} tinamou ${t.toFixed(2).padStart(6)} s   qemu ${q.toFixed(2).padStart(6)} s   ratio ${(t / q).toFixed(2)}`,
    );
  }
  const mean = Math.exp(ratios.reduce((sum, r) => sum + Math.log(r), 0) / ratios.length);
  console.log(`geometric mean of the ratios: ${mean.toFixed(2)}`);
} finally {
  for (const guest of Object.values(guests)) guest.stop();
}
process.exit(0);
