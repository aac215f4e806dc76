/**
 * Runs a command in a virtual machine whose /dev/kvm is complete: Linux's kvm-amd on a processor that QEMU emulates, so it
 * does not matter what the KVM of this host can do. It tells whether something works, not how fast: host code is 10 to 20
 * times slower in there.
 *
 *     node dist/tools/kvm-lab/main.js [-m MIB] [-t SECONDS] [-c CPUS] [--] COMMAND [ARGUMENT ...]
 *
 * The command sees this host's files; what it writes goes to memory and is lost. Exit status: the command's, 124 when out of
 * time.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { UserError } from '../../src/base/errors.js';
import { initrdImage, linuxImage } from '../guest/guests.js';
import { emulatorVersion, labAccelerator } from './emulator.js';

const QEMU = 'qemu-system-x86_64';
const MODULES = ['virtio_pci', '9pnet_virtio', '9p', 'overlay', 'kvm-amd'];
const START = '@@start';
const STATUS = '@@status ';
const OUT_OF_TIME = 124;

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

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      memory: { type: 'string', short: 'm', default: '3072' },
      time: { type: 'string', short: 't', default: '300' },
      cpus: { type: 'string', short: 'c', default: '2' },
    },
  });
  if (positionals.length === 0) throw new UserError('usage: kvm-lab [-m MIB] [-t SECONDS] [-c CPUS] -- COMMAND ...');
  const accelerator = labAccelerator(emulatorVersion(QEMU), Number(values.cpus));
  const kernel = await linuxImage('linux-amd64');
  const initrd = await initrdImage({ modules: MODULES, files: { '/etc/rc.local': RC_LOCAL } });
  const job = mkdtempSync(join(tmpdir(), 'kvm-lab-'));
  try {
    writeFileSync(join(job, 'job.sh'), jobScript(positionals));
    const share = (path: string, tag: string): string[] => [
      '-virtfs',
      `local,path=${path},mount_tag=${tag},security_model=none,readonly=on,multidevs=remap`,
    ];
    const machine = spawn(
      QEMU,
      [
        ...['-accel', accelerator, '-cpu', 'max,+svm,+npt', '-smp', values.cpus, '-m', values.memory],
        ...['-display', 'none', '-serial', 'stdio', '-monitor', 'none', '-no-reboot', '-nic', 'none'],
        ...['-kernel', kernel, '-initrd', initrd, '-append', 'console=ttyS0 quiet loglevel=3 panic=-1'],
        ...share('/', 'host'),
        ...share(job, 'job'),
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const said = reader((text) => process.stdout.write(text));
    machine.stdout.setEncoding('utf8').on('data', (text: string) => said.feed(text));
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      machine.kill('SIGKILL');
    }, Number(values.time) * 1000);
    const stop = (): void => void machine.kill('SIGKILL');
    process.on('SIGTERM', stop).on('SIGINT', stop);
    await new Promise<void>((resolve, reject) => {
      machine.on('error', reject);
      machine.on('close', () => resolve());
    });
    clearTimeout(timer);
    if (late) {
      console.error(`kvm-lab: not done after ${values.time} s: give it more with -t`);
      return OUT_OF_TIME;
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
