/** The machine's drives for NBD clients: `nbd_server_start` and its companions in the monitor. */
import { UserError } from '../../base/errors.js';
import type { Drive } from '../../block/drive.js';
import { DriveNode } from '../../block/nbd/drive-node.js';
import type { Export } from '../../block/nbd/server.js';
import type { NbdControl } from '../../control/hmp/nbd.js';
import { type NbdAddress, NbdListener } from '../../host/node/nbd-listener.js';

/** `host:port`, `[host]:port`, `unix:path`. Throws UserError in QEMU's words. */
function parseAddress(text: string): NbdAddress {
  if (text.startsWith('unix:')) {
    const path = text.slice('unix:'.length);
    if (path === '') throw new UserError('invalid Unix socket address');
    return { path };
  }
  const [, bracketed, plain = '', port] = /^(?:\[(.*)\]|([^:]*)):(\d+)$/.exec(text) ?? [];
  if (port === undefined || Number(port) > 65535) throw new UserError(`error parsing address '${text}'`);
  return { host: (bracketed ?? plain) || '0.0.0.0', port: Number(port) };
}

export class NbdExports implements NbdControl {
  /** The listener sees what comes and goes. */
  readonly #exports: Export[] = [];
  #listener: NbdListener | undefined;
  #starting = false;

  constructor(private readonly drives: () => readonly Drive[]) {}

  async start(address: string, all: boolean, writable: boolean): Promise<void> {
    if (this.#listener || this.#starting) throw new UserError('NBD server already running');
    this.#starting = true;
    try {
      this.#listener = await NbdListener.open(parseAddress(address), this.#exports);
    } finally {
      this.#starting = false;
    }
    if (all) for (const drive of this.drives()) if (drive.inserted) this.add(drive.id, drive.id, writable);
  }

  add(device: string, name: string, writable: boolean): void {
    if (!this.#listener) throw new UserError('NBD server not running');
    const drive = this.drives().find(({ id }) => id === device);
    if (!drive) throw new UserError(`Cannot find device='${device}' nor node-name='${device}'`);
    if (!drive.inserted) throw new UserError(`Device '${device}' has no medium`);
    if (this.#exports.some((e) => e.name === name)) {
      throw new UserError(`NBD server already has export named '${name}'`);
    }
    const node = new DriveNode(drive);
    this.#exports.push({
      name,
      description: '',
      node,
      writable: writable && !drive.readOnly,
      bitmaps: [],
      shared: true,
    });
  }

  remove(name: string, force: boolean): void {
    if (!this.#listener) throw new UserError('NBD server not running');
    const at = this.#exports.findIndex((e) => e.name === name);
    const found = this.#exports[at];
    if (!found) throw new UserError(`Export '${name}' is not found`);
    if (!force && this.#listener.isUsed(found)) {
      throw new UserError(`export '${name}' still in use: use -f to send its clients away`);
    }
    this.#exports.splice(at, 1);
    this.#listener.drop(found);
  }

  async stop(): Promise<void> {
    const listener = this.#listener;
    if (!listener) throw new UserError('NBD server not running');
    this.#listener = undefined;
    this.#exports.length = 0;
    await listener.close();
  }

  /** The machine ends: what clients have under way comes to its end. */
  async close(): Promise<void> {
    if (this.#listener) await this.stop();
  }
}
