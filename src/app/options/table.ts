/**
 * Every option of the command line, in QEMU's groups: parsing, errors and `-help` derive from this table. An option without
 * `apply` is one that QEMU has and Tinamou has not yet.
 */
import { UserError } from '../../base/errors.js';
import { flattened, fromJson } from '../../block/graph.js';
import { describeDeviceType, describeDeviceTypes } from '../../boards/index.js';
import { ANY_PROCESSOR, cpuHelp, parseCpu } from '../../guest/x86/cpu-models.js';
import { dataFolders } from '../../host/node/data-files.js';
import { OBJECT_TYPES } from '../../host/node/host-objects.js';
import { addChardev, addShortForm } from './chardev.js';
import { addBlockdev, addDrive, addDriveFile } from './drives.js';
import { addFsdev, addVirtfs } from './folders.js';
import { Keyval, parseKeyval } from './keyval.js';
import { LOG_HELP, logItems, traceHelp } from './logging.js';
import {
  enableKvm,
  setAccel,
  setBoot,
  setIcount,
  setMachine,
  setMemory,
  setRtc,
  setSmp,
  uuidBytes,
} from './machine-options.js';
import type { Wishes } from './wishes.js';

export const SECTIONS = [
  'Standard options',
  'Block device options',
  'USB convenience options',
  'Display options',
  'i386 target only',
  'Network options',
  'Character device options',
  'TPM device options',
  'Boot Image or Kernel specific',
  'Debug/Expert options',
  'Generic object creation',
] as const;
type Section = (typeof SECTIONS)[number];

export interface Option {
  /** Without the dash; further names after it. */
  readonly names: readonly string[];
  /** How help shows the argument; absent: the option takes none. */
  readonly argument?: string;
  readonly section: Section;
  readonly help: string;
  /** Notes the wish; a string that it returns is printed instead of running. `origin` is the option as given: `-m 512`. */
  readonly apply?: (wishes: Wishes, value: string, origin: string) => unknown;
}

const DEVICE_DEFAULTS: Readonly<Record<string, keyof Wishes['defaults']>> = {
  'isa-serial': 'serial',
  'isa-parallel': 'parallel',
  'isa-fdc': 'floppy',
  'ide-cd': 'cdrom',
  'ide-hd': 'cdrom',
  VGA: 'vga',
  'isa-vga': 'vga',
};

/** QEMU's `floppy`, a drive on the controller: here the controller itself names its drives. */
function addFloppyDrive(w: Wishes, o: Keyval, origin: string): undefined {
  const at = w.devices.findIndex(({ type }) => type === 'isa-fdc');
  const properties = { ...w.devices[at]?.properties };
  const unit = o.number('unit') ?? (properties['driveA'] === undefined ? 0 : 1);
  if (unit > 1) throw new UserError(`Can't create floppy unit ${unit}, bus supports only 2 units`);
  const letter = 'AB'[unit]!;
  if (properties[`drive${letter}`] !== undefined) throw new UserError(`Floppy unit ${unit} is in use`);
  properties[`drive${letter}`] = o.required('drive');
  for (const [name, here] of [
    ['drive-type', 'fdtype'],
    ['bootindex', 'bootindex'],
  ] as const) {
    const value = o.get(name);
    if (value !== undefined) properties[here + letter] = value;
  }
  for (const name of ['driver', 'id', 'bus']) o.get(name);
  o.finish();
  w.defaults.floppy = false;
  const request = { ...(w.devices[at] ?? { type: 'isa-fdc', id: '', origin }), properties };
  if (at < 0) w.devices.push(request);
  else w.devices[at] = request;
}

function addDevice(w: Wishes, text: string, origin: string): string | undefined {
  const o = parseKeyval(text, 'driver');
  const type = o.get('driver');
  if (type === 'floppy' && !o.help) return addFloppyDrive(w, o, origin);
  if (o.help) {
    if (type === undefined) return `${describeDeviceTypes().join('\n')}\n`;
    const lines = describeDeviceType(type);
    if (!lines) throw new UserError(`'${type}' is not a valid device model name: see -device help`);
    return `${lines.join('\n')}\n`;
  }
  if (type === undefined) throw new UserError("Parameter 'driver' is missing");
  if (!describeDeviceType(type)) throw new UserError(`'${type}' is not a valid device model name: see -device help`);
  const fallback = DEVICE_DEFAULTS[type];
  if (fallback) w.defaults[fallback] = false;
  w.devices.push({ type, id: o.identifier('id') ?? '', properties: o.except('driver', 'id'), origin });
  return undefined;
}

function addGlobal(w: Wishes, text: string): string | undefined {
  if (text === 'help' || text === '?') {
    return 'global options:\n  driver=<str>           - type of device\n  property=<str>         - name of the property\n  value=<str>            - its default from now on\n';
  }
  const short = /^([^.=,]+)\.([^=,]+)=(.*)$/s.exec(text);
  if (short) {
    w.globals.push({ driver: short[1]!, property: short[2]!, value: short[3]! });
    return undefined;
  }
  const o = parseKeyval(text);
  const global = { driver: o.required('driver'), property: o.required('property'), value: o.required('value') };
  o.finish();
  w.globals.push(global);
  return undefined;
}

const VGA_TYPES = { none: 'no graphic card', std: 'standard VGA (default)' };
const NOT_YET_VGA = ['cirrus', 'vmware', 'qxl', 'xenfb', 'virtio', 'tcx', 'cg3'];

function setVga(w: Wishes, text: string): string | undefined {
  if (text === 'help') {
    return Object.entries(VGA_TYPES)
      .map(([name, what]) => `${name.padEnd(20)} ${what}\n`)
      .join('');
  }
  if (text === 'std' || text === 'none') w.vga = text;
  else if (NOT_YET_VGA.includes(text))
    throw new UserError(`Tinamou does not have the display adapter ${text} yet: use std`);
  else throw new UserError(`unknown vga type: ${text}: see -vga help`);
  return undefined;
}

function setDisplay(w: Wishes, text: string): string | undefined {
  const o = parseKeyval(text, 'type');
  if (o.help) return 'Available display backend types:\nnone\ncurses\n';
  const type = o.get('type') ?? '';
  if (type === 'none' || type === 'curses') w.display = type;
  else if (/^(gtk|sdl|vnc|spice-app|dbus|egl-headless|cocoa)(=|$)/.test(type)) {
    throw new UserError(`Tinamou does not have -display ${type} yet: use none or curses`);
  } else throw new UserError(`Parameter 'type' does not accept value '${type}': see -display help`);
  return undefined;
}

/** `-serial`, `-parallel`: `none` leaves the port out. */
function addPort(w: Wishes, kind: 'serial' | 'parallel', text: string, origin: string): void {
  w.defaults[kind] = false;
  if (text.startsWith('mon:')) w.defaults.monitor = false;
  if (text === 'none') return;
  const ports = kind === 'serial' ? w.serials : w.parallels;
  ports.push({ chardev: addShortForm(w, `${kind}${ports.length}`, text, origin), origin });
}

function addMonitor(w: Wishes, text: string, origin: string): void {
  w.defaults.monitor = false;
  if (text === 'none') return;
  const chardev = addShortForm(w, `compat_monitor${w.monitors.length}`, text, origin);
  if (!text.startsWith('mon:')) w.monitors.push({ chardev, origin });
}

function addMon(w: Wishes, text: string, origin: string): string | undefined {
  const o = parseKeyval(text, 'chardev');
  if (o.help) return 'mon options:\n  chardev=<str>\n  mode=<str>\n  pretty=<bool (on/off)>\n';
  const mode = o.get('mode') ?? 'readline';
  if (mode === 'control') throw new UserError('Tinamou does not have QMP (mode=control) yet: use mode=readline');
  if (mode !== 'readline') throw new UserError(`unknown monitor mode '${mode}': use readline`);
  o.flag('pretty');
  const chardev = o.required('chardev');
  o.finish();
  w.defaults.monitor = false;
  w.monitors.push({ chardev, origin });
  return undefined;
}

function setCpu(w: Wishes, text: string): string | undefined {
  if (text === 'help' || text === '?') return cpuHelp();
  parseCpu(text, ANY_PROCESSOR);
  w.cpu = text;
  return undefined;
}

function setName(w: Wishes, text: string): string | undefined {
  const o = parseKeyval(text, 'guest');
  if (o.help) return 'name options:\n  debug-threads=<bool (on/off)>\n  guest=<str>\n  process=<str>\n';
  w.name = o.get('guest') ?? w.name;
  w.processName = o.get('process') ?? w.processName;
  o.flag('debug-threads');
  o.finish();
  return undefined;
}

function setTrace(w: Wishes, text: string): string | undefined {
  const o = parseKeyval(text, 'enable');
  if (o.help) return traceHelp();
  const pattern = o.get('enable');
  if (pattern !== undefined) w.traces.push(pattern);
  w.traceFile = o.get('file') ?? w.traceFile;
  if (o.get('events') !== undefined)
    throw new UserError('Tinamou does not read trace events from a file yet: use enable=PATTERN');
  o.finish();
  return undefined;
}

function setLog(w: Wishes, text: string): string | undefined {
  if (text === 'help' || text === '?') return LOG_HELP;
  if (text === 'trace:help') return traceHelp();
  w.logItems = [...w.logItems, ...logItems(text)];
  return undefined;
}

function escapeCode(text: string): number {
  const code = /^(0x[0-9a-f]+|\d+)$/i.test(text) ? Number(text) : Number.NaN;
  if (!(code <= 0xff)) throw new UserError('the code of a character is needed, 0 to 255; 0 turns the commands off');
  return code;
}

const disk =
  (index: number) =>
  (w: Wishes, file: string, origin: string): void => {
    if (index === 2) w.defaults.cdrom = false;
    addDriveFile(w, file, { interface: 'ide', index, media: 'disk' }, origin);
  };
const floppy =
  (index: number) =>
  (w: Wishes, file: string, origin: string): void =>
    addDriveFile(w, file, { interface: 'floppy', index, media: 'disk' }, origin);

type Apply = NonNullable<Option['apply']>;
const S: Section = 'Standard options';
const B: Section = 'Block device options';
const D: Section = 'Display options';
const I: Section = 'i386 target only';
const N: Section = 'Network options';
const K: Section = 'Boot Image or Kernel specific';
const X: Section = 'Debug/Expert options';

function row(section: Section, names: string, argument: string, help: string, apply?: Apply): Option {
  return { section, names: names.split(' '), help, ...(argument && { argument }), ...(apply && { apply }) };
}
/** Options that QEMU has and we have not: `name argument`. */
function notYet(section: Section, list: string): Option[] {
  return list
    .trim()
    .split(/\s*\n\s*/)
    .map((line) => {
      const [name = '', argument = ''] = line.split(' ');
      return row(section, name, argument, 'not yet');
    });
}

export const OPTIONS: readonly Option[] = [
  row(S, 'h help', '', 'show this text and exit'),
  row(S, 'version', '', 'show the version and exit'),
  row(S, 'machine M', '[type=]name[,prop=value...]', "machine type and its properties ('help' lists them)", setMachine),
  row(S, 'cpu', 'model[,+feature][,-feature][,prop=value...]', "processor model ('help' lists them)", setCpu),
  row(S, 'accel', '[accel=]name[,prop=value...]', "tcg or kvm: how guest code runs ('help' lists them)", setAccel),
  row(S, 'smp', '[cpus=]n[,sockets=n][,cores=n][,threads=n]', 'number of processors [default=1]', setSmp),
  row(S, 'boot', '[order=drives][,once=drives][,menu=on|off]', 'what firmware boots: a, c, d, n', setBoot),
  row(S, 'm', '[size=]megs', 'RAM in MiB, or with a suffix: 1G', setMemory),
  row(S, 'device', 'driver[,prop=value...]', "adds a device ('help' lists types, 'TYPE,help' properties)", addDevice),
  row(S, 'global', 'driver.property=value', 'another default for a property of devices', addGlobal),
  row(S, 'name', 'string[,process=name]', 'name of the machine', setName),
  row(S, 'uuid', 'uuid', 'UUID that the guest sees', (w, v) => {
    w.uuid = uuidBytes(v);
  }),
  ...notYet(
    S,
    `numa node
     add-fd fd=fd,set=set
     set group.id.arg=value
     mem-path file
     mem-prealloc
     k language
     audio-help
     audio driver
     audiodev driver`,
  ),
  row(B, 'fda', 'file', 'image of floppy drive A', floppy(0)),
  row(B, 'fdb', 'file', 'image of floppy drive B', floppy(1)),
  row(B, 'hda', 'file', 'image of hard disk 0', disk(0)),
  row(B, 'hdb', 'file', 'image of hard disk 1', disk(1)),
  row(B, 'hdc', 'file', 'image of hard disk 2', disk(2)),
  row(B, 'hdd', 'file', 'image of hard disk 3', disk(3)),
  row(B, 'cdrom', 'file', 'image of the CD-ROM (IDE drive 2)', (w, file, origin) => {
    w.defaults.cdrom = false;
    addDriveFile(w, file || undefined, { interface: 'ide', index: 2, media: 'cdrom' }, origin);
  }),
  row(
    B,
    'drive',
    '[file=file][,if=type][,index=i][,media=d]...',
    "adds a drive ('help' lists the properties)",
    addDrive,
  ),
  row(
    B,
    'blockdev',
    '[driver=]driver[,node-name=n][,file=...]',
    'adds a node of storage, for drive= of a device',
    addBlockdev,
  ),
  row(B, 'snapshot', '', 'write to temporary files instead of the images', (w) => {
    w.snapshot = true;
  }),
  row(B, 'fsdev', 'local,id=id,path=path[,...]', 'a folder of the host, for -device virtio-9p-pci', addFsdev),
  row(B, 'virtfs', 'local,path=path,mount_tag=tag[,...]', 'a folder of the host in the guest', addVirtfs),
  ...notYet(
    B,
    `pflash file
     mtdblock file
     sd file
     iscsi options`,
  ),
  ...notYet('USB convenience options', 'usb\nusbdevice name'),
  row(D, 'display', 'none|curses', 'where the guest’s screen is shown', setDisplay),
  row(D, 'nographic', '', 'no screen; serial port and monitor on the terminal', (w) => {
    w.noGraphic = true;
  }),
  row(D, 'vga', 'std|none', 'display adapter', setVga),
  row(D, 'curses', '', 'same as -display curses', (w) => {
    w.display = 'curses';
  }),
  ...notYet(D, 'spice options\nportrait\nrotate degrees\nfull-screen\nvnc display\nsdl'),
  row(I, 'no-hpet', '', 'no High Precision Event Timer', (w) => {
    w.hpet = false;
  }),
  ...notYet(I, 'win2k-hack\nno-fd-bootchk\nno-acpi\nacpitable options\nsmbios options'),
  ...notYet(N, 'netdev type,id=id'),
  row(N, 'nic', 'none', 'network adapters: none yet', networkNone),
  row(N, 'net', 'none', 'network adapters: none yet', networkNone),
  row(
    'Character device options',
    'chardev',
    'type,id=id[,prop=value...]',
    "defines a backend ('help' lists types)",
    addChardev,
  ),
  ...notYet('TPM device options', 'tpmdev type,id=id'),
  row(K, 'bios', 'file', 'firmware image', (w, v) => {
    w.bios = v;
  }),
  row(K, 'kernel', 'file', 'kernel to start without firmware: bzImage, multiboot or PVH ELF', (w, v) => {
    w.kernel = v;
  }),
  row(K, 'append', 'text', 'command line of the kernel', (w, v) => {
    w.append = v;
  }),
  row(K, 'initrd', 'file', 'initial RAM disk, or modules of a multiboot kernel', (w, v) => {
    w.initrd = v;
  }),
  ...notYet(K, 'dtb file\nshim file'),
  row(X, 'serial', 'dev', 'what the next serial port is connected to', (w, v, o) => addPort(w, 'serial', v, o)),
  row(X, 'parallel', 'dev', 'what the next parallel port is connected to', (w, v, o) => addPort(w, 'parallel', v, o)),
  row(X, 'monitor', 'dev', 'where the monitor listens', addMonitor),
  row(X, 'mon', '[chardev=]name[,mode=readline]', 'a monitor on a backend', addMon),
  row(X, 'debugcon', 'dev', 'what the debug port 0xe9 is connected to', (w, v, o) => {
    w.debugcons.push({ chardev: addShortForm(w, `debugcon${w.debugcons.length}`, v, o), origin: o });
  }),
  row(X, 'pidfile', 'file', 'write the process id there', (w, v) => {
    w.pidFile = v;
  }),
  row(X, 'S', '', 'do not start before the monitor says so (c)', (w) => {
    w.paused = true;
  }),
  row(X, 'incoming', 'uri', 'wait for the state of a saved machine (file:, exec:, tcp:, unix:, defer)', (w, v) => {
    w.incoming = v;
  }),
  row(X, 'loadvm', 'tag', 'begin with this snapshot of the images', (w, v) => {
    w.loadSnapshot = v;
  }),
  row(X, 'enable-kvm', '', 'the same as -accel kvm', enableKvm),
  row(X, 'no-reboot', '', 'exit instead of rebooting', (w) => {
    w.noReboot = true;
  }),
  row(X, 'no-shutdown', '', 'stop instead of exiting when the guest shuts down', (w) => {
    w.noShutdown = true;
  }),
  row(X, 'd', 'item1,...', "log these items ('help' lists them)", setLog),
  row(X, 'D', 'file', 'where the log goes (default: standard error)', (w, v) => {
    w.logFile = v;
  }),
  row(X, 'trace', '[[enable=]pattern][,file=file]', "trace events ('help' lists them)", setTrace),
  row(X, 'L', 'path', 'folder to look for firmware in', (w, v) => {
    if (v === 'help') return `${dataFolders(w.dataFolders).join('\n')}\n`;
    w.dataFolders.push(v);
    return undefined;
  }),
  row(X, 'nodefaults', '', 'no devices but those asked for', (w) => {
    w.noDefaults = true;
  }),
  row(X, 'daemonize', '', 'go on in the background once the machine is set up', (w) => {
    w.daemonize = true;
  }),
  row(X, 'rtc', '[base=utc|localtime|date][,clock=host|rt|vm]', 'calendar clock', (w, v) =>
    setRtc(w, v, Date.now(), new Date().getTimezoneOffset()),
  ),
  row(
    X,
    'icount',
    '[shift=N|auto][,sleep=on|off]',
    'virtual time follows counted instructions, 2^N ns each',
    setIcount,
  ),
  row(X, 'echr', 'code', 'the escape character of a terminal instead of Ctrl-A (1)', (w, v) => {
    w.escapeCode = escapeCode(v);
  }),
  row(X, 'no-user-config', '', 'accepted; there is no configuration file', () => {}),
  ...notYet(
    X,
    `compat options
     fw_cfg name=name,file=file
     qmp dev
     qmp-pretty dev
     singlestep
     preconfig
     dfilter range
     seed number
     xen-domid id
     xen-attach
     xen-domid-restrict
     option-rom file
     watchdog-action action
     action event=action
     only-migratable
     runas user
     readconfig file
     nouserconfig
     sandbox on
     overcommit options
     msg options
     chroot dir
     dump-vmstate file
     enable-sync-profile
     gdb dev
     s
     plugin file
     async-teardown
     no-quit
     semihosting
     semihosting-config options`,
  ),
  row(
    'Generic object creation',
    'object',
    'secret,id=id,data=text|file=file | tls-creds-x509,id=id,dir=folder | tls-creds-psk,id=id,dir=folder | rng-random|rng-builtin,id=id | iothread,id=id | throttle-group,id=id,x-bps-total=n,...',
    'a secret for encrypted images; credentials for NBD; a source for virtio-rng; a thread that disks may name; limits for drives',
    addObject,
  ),
];

function addObject(w: Wishes, text: string): void {
  const o = text.trimStart().startsWith('{')
    ? new Keyval(Object.entries(flattened(fromJson(text))), false)
    : parseKeyval(text, 'qom-type');
  const type = o.get('qom-type');
  o.identifier('id');
  if (!OBJECT_TYPES.includes(type ?? ''))
    throw new UserError(`Tinamou does not have objects of type '${type ?? ''}' yet: it has ${OBJECT_TYPES.join(', ')}`);
  w.objects.add(type!, new Map(o.pairs));
}

function networkNone(_w: Wishes, text: string): void {
  if (text !== 'none') throw new UserError('Tinamou does not have network adapters yet: use none');
}

const BY_NAME = new Map(OPTIONS.flatMap((option) => option.names.map((name) => [name, option] as const)));

export const findOption = (name: string): Option | undefined => BY_NAME.get(name);

/** The text of `-help`. */
export function helpText(program: string): string {
  const width = 24;
  const sections = SECTIONS.map((section) => {
    const options = OPTIONS.filter((o) => o.section === section && o.help !== 'not yet');
    const lines = options.map(({ names, argument, help }) => {
      const head = `${names.map((n) => `-${n}`).join(' or ')}${argument ? ` ${argument}` : ''}`;
      return head.length < width ? `${head.padEnd(width)}${help}` : `${head}\n${' '.repeat(width)}${help}`;
    });
    return options.length > 0 ? `${section}:\n${lines.join('\n')}\n` : '';
  });
  const missing = OPTIONS.filter((o) => o.help === 'not yet').map((o) => `-${o.names[0]}`);
  return [
    `usage: ${program} [options] [disk_image]\n`,
    "'disk_image' is a raw hard disk image for IDE hard disk 0\n",
    ...sections.filter(Boolean),
    `Options of QEMU that are not there yet:\n${wrap(missing)}\n`,
    `While the terminal shows a serial port or the monitor, Ctrl-A h shows what else Ctrl-A does.\n`,
  ].join('\n');
}

function wrap(words: readonly string[]): string {
  const lines = [''];
  for (const word of words) {
    if (lines.at(-1)!.length + word.length > 77) lines.push('');
    lines[lines.length - 1] += ` ${word}`;
  }
  return lines.join('\n');
}
