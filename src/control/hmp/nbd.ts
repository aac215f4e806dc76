/** The monitor's commands about the NBD server. */
import { UserError } from '../../base/errors.js';
import type { Session } from './context.js';
import { Usage, words } from './usage.js';

/** Drives for NBD clients. All of it fails with UserError. */
export interface NbdControl {
  /** `address`: `host:port` or `unix:path`. `all`: every drive with a medium is exported under its own name. */
  start(address: string, all: boolean, writable: boolean): Promise<void>;
  add(device: string, name: string, writable: boolean): void;
  /** `force`: also while clients use it. */
  remove(name: string, force: boolean): void;
  stop(): Promise<void>;
}

/** Flags, and what else there is. Throws Usage for a flag that the command does not have. */
function split(text: string, known: string, command: string): { readonly flags: string; readonly rest: string[] } {
  const all = words(text);
  const flags = all.filter((w) => /^-\w+$/.test(w)).map((w) => w.slice(1));
  const unknown = [...flags.join('')].find((letter) => !known.includes(letter));
  if (unknown !== undefined) throw new Usage(`${command}: unsupported option -${unknown}`, command);
  return { flags: flags.join(''), rest: all.filter((w) => !/^-\w+$/.test(w)) };
}

export async function nbdServerStart(s: Session, text: string): Promise<void> {
  const { flags, rest } = split(text, 'aw', 'nbd_server_start');
  if (rest.length !== 1) throw new Usage('nbd_server_start: string expected', 'nbd_server_start');
  const all = flags.includes('a');
  const writable = flags.includes('w');
  if (writable && !all) throw new UserError('-w only valid together with -a');
  await s.nbd.start(rest[0]!, all, writable);
}

export function nbdServerAdd(s: Session, text: string): void {
  const { flags, rest } = split(text, 'w', 'nbd_server_add');
  const [device, name = device] = rest;
  if (device === undefined) throw new Usage('nbd_server_add: block device name expected', 'nbd_server_add');
  s.nbd.add(device, name!, flags.includes('w'));
}

export function nbdServerRemove(s: Session, text: string): void {
  const { flags, rest } = split(text, 'f', 'nbd_server_remove');
  if (rest.length !== 1) throw new Usage('nbd_server_remove: string expected', 'nbd_server_remove');
  s.nbd.remove(rest[0]!, flags.includes('f'));
}

export const nbdServerStop = (s: Session): Promise<void> => s.nbd.stop();
