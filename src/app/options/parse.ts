/** From arguments to wishes, with QEMU's defaults. */
import { UserError } from '../../base/errors.js';
import { addShortForm } from './chardev.js';
import { addDriveFile, nameSataDrives } from './drives.js';
import { findOption, helpText } from './table.js';
import { noWishes, type Wishes } from './wishes.js';

export type Parsed = { readonly wishes: Wishes } | { readonly text: string };

/** `-foo bar: message`, as QEMU names the option that is at fault. */
export function within<T>(origin: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    throw blamed(origin, error);
  }
}

export function blamed(origin: string, error: unknown): unknown {
  return error instanceof UserError && origin !== '' ? new UserError(`${origin}: ${error.message}`) : error;
}

/** `version`: what `-version` says. Throws UserError; its message lacks the program's name. */
export function parseArguments(
  program: string,
  architecture: Wishes['architecture'],
  args: readonly string[],
  version: string,
): Parsed {
  const wishes = noWishes(program, architecture);
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!;
    if (!arg.startsWith('-') || arg === '-') {
      addDriveFile(wishes, arg, { interface: 'ide', index: 0, media: 'disk' }, arg);
      continue;
    }
    const name = arg.replace(/^--?/, '');
    const option = findOption(name);
    if (!option) throw new UserError(`${arg}: invalid option`);
    if (name === 'h' || name === 'help') return { text: helpText(program) };
    if (name === 'version') return { text: version };
    if (!option.apply) {
      throw new UserError(`${arg}: QEMU has this option, Tinamou does not have it yet: leave it out`);
    }
    let origin = arg;
    let value = '';
    if (option.argument !== undefined) {
      const given = args[++i];
      if (given === undefined) throw new UserError(`${arg}: requires an argument`);
      value = given;
      origin = `${arg} ${value}`;
    }
    const text = within(origin, () => option.apply!(wishes, value, origin));
    if (typeof text === 'string') return { text };
  }
  return { wishes };
}

/** Adds what QEMU provides unless told otherwise. `terminal`: someone sits at standard input and output. */
export function addDefaults(w: Wishes, terminal: boolean): void {
  const { defaults } = w;
  // A board with virtio devices alone has neither a place for the others nor a use.
  if (w.board.virtioDevices) defaults.cdrom = defaults.floppy = defaults.parallel = defaults.vga = false;
  if (w.board.sata) defaults.floppy = false;
  if (w.noDefaults) for (const kind of Object.keys(defaults) as (keyof typeof defaults)[]) defaults[kind] = false;
  if (w.drives.some((d) => d.interface === 'ide' && d.index === 2)) defaults.cdrom = false;
  if (w.drives.some((d) => d.interface === 'floppy')) defaults.floppy = false;
  if (w.globals.some((g) => g.driver === 'isa-fdc' && g.property === 'driveA')) defaults.floppy = false;
  const stdio = w.chardevs.find((c) => c.spec.type === 'stdio');
  if (stdio && w.display === 'curses') {
    throw new UserError(`${stdio.origin}: -display curses has the terminal already: use -display none or -nographic`);
  }
  if (w.noGraphic) {
    w.display ??= 'none';
    if (defaults.parallel) connect(w, 'parallel', 'null');
    if (defaults.serial) connect(w, 'serial', defaults.monitor ? 'mon:stdio' : 'stdio');
    else if (defaults.monitor) monitor(w, 'stdio');
  } else {
    // Without a window system, the terminal is where a user expects the guest's screen.
    w.display ??=
      terminal && !stdio && !w.daemonize && (w.vga ?? (defaults.vga ? 'std' : 'none')) === 'std' ? 'curses' : 'none';
    if (defaults.monitor) monitor(w, 'vc');
    if (defaults.serial) connect(w, 'serial', 'vc');
    if (defaults.parallel) connect(w, 'parallel', 'vc');
  }
  w.vga ??= defaults.vga && w.board.name !== 'none' ? 'std' : 'none';
  if (w.board.name === 'none') {
    w.serials.length = 0;
    w.parallels.length = 0;
    return;
  }
  if (defaults.cdrom) addDriveFile(w, undefined, { interface: 'ide', index: 2, media: 'cdrom' }, '');
  if (defaults.floppy) addDriveFile(w, undefined, { interface: 'floppy', index: 0, media: 'disk' }, '');
  if (w.board.sata) nameSataDrives(w);
}

function connect(w: Wishes, kind: 'serial' | 'parallel', text: string): void {
  const ports = kind === 'serial' ? w.serials : w.parallels;
  ports.push({ chardev: addShortForm(w, `${kind}0`, text, ''), origin: '' });
}

function monitor(w: Wishes, text: string): void {
  w.monitors.push({ chardev: addShortForm(w, 'compat_monitor0', text, ''), origin: '' });
}
