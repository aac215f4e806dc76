/**
 * Saving and loading a machine of 256 MiB, Tinamou and QEMU (tcg) in turns: Debian's kernel at BusyBox's shell, which prints
 * without end, on a qcow2 disk. Given are the least elapsed and processor times of several runs, and of starts the median elapsed, too.
 * A machine that was loaded "runs" when it says so (`-trace runstate_set`): its guest's first instruction is the next thing that happens;
 * what the guest does until it prints is its own work, and whatever its clock brings. `npm run bench:save`.
 */
import { type ChildProcess, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { spawnBound } from '../tools/guest/bound.js';
import { initrdImage, linuxImage } from '../tools/guest/guests.js';
import { leaveOutCertificates } from './environment.js';

leaveOutCertificates();

const OURS = fileURLToPath(new URL('../../bin/tinamou-system-x86_64.js', import.meta.url));
const RUNS = 3;
const STARTS = 9;
const BOOT_MS = 180_000;
const STEP_MS = 60_000;
/** A second of /proc/PID/stat. */
const TICKS = 100;
const PROMPT = '(qemu) ';

interface Times {
  readonly elapsed: number;
  readonly busy: number;
}

type Name = 'tinamou' | 'qemu';
const PROGRAMS: Readonly<Record<Name, readonly string[]>> = {
  tinamou: [process.execPath, OURS],
  qemu: ['qemu-system-x86_64', '-accel', 'tcg'],
};

/** User and system time of a process and its threads, in seconds. */
function busy(pid: number): number {
  const fields = fs
    .readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}

class Machine {
  readonly started = performance.now();
  readonly #child: ChildProcess;
  #said = '';
  #told = '';
  readonly #waiting = new Set<() => void>();
  #monitor: net.Socket | undefined;

  constructor(
    name: Name,
    private readonly socket: string,
    args: readonly string[],
  ) {
    fs.rmSync(socket, { force: true });
    const [program, ...own] = PROGRAMS[name] as [string, ...string[]];
    const common = ['-m', '256', '-cpu', 'max', '-display', 'none', '-vga', 'none', '-serial', 'stdio'];
    this.#child = spawnBound(program, [...own, ...common, '-monitor', `unix:${socket},server=on,wait=off`, ...args], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.#child.stderr!.on('data', (data: Buffer) => {
      this.#told += data.toString('latin1');
      for (const look of this.#waiting) look();
    });
    this.#child.stdout!.on('data', (data: Buffer) => {
      this.#said += data.toString('latin1');
      for (const look of this.#waiting) look();
    });
  }

  /** Waits until the serial port has said it. */
  async said(text: string, ms: number): Promise<void> {
    await within(ms, `'${text}' on the serial port`, () => this.#until(() => this.#said.includes(text)));
  }

  /** Waits until the guest runs; the machine was started with TRACE. */
  async runs(): Promise<Times> {
    await within(STEP_MS, 'guest that runs', () => this.#until(() => this.#told.includes('(running)')));
    return this.times();
  }

  async #until(there: () => boolean): Promise<void> {
    if (there()) return;
    await new Promise<void>((resolve) => {
      const look = (): void => {
        if (!there()) return;
        this.#waiting.delete(look);
        resolve();
      };
      this.#waiting.add(look);
    });
  }

  type(text: string): void {
    this.#child.stdin!.write(text);
  }

  /** Runs a command of the monitor. */
  async command(line: string): Promise<Times> {
    const monitor = await this.#connect();
    const before = busy(this.#child.pid!);
    const start = performance.now();
    let answer = '';
    await within(STEP_MS, line, async () => {
      await new Promise<void>((resolve) => {
        const listen = (data: Buffer): void => {
          answer += data.toString('latin1');
          // The prompt comes again behind the answer.
          if (!answer.slice(answer.indexOf('\n')).includes(PROMPT) || !answer.includes('\n')) return;
          monitor.off('data', listen);
          resolve();
        };
        monitor.on('data', listen);
        monitor.write(`${line}\n`);
      });
    });
    if (/rror/.test(answer)) throw new Error(`${line}: ${answer}`);
    return { elapsed: (performance.now() - start) / 1000, busy: busy(this.#child.pid!) - before };
  }

  /** From the start of the process. */
  times(): Times {
    return { elapsed: (performance.now() - this.started) / 1000, busy: busy(this.#child.pid!) };
  }

  async end(): Promise<void> {
    this.#monitor?.destroy();
    const gone = new Promise((resolve) => this.#child.once('close', resolve));
    this.#child.kill('SIGKILL');
    await gone;
  }

  async #connect(): Promise<net.Socket> {
    if (this.#monitor) return this.#monitor;
    const socket = net.connect(this.socket);
    this.#monitor = socket;
    await new Promise<void>((resolve) => {
      let greeting = '';
      const listen = (data: Buffer): void => {
        greeting += data.toString('latin1');
        if (!greeting.includes(PROMPT)) return;
        socket.off('data', listen);
        resolve();
      };
      socket.on('data', listen);
    });
    return socket;
  }
}

async function within(ms: number, what: string, work: () => Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no ${what} within ${ms / 1000} s`)), ms);
  });
  try {
    await Promise.race([work(), late]);
  } finally {
    clearTimeout(timer);
  }
}

const TRACE = ['-trace', 'runstate_set'];
const ROWS = [
  'savevm',
  'loadvm',
  'migrate to a file',
  '-incoming: start to running',
  '-incoming: start to output',
  '-loadvm: start to running',
  '-loadvm: start to output',
] as const;
const results = new Map<string, Times[]>();
const folder = fs.mkdtempSync(path.join(fs.existsSync('/dev/shm') ? '/dev/shm' : os.tmpdir(), 'tinamou-save-'));

async function measure(name: Name, machine: readonly string[]): Promise<void> {
  const at = (file: string): string => path.join(folder, `${name}-${file}`);
  const note = (row: (typeof ROWS)[number], times: Times): void => {
    const key = `${name} ${row}`;
    results.set(key, [...(results.get(key) ?? []), times]);
  };
  fs.rmSync(at('disk'), { force: true });
  const made = spawnSync('qemu-img', ['create', '-q', '-f', 'qcow2', at('disk'), '1G'], { encoding: 'utf8' });
  if (made.status !== 0) throw new Error(made.stderr);
  const args = [...machine, '-drive', `file=${at('disk')},if=virtio,format=qcow2`];
  const first = new Machine(name, at('monitor'), args);
  try {
    await first.said('/ # ', BOOT_MS);
    first.type('dmesg -n 1; while :; do echo tick; done\n');
    await first.said('tick\r\ntick\r\ntick', STEP_MS);
    for (let i = 0; i < RUNS; i++) {
      note('savevm', await first.command('savevm s'));
      note('loadvm', await first.command('loadvm s'));
    }
    if (name === 'qemu') await first.command('migrate_set_parameter max-bandwidth 100G');
    note(
      'migrate to a file',
      await first.command(name === 'qemu' ? `migrate "exec:cat >${at('state')}"` : `migrate file:${at('state')}`),
    );
  } finally {
    await first.end();
  }
  const from = name === 'qemu' ? `exec:cat ${at('state')}` : `file:${at('state')}`;
  for (let i = 0; i < STARTS; i++) {
    for (const [how, more] of [
      ['-incoming', ['-incoming', from]],
      ['-loadvm', ['-loadvm', 's']],
    ] as const) {
      const next = new Machine(name, at('monitor'), [...args, ...more, ...TRACE]);
      try {
        const running = next.runs().then((times) => note(`${how}: start to running`, times));
        await next.said('tick', STEP_MS);
        note(`${how}: start to output`, next.times());
        await running;
      } finally {
        await next.end();
      }
    }
  }
}

try {
  const machine = ['-kernel', await linuxImage('linux-amd64'), '-append', 'console=ttyS0 quiet'];
  const initrd = await initrdImage({ linux: 'linux-amd64', modules: ['virtio_pci', 'virtio_blk'] });
  const names: readonly Name[] = spawnSync('qemu-system-x86_64', ['--version']).error
    ? ['tinamou']
    : ['tinamou', 'qemu'];
  for (const name of names) await measure(name, [...machine, '-initrd', initrd]);
  console.log(
    `256 MiB machine; seconds elapsed (processor), least of ${RUNS} runs, of starts ${STARTS}; their median elapsed`,
  );
  console.log(`${''.padEnd(30)}${'tinamou'.padEnd(18)}${'qemu'.padEnd(18)}speed ratio, elapsed (processor)`);
  for (const row of ROWS) {
    const best = names.map((name): Times => {
      const times = results.get(`${name} ${row}`) ?? [];
      return { elapsed: Math.min(...times.map((t) => t.elapsed)), busy: Math.min(...times.map((t) => t.busy)) };
    });
    const show = (t: Times | undefined): string =>
      (t ? `${t.elapsed.toFixed(3)} (${t.busy.toFixed(2)})` : '-').padEnd(18);
    const [ours, theirs] = best as [Times, Times | undefined];
    const ratio = theirs
      ? `${(theirs.elapsed / ours.elapsed).toFixed(2)} (${(theirs.busy / ours.busy).toFixed(2)})`
      : '-';
    const middle = row.includes('start')
      ? names.map((name) => {
          const sorted = results
            .get(`${name} ${row}`)!
            .map((t) => t.elapsed)
            .sort((a, b) => a - b);
          return sorted[sorted.length >> 1]!.toFixed(3);
        })
      : [];
    console.log(`${row.padEnd(30)}${show(ours)}${show(theirs)}${ratio.padEnd(14)}${middle.join(' ')}`);
  }
} finally {
  fs.rmSync(folder, { recursive: true, force: true });
}
