/** The monitor's commands, as one table: execution, help and completion derive from it. */
import { UserError } from '../../base/errors.js';
import { setTrace } from '../../base/trace.js';
import { RingBuffer } from '../../char/ringbuf.js';
import { keyCombination } from '../../display/keys.js';
import { toPng, toPpm } from '../../display/screendump.js';
import { type BalloonControl, balloonOf } from '../../machine/balloon.js';
import type { Session } from './context.js';
import { blockResize, change, driveAdd, driveDel, eject } from './drive-commands.js';
import { infoIrq, infoLapic, infoPci, infoPic } from './info-hardware.js';
import { infoExits, infoKvm } from './info-kvm.js';
import { infoBlock, infoBlockStats, infoChardev, infoJit, infoMtree, infoQtree, infoRoms } from './info-machine.js';
import { examine, guestPhysical, portRead, portWrite, print, saveMemory, sumMemory } from './memory-commands.js';
import { nbdServerAdd, nbdServerRemove, nbdServerStart, nbdServerStop } from './nbd.js';
import { pageLine, Ranges, walkPages } from './page-tables.js';
import { profile } from './profile.js';
import { dumpRegisters } from './registers.js';
import { deleteVm, infoMigrate, infoSnapshots, loadVm, migrate, migrateIncoming, saveVm } from './saving.js';
import { Usage, words } from './usage.js';

export interface Command {
  /** Further names after the first. */
  readonly names: readonly string[];
  readonly parameters: string;
  readonly help: string;
  /** `text`: all that follows the name. */
  /** A promise when the command goes on after the call. */
  run(session: Session, text: string): void | Promise<void>;
}

function row(names: string, parameters: string, help: string, run: Command['run']): Command {
  return { names: names.split('|'), parameters, help, run };
}

function pages(s: Session, visit: Parameters<typeof walkPages>[2]): boolean {
  const on = walkPages(s.registers[s.cpu]!, s.machine.system, visit);
  if (!on) s.print('PG disabled\n');
  return on;
}

function infoRegisters(s: Session, text: string): void {
  const chosen = text === '' ? s.cpu : Number(text);
  const cpus = text === '-a' ? s.registers.map((_, i) => i) : [chosen];
  if (text !== '-a' && !s.registers[chosen]) {
    s.print(`CPU#${text} not available\n`);
    return;
  }
  for (const cpu of cpus) {
    const r = s.registers[cpu]!;
    s.print(`\nCPU#${cpu}\n`);
    s.print(
      dumpRegisters(r, {
        halted: s.halted(cpu),
        a20: r.wide('a20Closed', 0) === 0n,
      }),
    );
  }
}

/** How QEMU says in which state a machine is. */
function status(s: Session): string {
  const { told } = s.machine.lifecycle;
  if (told === 'running') return 'running';
  return told === 'paused' ? 'paused' : `paused (${told})`;
}

function balloon(s: Session): BalloonControl {
  for (const { node } of s.machine.devices()) {
    const found = balloonOf(node.device);
    if (found) return found;
  }
  throw new UserError('No balloon device has been activated');
}

const SHOWN_OF_IO_THREADS = ['poll-max-ns', 'poll-grow', 'poll-shrink', 'aio-max-batch'] as const;

export const INFO: readonly Command[] = [
  row('balloon', '', 'show how much RAM the guest has left', (s) =>
    s.print(`balloon: actual=${balloon(s).actual / 2 ** 20}\n`),
  ),
  row('block', '[-v] [device]', 'show the drives, or one of them (-v: what their images are)', infoBlock),
  row('blockstats', '', 'show how much the drives have read and written', infoBlockStats),
  row('chardev', '', 'show the character backends', infoChardev),
  row('cpus', '', 'show the processors', (s) =>
    s.registers.forEach((_, i) => {
      s.print(`${i === s.cpu ? '*' : ' '} CPU #${i}: ${s.halted(i) ? '(halted) ' : ''}thread_id=${s.threadId}\n`);
    }),
  ),
  row('exits', '', 'show how often and why processors left the guest (kvm)', infoExits),
  row('history', '', 'show the commands typed before', (s) => {
    s.history().forEach((line, i) => {
      s.print(`${i}: '${line}'\n`);
    });
  }),
  row('iothreads', '', 'show the objects iothread', (s) => {
    for (const [id, thread] of s.ioThreads) {
      s.print(`${id}:\n  thread_id=${s.threadId}\n`);
      for (const name of SHOWN_OF_IO_THREADS) s.print(`  ${name}=${thread[name]}\n`);
    }
  }),
  row('irq', '', 'show how often each interrupt was served', infoIrq),
  row('jit', '', 'show what the translator has done', infoJit),
  row('kvm', '', 'show whether guest code runs on the host processor', infoKvm),
  row('lapic', '[apic-id]', 'show a local APIC (default: of the processor chosen by cpu)', infoLapic),
  row('mem', '', 'show the mapped ranges of virtual memory', (s) => {
    const ranges = new Ranges((text) => s.print(text));
    if (pages(s, (page) => ranges.add(page))) ranges.finish();
  }),
  row('memory_size_summary', '', 'show how much RAM the machine has', (s) =>
    s.print(`base memory: ${s.ramBytes}\nplugged memory: 0\n`),
  ),
  row('migrate', '', 'show how far the last migration has come', infoMigrate),
  row('mtree', '[-f] [-D]', 'show the tree of memory regions (-f: flattened; -D: also disabled ones)', infoMtree),
  row('name', '', 'show the name of the machine', (s) => {
    if (s.name !== undefined) s.print(`${s.name}\n`);
  }),
  row('pci', '', 'show the PCI functions', infoPci),
  row('pic', '', 'show the interrupt controllers', infoPic),
  row('qtree', '', 'show the tree of devices', infoQtree),
  row('registers', '[-a|vcpu]', 'show the registers of a processor (-a: of all)', infoRegisters),
  row('roms', '', 'show what was loaded before the guest ran', infoRoms),
  row('snapshots', '', 'show the snapshots in the images', infoSnapshots),
  row('status', '', 'show whether the machine runs', (s) => s.print(`VM status: ${status(s)}\n`)),
  row('tlb', '', 'show the mapped pages of virtual memory', (s) => {
    pages(s, (page) => s.print(pageLine(page)));
  }),
  row('trace-events', '[pattern]', 'show the trace events and which are on', (s, text) => {
    const pattern = new RegExp(`^${(text || '*').replace(/[^\w*]/g, '\\$&').replaceAll('*', '.*')}$`);
    for (const event of s.traceEvents) {
      if (pattern.test(event.name)) s.print(`${event.name} : state ${event.enabled ? 1 : 0}\n`);
    }
  }),
  row('uuid', '', 'show the UUID of the machine', (s) => s.print(`${s.uuid}\n`)),
  row('version', '', 'show the version', (s) => s.print(`${s.version}\n`)),
];

function screendump(s: Session, text: string): void {
  const { options, rest } = takeOptions(text, ['-f']);
  const [file] = words(rest);
  if (file === undefined) throw new Usage('screendump: filename expected', 'screendump');
  if (!s.display) throw new UserError('There is no console to take a screendump from');
  const format = options['-f'] ?? 'ppm';
  if (format !== 'ppm' && format !== 'png') throw new UserError(`invalid image format '${format}': use ppm or png`);
  const { surface } = s.display.refresh();
  s.writeFile(file, format === 'png' ? toPng(surface, s.deflate) : toPpm(surface));
}

/** Options with a value at the start (or the end) of the arguments. */
function takeOptions(
  text: string,
  names: readonly string[],
): { readonly options: Record<string, string>; readonly rest: string } {
  const options: Record<string, string> = {};
  const rest: string[] = [];
  const all = words(text);
  for (let i = 0; i < all.length; i++) {
    if (names.includes(all[i]!)) options[all[i]!] = all[++i] ?? '';
    else rest.push(all[i]!);
  }
  return { options, rest: rest.join(' ') };
}

function sendkey(s: Session, text: string): void {
  const [combination, hold] = words(text);
  if (combination === undefined) throw new Usage('sendkey: string expected', 'sendkey');
  const keys = keyCombination(combination);
  if (!keys) {
    const wrong = combination.split('-').find((name) => !keyCombination(name)) ?? combination;
    throw new UserError(`invalid parameter: ${wrong}`);
  }
  if (!s.keys) throw new UserError('this machine has no keyboard');
  s.keys.send(keys, hold === undefined ? undefined : Number(hold));
}

function traceEvent(s: Session, text: string): void {
  const [pattern, state] = words(text);
  if (pattern === undefined || (state !== 'on' && state !== 'off')) {
    throw new Usage('trace-event: event name and on or off expected', 'trace-event');
  }
  if (setTrace(s.traceEvents, pattern, state === 'on') === 0) throw new UserError(`unknown event "${pattern}"`);
}

function log(s: Session, text: string): void {
  const items = text.split(',').filter(Boolean);
  if (items.length === 0 || items[0] === 'help' || items[0] === '?') {
    s.print(`none            no log any more\n${s.logHelp}`);
    return;
  }
  s.setLog(items[0] === 'none' ? [] : items);
}

function ringBuffer(s: Session, id: string): RingBuffer {
  const found = s.chardevs().find((c) => c.id === id)?.backend;
  if (!found) throw new UserError(`Device '${id}' not found`);
  if (!(found instanceof RingBuffer)) throw new UserError(`${id} is not a ringbuf device`);
  return found;
}

function ringbufRead(s: Session, text: string): void {
  const [id, size] = words(text);
  if (id === undefined || size === undefined) throw new Usage('ringbuf_read: device and size expected', 'ringbuf_read');
  const count = Number(size);
  if (!Number.isInteger(count) || count <= 0) throw new UserError('size must be greater than zero');
  const shown = Array.from(ringBuffer(s, id).read(count), (byte) =>
    byte === 0x5c || (byte < 0x20 && byte !== 10) || byte === 0x7f
      ? `\\u${byte.toString(16).padStart(4, '0')}`
      : String.fromCharCode(byte),
  );
  s.print(`${shown.join('')}\n`);
}

function ringbufWrite(s: Session, text: string): void {
  const [, id, data] = /^(\S+)\s+(.*)$/s.exec(text) ?? [];
  if (id === undefined || data === undefined)
    throw new Usage('ringbuf_write: device and data expected', 'ringbuf_write');
  ringBuffer(s, id).send(new TextEncoder().encode(data));
}

function help(s: Session, text: string): void {
  const [name, item] = words(text);
  if (name === 'info') {
    const items = item === undefined ? INFO : INFO.filter((c) => c.names.includes(item));
    if (items.length === 0) throw new UserError(`unknown command: 'info ${item}'`);
    for (const command of items) s.print(usage(command, 'info '));
    return;
  }
  const found = name === undefined ? COMMANDS : COMMANDS.filter((c) => c.names.includes(name));
  if (found.length === 0) throw new UserError(`unknown command: '${name}'`);
  for (const command of found) s.print(usage(command));
}

function usage({ names, parameters, help: what }: Command, before = ''): string {
  return `${before}${names.join('|')}${parameters ? ` ${parameters}` : ''} -- ${what}\n`;
}

export const COMMANDS: readonly Command[] = [
  row('balloon', 'target', 'ask the guest to make do with so many MiB of RAM', (s, text) => {
    const mib = Number(text);
    if (text === '' || !Number.isInteger(mib) || mib <= 0) throw new UserError("Parameter 'target' expects a size");
    balloon(s).setTarget(mib * 2 ** 20);
  }),
  row('block_resize', 'device size', 'make the medium of a drive so many MiB long (suffixes k, M, G, T)', blockResize),
  row('change', 'device [-f] filename [format [read-only-mode]]', 'put another medium into a drive', change),
  row('cont|c', '', 'let the machine run', (s) => s.resume()),
  row('cpu', 'index', 'choose the processor that other commands show', (s, text) => {
    const index = Number(text);
    if (text === '' || !s.registers[index]) throw new UserError('invalid CPU index');
    s.cpu = index;
  }),
  row('delvm', 'tag', 'delete a snapshot from the images', deleteVm),
  row('device_add', 'driver[,prop=value][,...]', 'plug a device into the running machine', (s, text) =>
    s.addDevice(text),
  ),
  row('device_del', 'device', 'unplug a device as soon as the guest lets it go', (s, text) => s.removeDevice(text)),
  row('drive_add', '[place] if=none[,file=file][,id=name]...', 'add a drive for device_add, as -drive', driveAdd),
  row('drive_del', 'device', 'close the image of a drive', driveDel),
  row('eject', '[-f] device', 'take the medium out of a drive (-f: also from a locked one)', eject),
  row('gva2gpa', 'addr', 'show the physical address of a virtual one', guestPhysical),
  row('help|?', '[cmd]', 'show the commands', help),
  row('i', '/fmt addr', 'read an I/O port', portRead),
  row('info', '[subcommand]', 'show the state of something', (s, text) => {
    const [name = ''] = words(text);
    if (name === '') return help(s, 'info');
    const command = INFO.find((c) => c.names.includes(name));
    if (!command) throw new UserError(`unknown command: 'info ${name}'`);
    return command.run(s, text.slice(name.length).trim());
  }),
  row('loadvm', 'tag', 'make the machine and its images what they were in a snapshot', loadVm),
  row('log', 'item1[,...]', 'log these items from now on (none: nothing)', log),
  row('memsave', 'addr size file', 'save virtual memory to a file', (s, text) => saveMemory(s, text, false)),
  row(
    'migrate',
    '[-d] uri',
    'send the state of the machine away: file:, exec:, tcp:, unix: (-d: do not wait)',
    migrate,
  ),
  row('migrate_cancel', '', 'give up the migration that is under way', (s) => s.saving.cancelMigration()),
  row('migrate_incoming', 'uri', 'go on with -incoming defer', migrateIncoming),
  row('nbd_server_add', '[-w] device [name]', 'export a drive over NBD (-w: writable)', nbdServerAdd),
  row('nbd_server_remove', '[-f] name', 'stop exporting (-f: also while clients use it)', nbdServerRemove),
  row(
    'nbd_server_start',
    '[-a] [-w] host:port|unix:path',
    'serve drives over NBD (-a: all that have a medium; -w: writable)',
    nbdServerStart,
  ),
  row('nbd_server_stop', '', 'end the NBD server and send its clients away', nbdServerStop),
  row('nmi', '', 'raise a non-maskable interrupt on every processor', (s) => s.machine.nmi()),
  row('o', '/fmt addr value', 'write an I/O port', portWrite),
  row('pmemsave', 'addr size file', 'save physical memory to a file', (s, text) => saveMemory(s, text, true)),
  row('print|p', '/fmt expr', 'show the value of an expression', print),
  row(
    'profile',
    'start [interval]|stop [System.map]',
    'sample where the time goes; say it by tier and guest function',
    profile,
  ),
  row('quit|q', '', 'end the emulator', (s) => s.quit()),
  row('ringbuf_read', 'device size', 'take what a ringbuf character device was sent', ringbufRead),
  row('ringbuf_write', 'device data', 'send something through a ringbuf character device', ringbufWrite),
  row('savevm', '[tag]', 'save the machine into its images as a snapshot', saveVm),
  row('screendump', '[-f format] filename', 'write the screen into a file, as ppm or png', screendump),
  row('sendkey', 'keys [hold_ms]', 'press keys, such as ctrl-alt-f1', sendkey),
  row('stop|s', '', 'stop the machine', (s) => {
    if (s.machine.lifecycle.running) s.machine.lifecycle.pause();
  }),
  row('sum', 'addr size', 'show the checksum of physical memory, as sum -r of Unix', sumMemory),
  row('system_powerdown', '', 'press the power button', (s) => s.machine.lifecycle.powerdown()),
  row('system_reset', '', 'reset the machine', (s) => s.machine.lifecycle.reset('host-qmp-system-reset')),
  row('system_wakeup', '', 'wake the machine from suspend', (s) => s.machine.lifecycle.wakeup()),
  row('trace-event', 'name on|off', 'turn a trace event on or off', traceEvent),
  row('x', '/fmt addr', 'show virtual memory', (s, text) => examine(s, text, false)),
  row('xp', '/fmt addr', 'show physical memory', (s, text) => examine(s, text, true)),
];

/** `text`: a whole line. Throws UserError. */
export function execute(s: Session, text: string): void | Promise<void> {
  const match = /^\s*([^\s/]+)(.*)$/s.exec(text);
  if (!match) return undefined;
  const name = match[1]!;
  const command = COMMANDS.find((c) => c.names.includes(name));
  if (!command) throw new UserError(`unknown command: '${name}'`);
  try {
    return command.run(s, match[2]!.trim());
  } catch (error) {
    if (
      error instanceof Usage ||
      !(error instanceof UserError) ||
      !/expected|expression|register$|char in/.test(error.message)
    )
      throw error;
    throw new Usage(error.message, command.names[0]!);
  }
}

/** What the last word of `text` may become. */
export function complete(s: Session, text: string): string[] {
  const parts = text.trimStart().split(/\s+/);
  const word = parts.at(-1)!;
  const names = (commands: readonly Command[]): string[] => commands.map((c) => c.names[0]!);
  const [command] = parts;
  let candidates: readonly string[] = [];
  if (parts.length === 1) candidates = names(COMMANDS);
  else if (parts.length === 2 && (command === 'info' || command === 'help')) {
    candidates = command === 'info' ? names(INFO) : names(COMMANDS);
  } else if (['eject', 'change', 'drive_del', 'block_resize'].includes(command!))
    candidates = s.drives.map((d) => d.id);
  else if (command === 'trace-event')
    candidates = parts.length === 2 ? s.traceEvents.map((e) => e.name) : ['on', 'off'];
  return candidates.filter((c) => c.startsWith(word)).sort();
}
