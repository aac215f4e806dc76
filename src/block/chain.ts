/** Backing chains as a whole: which image a range comes from. */
import type { BlockNode, BlockStatus } from './node.js';
import { childNode } from './node.js';

export interface ChainStatus extends BlockStatus {
  /** 0: the image itself; 1: its backing image; and so on. */
  readonly depth: number;
  /** The image that decides. */
  readonly node: BlockNode;
}

export const backingOf = (node: BlockNode): BlockNode | undefined => childNode(node, 'backing');

/** Images from `node` down, the node first. */
export function chainOf(node: BlockNode): BlockNode[] {
  const chain: BlockNode[] = [];
  for (let at: BlockNode | undefined = node; at; at = backingOf(at)) chain.push(at);
  return chain;
}

/**
 * What is known of a range, asking one image after the other until one decides, down to (and without) `base`. Whether
 * stored bytes are zero is asked of the file below too, where the image says that this is worth it.
 */
export async function chainStatus(
  top: BlockNode,
  offset: number,
  length: number,
  base: BlockNode | null = null,
): Promise<ChainStatus> {
  let depth = 0;
  let node = top;
  for (;;) {
    if (offset >= node.length) {
      // A shorter backing image: behind its end there are zeroes, and nothing further below shows.
      return { length, data: false, zero: true, allocated: false, depth: depth - 1, node };
    }
    const status = await node.status(offset, Math.min(length, node.length - offset));
    if (status.allocated) return { ...(await withFile(node, status)), depth, node };
    length = status.length;
    const below = backingOf(node);
    if (!below || below === base) return { ...status, depth: below ? depth + 1 : depth, node };
    node = below;
    depth++;
  }
}

async function withFile(node: BlockNode, status: BlockStatus): Promise<BlockStatus> {
  if (!status.data || status.zero || status.offset === undefined || !status.file || status.file === node) return status;
  if (status.file.children.length > 0 || !(await node.hasHoles?.())) return status;
  const below = await status.file.status(status.offset, status.length);
  if (!below.zero) return below.length < status.length ? { ...status, length: below.length } : status;
  return { ...status, length: below.length, zero: true };
}
