/** From a file name to the protocol node at the bottom of a graph. */
import { schemeOf } from './filename.js';
import type { BlockHost, FileAccess } from './format.js';
import type { BlockNode } from './node.js';

export async function openProtocol(host: BlockHost, filename: string, access: FileAccess): Promise<BlockNode> {
  if (schemeOf(filename) === 'file') return host.openFile(filename.replace(/^file:(\/\/(?=\/))?/i, ''), access);
  return host.openFile(filename, access);
}
