/** From a file name to the protocol node at the bottom of a graph. */
import { UserError } from '../base/errors.js';
import { schemeOf } from './filename.js';
import type { BlockHost, FileAccess } from './format.js';
import { HttpNode } from './http.js';
import { parseNbd } from './nbd/address.js';
import { NbdNode } from './nbd/client.js';
import type { BlockNode } from './node.js';

const SCHEMES = ['file', 'nbd', 'nbd+tcp', 'nbd+unix', 'http', 'https'];

/** Throws UserError for a name with a scheme that stands for nothing here. */
export function checkScheme(filename: string): void {
  const scheme = schemeOf(filename);
  if (scheme !== undefined && !SCHEMES.includes(scheme)) throw new UserError(`Unknown protocol '${scheme}'`);
}

export async function openProtocol(host: BlockHost, filename: string, access: FileAccess): Promise<BlockNode> {
  checkScheme(filename);
  switch (schemeOf(filename)) {
    case 'file':
      return host.openFile(filename.replace(/^file:(\/\/(?=\/))?/i, ''), access);
    case 'nbd':
    case 'nbd+tcp':
    case 'nbd+unix': {
      if (!host.connect) throw new UserError(`Could not open '${filename}': this host has no sockets`);
      return NbdNode.open(
        filename,
        parseNbd(filename),
        (address) => host.connect!(address),
        access.readOnly,
        access.tls,
      );
    }
    case 'http':
    case 'https': {
      if (!host.fetchRange) throw new UserError(`Could not open '${filename}': this host has no HTTP`);
      if (!access.readOnly)
        throw new UserError(`Could not open '${filename}': images over HTTP are read-only: add readonly=on`);
      return HttpNode.open(filename, host.fetchRange);
    }
    default:
      if (filename === '') throw new UserError("The 'file' block driver requires a file name");
      return host.openFile(filename, access);
  }
}
