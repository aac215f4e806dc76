/** Options about the machine itself: type, accelerator, processors, memory, boot order, clocks. */
import { IRQCHIP_MODES } from '../../accel/kvm/irqchip-mode.js';
import { NOTIFY_POLICIES } from '../../accel/kvm/vm-tuning.js';
import { UserError } from '../../base/errors.js';
import { BOARDS, findBoard } from '../../boards/index.js';
import { type Keyval, parseKeyval } from './keyval.js';
import { ACCELERATORS, type Wishes } from './wishes.js';

export function machineHelp(): string {
  const lines = BOARDS.flatMap((board, i) => {
    const standard = i === 0 ? ' (default)' : '';
    const [versioned] = board.aliases;
    const line = (name: string, more: string): string => `${name.padEnd(20)} ${board.description}${more}`;
    if (versioned === undefined) return [line(board.name, standard)];
    return [line(board.name, ` (alias of ${versioned})`), line(versioned, standard)];
  });
  return `Supported machines are:\n${lines.sort().join('\n')}\n`;
}

/** Properties that speak of what Tinamou does not have or always does, with the values that ask for nothing else. */
const FIXED_PROPERTIES: Readonly<Record<string, readonly string[]>> = {
  vmport: ['off', 'auto'],
  usb: ['off'],
  acpi: ['on', 'auto'],
  smbus: ['off'],
  nvdimm: ['off'],
  hmat: ['off'],
  pit: ['on'],
  sata: ['off'],
  'dump-guest-core': ['on', 'off'],
  'mem-merge': ['on', 'off'],
  'suppress-vmdesc': ['on', 'off'],
};

const ON_OFF_AUTO = ['on', 'off', 'auto'] as const;

export function setMachine(w: Wishes, text: string): string | undefined {
  const o = parseKeyval(text, 'type');
  const type = o.get('type');
  if (type !== undefined) {
    const board = findBoard(type);
    if (!board) throw new UserError(`unsupported machine type '${type}': use -machine help to list supported machines`);
    w.board = board;
  }
  if (o.help) {
    if (type === undefined) return machineHelp();
    return `${w.board.name} machine options:\n  accel=<str>\n  append=<str>\n  firmware=<str>\n  graphics=<bool>\n  hpet=<bool>\n  initrd=<str>\n  kernel=<str>\n  smm=<on|off|auto>\n`;
  }
  const accel = o.get('accel');
  if (accel !== undefined) setAccelerators(w, accel.split(':'));
  setIrqchip(w, o);
  setShadowMemory(w, o);
  w.hpet = o.flag('hpet') ?? w.hpet;
  w.smm = o.oneOf('smm', ON_OFF_AUTO) ?? w.smm;
  if (o.flag('graphics') === false) w.noGraphic = true;
  w.kernel = o.get('kernel') ?? w.kernel;
  w.initrd = o.get('initrd') ?? w.initrd;
  w.append = o.get('append') ?? w.append;
  w.bios = o.get('firmware') ?? w.bios;
  for (const [key, value] of o.pairs) {
    const harmless = FIXED_PROPERTIES[key];
    if (!harmless) continue;
    o.get(key);
    if (!harmless.includes(value)) {
      throw new UserError(`Tinamou does not have ${key}=${value} yet: ${key} can be ${harmless.join(' or ')}`);
    }
  }
  const unknown = Object.keys(
    o.except(
      ...['type', 'accel', 'kernel_irqchip', 'kernel-irqchip', 'kvm-shadow-mem', 'hpet', 'graphics', 'smm'],
      ...['kernel', 'initrd', 'append', 'firmware'],
    ),
  ).find((key) => !Object.hasOwn(FIXED_PROPERTIES, key));
  if (unknown !== undefined) throw new UserError(`Property '${w.board.name}-machine.${unknown}' not found`);
  return undefined;
}

const NOT_YET_ACCELERATORS = ['qtest', 'xen', 'hax', 'hvf', 'nvmm', 'whpx'];
export const ACCEL_HELP = `Accelerators supported in Tinamou:\n${ACCELERATORS.map((name) => `${name}\n`).join('')}`;

/** Why an accelerator of this name is passed over. */
export function noSuchAccelerator(name: string): UserError {
  if (NOT_YET_ACCELERATORS.includes(name)) {
    return new UserError(`Tinamou does not have the accelerator ${name} yet: use ${ACCELERATORS.join(' or ')}`);
  }
  return new UserError(`invalid accelerator ${name}: use ${ACCELERATORS.join(' or ')}`);
}

const refuseBoth = (): never => {
  throw new UserError('The -accel and "-machine accel=" options are incompatible: use one of them');
};

/** Of `-machine accel=`: in place of what another one named before. */
function setAccelerators(w: Wishes, names: readonly string[]): void {
  if (w.accelerators.some(({ origin }) => origin !== '')) refuseBoth();
  w.accelerators.splice(0, Number.POSITIVE_INFINITY, ...names.map((name) => ({ name, origin: '' })));
}

/** Of `-accel`: one more, in case those before cannot be had. */
function addAccelerator(w: Wishes, name: string, origin: string): void {
  if (w.accelerators.some((wanted) => wanted.origin === '')) refuseBoth();
  w.accelerators.push({ name, origin });
}

export function enableKvm(w: Wishes): void {
  setAccelerators(w, ['kvm']);
}

const MOST_WINDOW = 0xffff_ffff;
const KVM_ACCEL_HELP = `kvm-accel options:
  kernel_irqchip=on|off|split
                         - on: interrupt controllers and timer in the kernel; split: only the local APICs; off: none
  kvm-shadow-mem=<size>  - most memory for KVM's own page tables
  notify-vmexit=run|internal-error|disable
                         - what a processor does that took no interrupt for a whole window
  notify-window=<int>    - that window, in cycles, besides the processor's own
  dirty-ring-size=<int>  - accepted: pages that were written are always told as a bitmap
`;

function setIrqchip(w: Wishes, o: Keyval): void {
  for (const key of ['kernel_irqchip', 'kernel-irqchip']) {
    const mode = o.oneOf(key, IRQCHIP_MODES);
    if (mode !== undefined) w.irqchip = mode;
  }
}

const TUNING = ['kvm-shadow-mem', 'notify-vmexit', 'notify-window', 'dirty-ring-size'] as const;

function setShadowMemory(w: Wishes, o: Keyval): void {
  const shadowMemoryBytes = o.size('kvm-shadow-mem');
  if (shadowMemoryBytes !== undefined) w.kvmTuning = { ...w.kvmTuning, shadowMemoryBytes };
}

function setTuning(w: Wishes, o: Keyval): void {
  setShadowMemory(w, o);
  const notify = o.oneOf('notify-vmexit', NOTIFY_POLICIES) ?? w.kvmTuning.notify;
  const notifyWindow = o.number('notify-window') ?? w.kvmTuning.notifyWindow;
  if (notifyWindow > MOST_WINDOW) throw new UserError(`Parameter 'notify-window' expects a number below 2^32`);
  const ring = o.number('dirty-ring-size') ?? 0;
  if (ring !== 0 && !Number.isInteger(Math.log2(ring))) throw new UserError('dirty-ring-size must be a power of two');
  w.kvmTuning = { ...w.kvmTuning, notify, notifyWindow };
}

function setKvm(w: Wishes, o: Keyval, origin: string): void {
  setIrqchip(w, o);
  setTuning(w, o);
  const unknown = Object.keys(o.except('accel', 'kernel_irqchip', 'kernel-irqchip', ...TUNING))[0];
  if (unknown !== undefined) throw new UserError(`Property 'kvm-accel.${unknown}' not found`);
  addAccelerator(w, 'kvm', origin);
}

export function setAccel(w: Wishes, text: string, origin: string): string | undefined {
  const o = parseKeyval(text, 'accel');
  const name = o.get('accel') ?? '';
  if (o.help) {
    if (name === '') return ACCEL_HELP;
    if (name === 'kvm') return KVM_ACCEL_HELP;
    return 'tcg-accel options:\n  one-insn-per-tb=<bool>\n  split-wx=<bool>\n  tb-size=<int>\n  thread=<str>\n  tier=<str>             - both, interpreter, compiled or stress: how guest code runs\n';
  }
  if (name === 'kvm') {
    setKvm(w, o, origin);
    return undefined;
  }
  addAccelerator(w, name, origin);
  if (name !== 'tcg') return undefined;
  w.tier = o.oneOf('tier', ['both', 'interpreter', 'compiled', 'stress']) ?? w.tier;
  const thread = o.oneOf('thread', ['single', 'multi']);
  if (thread === 'multi')
    throw new UserError('Tinamou does not have thread=multi yet: its processors take turns on one thread');
  if (o.flag('one-insn-per-tb')) throw new UserError('Tinamou does not have one-insn-per-tb=on yet: leave it out');
  o.number('tb-size');
  o.flag('split-wx');
  const unknown = Object.keys(o.except('accel', 'tier', 'thread', 'one-insn-per-tb', 'tb-size', 'split-wx'))[0];
  if (unknown !== undefined) throw new UserError(`Property 'tcg-accel.${unknown}' not found`);
  return undefined;
}

export function setSmp(w: Wishes, text: string): string | undefined {
  const o = parseKeyval(text, 'cpus');
  const keys = ['clusters', 'cores', 'cpus', 'dies', 'maxcpus', 'sockets', 'threads'] as const;
  if (o.help) return `smp-opts options:\n${keys.map((key) => `  ${key}=<num>\n`).join('')}`;
  const [clusters, coresAsked, cpusAsked, dies, maxAsked, socketsAsked, threadsAsked] = keys.map((key) => {
    const n = o.number(key);
    if (n === 0) throw new UserError('Invalid CPU topology: CPU topology parameters must be greater than zero');
    return n;
  });
  o.finish();
  for (const [name, n] of [
    ['dies', dies],
    ['clusters', clusters],
  ] as const) {
    if (n !== undefined && n > 1)
      throw new UserError(`Tinamou does not have more than one of ${name} yet: leave it out`);
  }
  // QEMU since 6.2: what is left open goes to cores first, then to sockets.
  const total = maxAsked ?? cpusAsked;
  const threads = threadsAsked ?? 1;
  let [sockets, cores] = [socketsAsked ?? 1, coresAsked ?? 1];
  if (total !== undefined) {
    if (coresAsked === undefined) cores = Math.floor(total / (sockets * threads));
    else if (socketsAsked === undefined) sockets = Math.floor(total / (cores * threads));
  }
  const product = sockets * cores * threads;
  if (product !== (total ?? product)) {
    throw new UserError(
      `Invalid CPU topology: product of the hierarchy must match maxcpus: sockets (${sockets}) * cores (${cores}) * threads (${threads}) != maxcpus (${total})`,
    );
  }
  const cpus = cpusAsked ?? product;
  if (cpus !== product)
    throw new UserError('Tinamou does not have processors to plug in later yet: maxcpus must be cpus');
  w.topology = { sockets, cores, threads };
  return undefined;
}

const MIB = 2 ** 20;
export function setMemory(w: Wishes, text: string): string | undefined {
  const o = parseKeyval(text, 'size');
  if (o.help) return 'memory options:\n  size=<size>            - RAM, in MiB unless it ends in b, k, M, G or T\n';
  for (const key of ['slots', 'maxmem']) {
    if (o.get(key) !== undefined)
      throw new UserError(`Tinamou does not have memory to plug in later yet: leave ${key} out`);
  }
  const size = o.size('size', MIB);
  o.finish();
  // Whole pages, at least of 8 KiB as in QEMU.
  if (size !== undefined) w.ramBytes = Math.ceil(size / 8192) * 8192;
  if (size === 0) w.ramBytes = undefined;
  return undefined;
}

export function setBoot(w: Wishes, text: string): string | undefined {
  const o = parseKeyval(text, 'order');
  if (o.help) {
    return 'boot-opts options:\n  menu=<bool (on/off)>\n  once=<str>\n  order=<str>\n  reboot-timeout=<num>\n  splash-time=<num>\n  splash=<str>\n  strict=<bool (on/off)>\n';
  }
  const order = (key: 'order' | 'once'): string | undefined => {
    const devices = o.get(key);
    for (const [i, device] of [...(devices ?? '')].entries()) {
      if (!/[a-p]/.test(device)) throw new UserError(`Invalid boot device '${device}': use a, c, d or n`);
      if (devices!.indexOf(device) < i) throw new UserError(`Boot device '${device}' was given twice`);
    }
    return devices;
  };
  w.boot.order = order('order') ?? w.boot.order;
  w.boot.once = order('once') ?? w.boot.once;
  w.boot.menu = o.flag('menu') ?? w.boot.menu;
  w.boot.splashTime = o.number('splash-time') ?? w.boot.splashTime;
  w.boot.rebootTimeout = o.number('reboot-timeout') ?? w.boot.rebootTimeout;
  if (o.get('splash') !== undefined)
    throw new UserError('Tinamou does not have boot splash pictures yet: leave splash out');
  if (o.flag('strict')) throw new UserError('Tinamou does not have strict=on yet: leave it out');
  o.finish();
  return undefined;
}

/** `now`: ms since 1970; `zone`: minutes that local time is behind UTC. */
export function setRtc(w: Wishes, text: string, now: number, zone: number): string | undefined {
  const o = parseKeyval(text);
  if (o.help)
    return 'rtc options:\n  base=<str>             - utc, localtime or a date\n  clock=<str>            - host, rt or vm\n  driftfix=<str>         - none\n';
  const base = o.get('base') ?? 'utc';
  const clock = o.oneOf('clock', ['host', 'rt', 'vm']) ?? 'host';
  if (o.oneOf('driftfix', ['none', 'slew']) === 'slew')
    throw new UserError('Tinamou does not have driftfix=slew yet: use none');
  o.finish();
  w.rtc = base === 'utc' ? { clock } : { clock, startMs: base === 'localtime' ? now - zone * 60_000 : date(base) };
  return undefined;
}

function date(text: string): number {
  const ms = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}:\d{2})?$/.test(text)
    ? Date.parse(text.length === 10 ? text : `${text}Z`)
    : Number.NaN;
  if (Number.isNaN(ms)) {
    throw new UserError(`invalid datetime '${text}': write 'utc', 'localtime', '2006-06-17T16:01:21' or '2006-06-17'`);
  }
  return ms;
}

/** Under shift=auto QEMU adapts to the host's speed; this is a shift that a guest copes with at any speed. */
const AUTO_SHIFT = 3;

export function setIcount(w: Wishes, text: string): string | undefined {
  const o: Keyval = parseKeyval(text, 'shift');
  if (o.help) return 'icount options:\n  align=<bool (on/off)>\n  shift=<str>\n  sleep=<bool (on/off)>\n';
  for (const key of ['rr', 'rrfile', 'rrsnapshot']) {
    if (o.get(key) !== undefined) throw new UserError(`Tinamou does not record and replay yet: leave ${key} out`);
  }
  if (o.flag('align')) throw new UserError('Tinamou does not have align=on yet: leave it out');
  const asked = o.get('shift') ?? 'auto';
  const sleep = o.flag('sleep') ?? true;
  o.finish();
  if (asked === 'auto' && !sleep) throw new UserError('shift=auto and sleep=off are incompatible');
  const shift = asked === 'auto' ? AUTO_SHIFT : Number(asked);
  if (!/^(auto|\d+)$/.test(asked) || shift > 10)
    throw new UserError('icount: Invalid shift value: use 0 to 10, or auto');
  w.icount = { shift, sleep };
  return undefined;
}

/** 16 bytes in the order in which they are written. */
export function uuidBytes(text: string): Uint8Array {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)) {
    throw new UserError(
      'failed to parse UUID string: wrong format: write xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx in hexadecimal digits',
    );
  }
  return Uint8Array.from(text.replaceAll('-', '').match(/../g)!, (byte) => Number.parseInt(byte, 16));
}
