/** The Debian disk of `npm run guest:debian` in tests: a writable image on top of it, a login, commands, a look from outside. */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { SerialConsole, UserError } from '../../src/app/lib/index.js';
import { endWithParent, spawnBound } from '../../tools/guest/bound.js';
import { debianDisk } from '../../tools/guest/debian-disk.js';
import { partition } from '../../tools/guest/grub-image.js';
import { biosFile } from '../../tools/guest/guests.js';
import { tool } from '../../tools/guest/tool.js';

const bin = (name: string): string => fileURLToPath(new URL(`../../../bin/${name}.js`, import.meta.url));
// A runner that is killed leaves the processes of its files behind.
endWithParent();

const PROMPT = 'debian# ';
/** Seconds to a login on a busy host. */
const BOOT_SECONDS = 600;

/** False, or why there is no disk. */
export async function missingDebian(): Promise<string | false> {
  try {
    await debianDisk();
    await biosFile('bios-256k.bin');
    return false;
  } catch (error) {
    if (error instanceof UserError) return error.message;
    throw error;
  }
}

export function img(...args: readonly string[]): string {
  const done = tool(process.execPath, [bin('tinamou-img'), ...args]);
  assert.equal(done.status, 0, `tinamou-img ${args.join(' ')}: ${done.out}${done.errors}`);
  return done.out;
}

export async function overlay(path: string): Promise<string> {
  img('create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', await debianDisk(), path);
  return path;
}

/** `e2fsck -f -n` of the disk's file system, by way of a raw copy beside it. Returns its status and what it said. */
export function checkFileSystem(image: string): { readonly status: number | null; readonly said: string } {
  const raw = `${image}.raw`;
  img('convert', '-O', 'raw', image, raw);
  const { status, out, errors } = tool('e2fsck', ['-f', '-n', partition(raw)]);
  rmSync(raw);
  return { status, said: out + errors };
}

export function assertClean(image: string): void {
  const { status, said } = checkFileSystem(image);
  assert.equal(status, 0, said);
  assert.match(said, /Pass 5/);
  assert.doesNotMatch(said, /recover|not cleanly/i);
}

/** A machine in a process of its own, which a test may kill; its serial port is the process' standard input and output. */
export class DebianProcess {
  readonly serial = new SerialConsole();
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown[]>;

  private constructor(image: string, bios: string, args: readonly string[]) {
    const child = spawnBound(process.execPath, [
      ...[bin('tinamou-system-x86_64'), '-cpu', 'max', '-m', '512', '-bios', bios],
      ...['-display', 'none', '-monitor', 'none', '-serial', 'stdio'],
      // First of all disks, however firmware finds them.
      ...['-drive', `file=${image},format=qcow2,if=none,id=root`, '-device', 'virtio-blk-pci,drive=root,bootindex=0'],
      ...args,
    ]);
    this.#child = child;
    this.#ended = once(child, 'close');
    this.serial.attach({
      canReceive: () => 4096,
      receive: (data) => void child.stdin!.write(data.slice()),
    });
    child.stdout!.on('data', (data: Buffer) => this.serial.write(data));
    child.stderr!.on('data', (data: Buffer) => this.serial.write(data));
    child.on('close', (status, signal) => this.serial.close(`status ${status}, signal ${signal}`));
    child.stdin!.on('error', () => {}); // It may have ended; whoever waits is told so.
  }

  /** Starts the machine and logs in as root. */
  static async start(image: string, args: readonly string[] = []): Promise<DebianProcess> {
    const machine = new DebianProcess(image, await biosFile('bios-256k.bin'), args);
    try {
      await machine.serial.waitFor('debian login: ', { timeout: BOOT_SECONDS });
      machine.serial.write('root\n');
      await machine.serial.waitFor(/root@debian:~# $/, { timeout: BOOT_SECONDS });
      // Lines as they are, and a prompt that nothing else says.
      const plain = `export TERM=dumb; bind 'set enable-bracketed-paste off'; stty -echo cols 500; dmesg -n 1; PS1='debian''# '`;
      await machine.serial.run(plain, PROMPT, { timeout: BOOT_SECONDS });
      return machine;
    } catch (error) {
      await machine.kill();
      throw error;
    }
  }

  /** What a command prints; it must end with status 0. */
  async run(command: string, timeout = BOOT_SECONDS): Promise<string> {
    const said = await this.serial.run(`${command}; echo "status $?"`, PROMPT, { timeout });
    const [, text, status] = /^(.*?)status (\d+)\s*debian# $/s.exec(said.replaceAll('\r', '')) ?? [];
    assert.equal(status, '0', `${command}\n${said}`);
    return text!.trim();
  }

  /** SIGKILL: the machine does not get to do anything more. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
  }

  /** The guest powers the machine off, whose exit status is 0. */
  async powerOff(): Promise<void> {
    this.serial.write('poweroff\n');
    const late = setTimeout(() => this.#child.kill('SIGKILL'), BOOT_SECONDS * 1000);
    const [status] = await this.#ended;
    clearTimeout(late);
    assert.equal(status, 0, this.serial.text.slice(-2000));
  }
}
