/**
 * Runs a command in a virtual machine whose /dev/kvm is complete: Linux's kvm-amd on a processor that QEMU emulates, so it
 * does not matter what the KVM of this host can do. It tells whether something works, not how fast: host code is 10 to 20
 * times slower in there.
 *
 *     node dist/tools/kvm-lab/main.js [-m MIB] [-t SECONDS] [-c CPUS] [--idle SECONDS] [--silent SECONDS] [--] COMMAND [ARGUMENT ...]
 *
 * The command sees this host's files; what it writes goes to memory and is lost. Exit status: the command's, 124 when out of
 * time, 125 when the lab stands still: it needed next to no processor for as long as `--idle` says, or the command printed nothing
 * for as long as `--silent` says. Before a lab is ended for one of these, standard error gets what its processors and tasks do.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { UserError } from '../../src/base/errors.js';
import { initrdImage, linuxImage } from '../guest/guests.js';
import { allowedProcessors, emulatorVersion, hostProcessor, labAccelerator } from './emulator.js';
import { inspect } from './inspect.js';
import { Monitor } from './monitor.js';
import { processorNeed, Standstill } from './standstill.js';

const QEMU = 'qemu-system-x86_64';
const MODULES = ['virtio_pci', '9pnet_virtio', '9p', 'overlay', 'kvm-amd'];
const START = '@@start';
const STATUS = '@@status ';
const OUT_OF_TIME = 124;
const STANDS_STILL = 125;
const LOOK_MS = 1000;
/** Nothing that is asked of a lab that stands still takes longer. */
const INSPECTION_MS = 120_000;

/** Runs in the machine when its modules are loaded: this host's files with a writable layer of memory on top. */
const RC_LOCAL = `mkdir -p /host /layer /job /top
mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=512000 host /host
mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=512000 job /job
mount -t tmpfs -o size=75% none /layer
mkdir /layer/upper /layer/work
mount -t overlay -o lowerdir=/host,upperdir=/layer/upper,workdir=/layer/work none /top
for folder in dev proc sys; do mkdir -p /top/$folder; mount --bind /$folder /top/$folder; done
mount -t devpts devpts /top/dev/pts
mount -t tmpfs none /top/run
cp /job/job.sh /top/run/job.sh
stty -onlcr -echo 2>/dev/null
chroot /top /bin/sh /run/job.sh </dev/null
echo "${STATUS}$?"
poweroff -f
`;

const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

function jobScript(command: readonly string[]): string {
  const environment = ['HOME', 'PATH', 'TINAMOU_CACHE']
    .filter((name) => process.env[name] !== undefined)
    .map((name) => `export ${name}=${quote(process.env[name]!)}`);
  return [
    ...environment,
    'export TERM=dumb TINAMOU_KVM_LAB=1',
    `cd ${quote(process.cwd())}`,
    `echo ${START}`,
    command.map(quote).join(' '),
    '',
  ].join('\n');
}

/** Passes on what the command prints; gives its exit status, undefined before there is one. */
function reader(print: (text: string) => void): { feed(text: string): void; status(): number | undefined } {
  let rest = '';
  let started = false;
  let status: number | undefined;
  return {
    feed(text) {
      const lines = (rest + text).replaceAll('\r', '').split('\n');
      rest = lines.pop()!;
      for (const line of lines) {
        if (line.startsWith(STATUS)) status = Number(line.slice(STATUS.length));
        else if (line === START) started = true;
        else if (started && status === undefined) print(`${line}\n`);
      }
    },
    status: () => status,
  };
}

/** The machine's console: the command's output, until someone asks for all that comes. */
class Console {
  #all = '';
  #inspected = false;

  constructor(private readonly command: { feed(text: string): void }) {}

  feed(text: string): void {
    if (this.#inspected) this.#all += text.replaceAll('\r', '');
    else this.command.feed(text);
  }

  take(): string {
    const said = this.#all;
    this.#all = '';
    this.#inspected = true;
    return said;
  }
}

/** Prints what the machine does, as far as it can be asked. */
async function report(socket: string, console: Console): Promise<void> {
  const print = (text: string): void => void process.stderr.write(text);
  try {
    const monitor = await Monitor.connect(socket);
    const lab = { monitor: (line: string) => monitor.command(line), console: () => console.take() };
    const late = new Promise<void>((resolve) => setTimeout(resolve, INSPECTION_MS).unref());
    await Promise.race([inspect(lab, print), late]);
    monitor.close();
  } catch (error) {
    print(`kvm-lab: its monitor cannot be asked: ${(error as Error).message}\n`);
  }
}

/** Of an option. */
function seconds(name: string, value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  if (!(Number(value) > 0)) throw new UserError(`--${name} '${value}': a number of seconds is wanted`);
  return Number(value);
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      memory: { type: 'string', short: 'm', default: '3072' },
      time: { type: 'string', short: 't', default: '300' },
      cpus: { type: 'string', short: 'c', default: '2' },
      idle: { type: 'string' },
      silent: { type: 'string' },
    },
  });
  if (positionals.length === 0) {
    throw new UserError(
      'usage: kvm-lab [-m MIB] [-t SECONDS] [-c CPUS] [--idle SECONDS] [--silent SECONDS] -- COMMAND ...',
    );
  }
  const time = seconds('time', values.time)!;
  const idle = seconds('idle', values.idle);
  const silent = seconds('silent', values.silent);
  const accelerator = labAccelerator(emulatorVersion(QEMU), Number(values.cpus));
  const kernel = await linuxImage('linux-amd64');
  const initrd = await initrdImage({ modules: MODULES, files: { '/etc/rc.local': RC_LOCAL } });
  const job = mkdtempSync(join(tmpdir(), 'kvm-lab-'));
  try {
    writeFileSync(join(job, 'job.sh'), jobScript(positionals));
    const socket = join(job, 'monitor');
    const share = (path: string, tag: string): string[] => [
      '-virtfs',
      `local,path=${path},mount_tag=${tag},security_model=none,readonly=on,multidevs=remap`,
    ];
    const shared = Number(values.cpus) === 1 || accelerator !== 'tcg';
    const keep = shared ? ['taskset', '-c', String(hostProcessor(allowedProcessors(), process.pid))] : [];
    const [program, ...words] = [...keep, QEMU];
    const machine = spawn(
      program!,
      [
        ...words,
        ...['-accel', accelerator, '-cpu', 'max,+svm,+npt', '-smp', values.cpus, '-m', values.memory],
        ...['-display', 'none', '-serial', 'stdio', '-monitor', 'none', '-no-reboot', '-nic', 'none'],
        ...['-qmp', `unix:${socket},server=on,wait=off`],
        ...['-kernel', kernel, '-initrd', initrd],
        ...['-append', 'console=ttyS0 quiet loglevel=3 panic=-1 sysrq_always_enabled'],
        ...share('/', 'host'),
        ...share(job, 'job'),
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const now = (): number => performance.now() / 1000;
    const start = now();
    const standstill = new Standstill({ ...(idle && { idle }), ...(silent && { silent }) }, start);
    const said = reader((text) => {
      standstill.printed(now());
      process.stdout.write(text);
    });
    const console = new Console(said);
    machine.stdout.setEncoding('utf8').on('data', (text: string) => console.feed(text));
    let ended: { readonly status: number; readonly why: string } | undefined;
    const end = async (status: number, why: string): Promise<void> => {
      clearInterval(timer);
      ended = { status, why };
      process.stderr.write(`kvm-lab: ${why}; this is what it does:\n`);
      await report(socket, console);
      machine.kill('SIGKILL');
    };
    const timer = setInterval(() => {
      if (now() - start >= time) void end(OUT_OF_TIME, `not done after ${time} s: give it more with -t`);
      else {
        const why = standstill.look(now(), processorNeed(machine.pid!));
        if (why) void end(STANDS_STILL, `the lab stands still: ${why}`);
      }
    }, LOOK_MS);
    machine.on('exit', () => clearInterval(timer));
    const stop = (): void => void machine.kill('SIGKILL');
    process.on('SIGTERM', stop).on('SIGINT', stop);
    await new Promise<void>((resolve, reject) => {
      machine.on('error', () => reject(new UserError(`the lab needs ${program}, which does not start`)));
      machine.on('close', () => resolve());
    });
    if (ended) {
      if (machine.exitCode !== null)
        process.stderr.write('\nkvm-lab: asking made it go on, and its command has ended\n');
      process.stderr.write(`\nkvm-lab: ended: ${ended.why}\n`);
      return ended.status;
    }
    const status = said.status();
    if (status === undefined) throw new UserError('the machine stopped before the command did');
    return status;
  } finally {
    rmSync(job, { recursive: true, force: true });
  }
}

main().then(
  (status) => process.exit(status),
  (error: unknown) => {
    if (!(error instanceof UserError || (error instanceof TypeError && 'code' in error))) throw error;
    console.error(`kvm-lab: ${error.message}`);
    process.exit(2);
  },
);
