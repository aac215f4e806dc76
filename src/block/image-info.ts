/** What an image is, in words. */
import { humanSize } from '../base/format.js';
import { relativeTo } from './filename.js';
import type { FormatNode, InfoValue } from './format.js';
import type { BlockNode } from './node.js';
import { snapshotTable } from './snapshot-table.js';

/** An image, or a node that knows less of itself. */
export type ImageNode = BlockNode & Partial<Pick<FormatNode, 'info' | 'snapshots' | 'backingFile' | 'backingFormat'>>;

/** Members in lines, as `info` shows what is specific to a format. */
export function toText(value: InfoValue, level: number): string {
  const indent = '    '.repeat(level);
  const members: [string, InfoValue][] = Array.isArray(value)
    ? (value as readonly InfoValue[]).map((v, i) => [`[${i}]`, v])
    : Object.entries(value as Readonly<Record<string, InfoValue>>).map(([k, v]) => [k.replaceAll('-', ' '), v]);
  return members
    .map(([name, v]) =>
      typeof v === 'object' ? `${indent}${name}:\n${toText(v, level + 1)}` : `${indent}${name}: ${String(v)}\n`,
    )
    .join('');
}

/** What `tinamou-img info` and `info block -v` say of an image. */
export async function infoText(node: ImageNode, filename: string): Promise<string> {
  const facts = (await node.info?.()) ?? {};
  const snapshots = (await node.snapshots?.list()) ?? [];
  const allocated = node.allocatedBytes?.();
  let text = `image: ${filename}\nfile format: ${node.driver}\nvirtual size: ${humanSize(node.length)} (${node.length} bytes)\n`;
  text += `disk size: ${allocated === undefined ? 'unavailable' : humanSize(allocated)}\n`;
  if (facts.encrypted) text += 'encrypted: yes\n';
  if (facts.clusterSize !== undefined) text += `cluster_size: ${facts.clusterSize}\n`;
  if (facts.dirty) text += 'cleanly shut down: no\n';
  const { backingFile } = node;
  if (backingFile) {
    const full = relativeTo(filename, backingFile);
    text += `backing file: ${backingFile}${full !== backingFile ? ` (actual path: ${full})` : ''}\n`;
    if (node.backingFormat) text += `backing file format: ${node.backingFormat}\n`;
  }
  if (snapshots.length > 0) text += `Snapshot list:\n${snapshotTable(snapshots)}`;
  if (facts.specific) text += `Format specific information:\n${toText(facts.specific.data, 1)}`;
  return text;
}
