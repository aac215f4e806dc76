/** Character backends on the command line: `-chardev type,id=...` and the short forms of `-serial` and its like. */
import { UserError } from '../../base/errors.js';
import { type Keyval, parseKeyval } from './keyval.js';
import type { BackendSpec, SocketAddress, Wishes } from './wishes.js';

/** QEMU's backends, and whether we have them. */
const TYPES: Readonly<Record<string, ((options: Keyval) => BackendSpec) | null>> = {
  null: () => ({ type: 'null' }),
  vc: () => ({ type: 'vc' }),
  stdio: (o) => ({ type: 'stdio', signal: o.flag('signal') ?? true }),
  file: (o) => {
    const inputPath = o.get('input-path');
    return {
      type: 'file',
      path: o.required('path'),
      append: o.flag('append') ?? false,
      ...(inputPath && { inputPath }),
    };
  },
  pty: (o) => {
    const link = o.get('path');
    return { type: 'pty', ...(link && { link }) };
  },
  ringbuf: (o) => {
    const size = o.size('size');
    return { type: 'ringbuf', ...(size !== undefined && { size }) };
  },
  socket: socketSpec,
  mux: (o) => ({ type: 'mux', chardev: o.required('chardev') }),
  pipe: null,
  udp: null,
  serial: null,
  parallel: null,
  msmouse: null,
  wctablet: null,
  testdev: null,
  'qemu-vdagent': null,
  spicevmc: null,
  spiceport: null,
};

function socketSpec(o: Keyval): BackendSpec {
  const path = o.get('path');
  const server = o.flag('server') ?? false;
  const address: SocketAddress =
    path === undefined
      ? { kind: 'inet', host: o.get('host') ?? '', port: portNumber(o.required('port')) }
      : { kind: 'unix', path };
  for (const ignored of ['nodelay', 'ipv4', 'ipv6', 'to', 'delay', 'abstract', 'tight', 'localaddr']) o.get(ignored);
  return {
    type: 'socket',
    address,
    server,
    wait: server && (o.flag('wait') ?? true),
    telnet: o.flag('telnet') ?? false,
    reconnect: o.number('reconnect') ?? 0,
  };
}

function portNumber(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > 65535) throw new UserError(`port '${text}' is not a number from 0 to 65535`);
  return port;
}

const AVAILABLE = Object.keys(TYPES).filter((type) => TYPES[type]);
/** A multiplexer has a backend of its own only as `-chardev mux`; `mon:` makes one in the short form. */
const SHORT = AVAILABLE.filter((type) => type !== 'mux').join(', ');
export const CHARDEV_HELP = `Available chardev backend types: \n${AVAILABLE.map((t) => `  ${t}\n`).join('')}`;

/** `-chardev`; returns a help text when asked for one. */
export function addChardev(wishes: Wishes, text: string, origin: string): string | undefined {
  const options = parseKeyval(text, 'backend');
  if (options.help) return CHARDEV_HELP;
  const type = options.required('backend');
  const id = options.get('id');
  if (!Object.hasOwn(TYPES, type)) throw new UserError(`'${type}' is not a valid char driver name: see -chardev help`);
  const make = TYPES[type];
  if (!make) throw new UserError(`Tinamou does not have the chardev backend '${type}' yet: see -chardev help`);
  if (id === undefined) throw new UserError('chardev: no id specified: add id=NAME');
  const spec = make(options);
  const mux = options.flag('mux') ?? false;
  options.finish();
  define(wishes, id, spec, mux, origin);
  return undefined;
}

function define(wishes: Wishes, id: string, spec: BackendSpec, mux: boolean, origin: string): void {
  if (wishes.chardevs.some((c) => c.id === id)) throw new UserError(`Duplicate ID '${id}' for chardev`);
  wishes.chardevs.push({ id, spec, mux, origin });
}

/** The value of `-serial` and its like. Defines a backend called `label` unless it names one; returns its id. */
export function addShortForm(wishes: Wishes, label: string, text: string, origin: string): string {
  if (text.startsWith('chardev:')) return text.slice('chardev:'.length);
  const mux = text.startsWith('mon:');
  const spec = shortForm(mux ? text.slice('mon:'.length) : text, mux);
  define(wishes, label, spec, mux, origin);
  if (mux) wishes.monitors.push({ chardev: label, origin });
  return label;
}

function shortForm(text: string, mux: boolean): BackendSpec {
  if (text === 'null') return { type: 'null' };
  if (text === 'stdio') return { type: 'stdio', signal: !mux };
  if (text === 'pty') return { type: 'pty' };
  if (text === 'ringbuf') return { type: 'ringbuf' };
  if (/^vc(:|$)/.test(text)) return { type: 'vc' };
  const [kind = '', rest = ''] = text.split(/:(.*)/s);
  switch (kind) {
    case 'file':
      return { type: 'file', path: rest, append: false };
    case 'unix':
      return socketSpec(parseKeyval(rest, 'path'));
    case 'tcp':
    case 'telnet': {
      const [address = '', ...options] = rest.split(',');
      const colon = address.lastIndexOf(':');
      if (colon < 0) throw new UserError(`address '${address}' has no port: write ${kind}:host:port`);
      const socket = parseKeyval(
        [
          `host=${address.slice(0, colon).replace(/^\[|\]$/g, '')}`,
          `port=${address.slice(colon + 1)}`,
          ...options,
        ].join(','),
      );
      const spec = socketSpec(socket);
      return spec.type === 'socket' && kind === 'telnet' ? { ...spec, telnet: true } : spec;
    }
  }
  if (Object.hasOwn(TYPES, kind) || text.startsWith('/dev/')) {
    throw new UserError(`Tinamou does not have the char driver '${kind}' yet: use ${SHORT}`);
  }
  throw new UserError(`'${text}' is not a valid char driver: use ${SHORT}`);
}
