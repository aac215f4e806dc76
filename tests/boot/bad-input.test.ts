/** What a user gets wrong: one line on standard error, exit status 1, nothing left behind. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';

const COMMAND = path.resolve(import.meta.dirname, '../../../bin/tinamou-system-x86_64.js');
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tinamou-test-'));
after(() => fs.rmSync(folder, { recursive: true }));
const text = path.join(folder, 'text');
fs.writeFileSync(text, 'no kernel\n'.repeat(1000));
const at = (name: string): string => path.join(folder, name);

function run(...args: string[]): { status: number | null; out: string; error: string } {
  const done = spawnSync(process.execPath, [COMMAND, ...args], { encoding: 'utf8', timeout: 20_000, input: '' });
  return { status: done.status, out: done.stdout, error: done.stderr };
}

const quiet = ['-display', 'none', '-nodefaults'];
for (const [args, message] of [
  [['-nothing'], '-nothing: invalid option'],
  [
    ['-kernel', at('none'), ...quiet],
    `could not open kernel file '${at('none')}': No such file or directory: check -kernel`,
  ],
  [['-kernel', folder, ...quiet], `could not open kernel file '${folder}': Is a directory: check -kernel`],
  [['-kernel', text, ...quiet], /could not load kernel '.*text': .* name a kernel image with -kernel/],
  [['-initrd', text, ...quiet], '-initrd only allowed with -kernel option'],
  [['-bios', at('none'), ...quiet], /could not load PC BIOS '.*none': No such file or directory: check -bios/],
  [['-hda', at('none'), ...quiet], `-hda ${at('none')}: Could not open '${at('none')}': No such file or directory`],
  [['-device', 'isa-serial,foo=1', ...quiet], "-device isa-serial,foo=1: Property 'isa-serial.foo' not found"],
  [['-device', 'isa-serial,chardev=x', ...quiet], /-device isa-serial,chardev=x: chardev "x" not found/],
  [['-device', 'ide-hd,drive=x', ...quiet], /-device ide-hd,drive=x: drive 'x' not found/],
  [['-object', 'iothread,id=x,foo=1', ...quiet], "-object iothread,id=x,foo=1: Invalid parameter 'foo'"],
  [
    ['-object', 'iothread,id=x,constructor=1', ...quiet],
    "-object iothread,id=x,constructor=1: Invalid parameter 'constructor'",
  ],
  [['-object', 'iothread,id=x,poll-max-ns=-1', ...quiet], /poll-max-ns value must be in range \[0, /],
  [['-device', 'virtio-scsi-pci,iothread=x', ...quiet], /-device virtio-scsi-pci,iothread=x: Device 'x' not found: /],
  [['-smp', '9', ...quiet], "Invalid SMP CPUs 9. The max CPUs supported by machine 'pc' is 8"],
  [['-m', '100G', ...quiet], /RAM|memory/],
  [['-serial', `file:${at('no/file')}`, ...quiet], /-serial file:.*: Could not open '.*': No such file or directory/],
  [
    ['-serial', `unix:${at('no/socket')},server=on,wait=off`, ...quiet],
    /-serial unix:.*: Failed to listen on '.*socket': No such file or directory/,
  ],
  [['-serial', `unix:${at('x'.repeat(120))},server=on,wait=off`, ...quiet], /must be shorter than 108 bytes/],
  [['-chardev', 'mux,id=m,chardev=x', ...quiet], /-chardev mux.*: chardev "x" not found/],
  [['-echr', 'a', ...quiet], /-echr a: the code of a character is needed/],
  [['-serial', `unix:${at('socket')}`, ...quiet], /-serial unix:.*: Failed to connect to '.*socket'/],
  [
    ['-serial', 'stdio', '-monitor', 'stdio', ...quiet],
    /-monitor stdio: cannot use stdio by multiple character devices/,
  ],
  [['-mon', 'chardev=x', ...quiet], '-mon chardev=x: chardev "x" not found: define it with -chardev'],
  [['-D', at('no/log'), ...quiet], /-D .*: could not open the log file: No such file or directory/],
  [['-pidfile', at('no/pid'), '-S', ...quiet], /-pidfile .*: cannot create PID file: No such file or directory/],
  [['-display', 'curses'], /-display curses: standard input and output are not a terminal/],
] as const) {
  test(`refused: ${args
    .filter((a) => !(quiet as readonly string[]).includes(a))
    .join(' ')
    .replaceAll(folder, '')}`, () => {
    const { status, out, error } = run(...args);
    assert.equal(status, 1, error);
    assert.equal(out, '');
    const [line, ...more] = error.split('\n');
    assert.deepEqual(more, [''], `more than one line: ${error}`);
    const prefix = 'tinamou-system-x86_64: ';
    assert.ok(line!.startsWith(prefix), line);
    const said = line!.slice(prefix.length);
    if (typeof message === 'string') assert.equal(said, message);
    else assert.match(said, message);
    assert.deepEqual(fs.readdirSync(folder), ['text']);
  });
}

test('a socket and a pid file are gone after the end, and after a failure behind them', () => {
  const files = ['-serial', `unix:${at('socket')},server=on,wait=off`, '-pidfile', at('pid')];
  const quit = spawnSync(process.execPath, [COMMAND, ...quiet, ...files, '-S', '-monitor', 'stdio'], {
    encoding: 'utf8',
    timeout: 20_000,
    input: 'info chardev\nquit\n',
  });
  assert.equal(quit.status, 0, quit.stderr);
  assert.match(quit.stdout, /\(qemu\) quit\r\n$/);
  assert.match(quit.stdout, /serial0: filename=disconnected:unix:.*socket,server=on/);
  assert.deepEqual(fs.readdirSync(folder), ['text']);
  assert.equal(run(...quiet, ...files, '-device', 'isa-serial,iobase=x').status, 1);
  assert.deepEqual(fs.readdirSync(folder), ['text']);
});

test('SIGTERM ends in an orderly way; the pid file is nobody else’s meanwhile', { timeout: 60_000 }, async () => {
  const child = spawn(process.execPath, [COMMAND, ...quiet, '-S', '-pidfile', at('pid')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let error = '';
  child.stderr.setEncoding('utf8').on('data', (part: string) => {
    error += part;
  });
  const closed = new Promise<number | null>((resolve) => child.on('close', resolve));
  while (!fs.existsSync(at('pid')) || fs.statSync(at('pid')).size === 0) await setTimeout(20);
  assert.equal(fs.readFileSync(at('pid'), 'utf8'), `${child.pid}\n`);
  const second = run(...quiet, '-S', '-pidfile', at('pid'));
  assert.equal(second.status, 1);
  assert.match(second.error, /-pidfile .*pid: cannot create PID file: cannot lock it: another process has it\n$/);
  assert.equal(fs.readFileSync(at('pid'), 'utf8'), `${child.pid}\n`);
  child.kill('SIGTERM');
  assert.equal(await closed, 0);
  assert.equal(error, 'tinamou-system-x86_64: terminating on signal 15\n');
  assert.deepEqual(fs.readdirSync(folder), ['text']);
});

test('code outside RAM and ROM stops the machine and is told of, not left to be guessed', {
  timeout: 60_000,
}, async () => {
  const firmware = Buffer.alloc(0x10000);
  firmware.set([0xea, 0x00, 0x00, 0x00, 0xa0], 0xfff0); // jmp a000:0000
  fs.writeFileSync(at('jump'), firmware);
  const args = [...quiet, '-vga', 'none', '-bios', at('jump'), '-monitor', 'stdio', '-global', 'nothing.property=1'];
  const child = spawn(process.execPath, [COMMAND, ...args], { stdio: 'pipe' });
  const [output, error] = [child.stdout, child.stderr].map((stream) => {
    const read = { text: '' };
    stream.setEncoding('utf8').on('data', (part: string) => {
      read.text += part;
    });
    return read;
  }) as [{ text: string }, { text: string }];
  const closed = new Promise<number | null>((resolve) => child.on('close', resolve));
  while (!error.text.includes('outside') && child.exitCode === null) await setTimeout(20);
  child.stdin.end('info status\nquit\n');
  assert.equal(await closed, 0);
  assert.match(output.text, /VM status: paused \(internal-error\)/);
  const [warning, ...rest] = error.text.split(/(?<=\n)/);
  assert.match(warning!, /: warning: -global nothing\.property changes nothing: there is no such device type\n$/);
  assert.match(rest.join(''), /^tinamou-system-x86_64: processor 0 runs code outside RAM and ROM at 0xa0000: .*\n$/);
});
