/** The descriptor of a VMware disk: text that names extents and the parent. */
import { UserError } from '../../base/errors.js';

export interface ExtentLine {
  readonly access: string;
  readonly sectors: number;
  /** SPARSE, FLAT, ZERO, VMFS. */
  readonly type: string;
  readonly file: string;
  /** In sectors, for FLAT. */
  readonly offset: number;
}

export interface Descriptor {
  readonly text: string;
  readonly cid: number;
  readonly parentCid: number;
  readonly createType: string;
  readonly parent: string;
  readonly extents: readonly ExtentLine[];
}

export const NO_PARENT = 0xffffffff;
export const MAX_DESCRIPTOR = 1 << 20;
const MAX_EXTENTS = 4096;

export function parseDescriptor(text: string): Descriptor {
  const value = (name: string): string | undefined =>
    new RegExp(`^\\s*${name}\\s*=\\s*"?([^"\\r\\n]*?)"?\\s*$`, 'im').exec(text)?.[1];
  const createType = value('createType');
  if (createType === undefined) throw new UserError('invalid VMDK image descriptor');
  const extents: ExtentLine[] = [];
  for (const m of text.matchAll(/^(RW|RDONLY|NOACCESS)\s+(\d+)\s+(\w+)(?:\s+"([^"\r\n]*)"(?:\s+(\d+))?)?/gm)) {
    if (extents.length >= MAX_EXTENTS) throw new UserError('too many extents in a VMDK descriptor');
    extents.push({ access: m[1]!, sectors: Number(m[2]), type: m[3]!, file: m[4] ?? '', offset: Number(m[5] ?? 0) });
  }
  return {
    text,
    cid: Number.parseInt(value('CID') ?? '', 16) >>> 0,
    parentCid: Number.parseInt(value('parentCID') ?? 'ffffffff', 16) >>> 0,
    createType,
    parent: value('parentFileNameHint') ?? '',
    extents,
  };
}

export function writeDescriptor(d: {
  readonly cid: number;
  readonly parentCid: number;
  readonly createType: string;
  readonly parent: string;
  readonly extents: readonly string[];
  readonly hardwareVersion: string;
  readonly toolsVersion: string;
  readonly cylinders: number;
  readonly heads: number;
  readonly adapter: string;
}): string {
  const hex = (n: number): string => n.toString(16).padStart(8, '0');
  return `# Disk DescriptorFile
version=1
CID=${hex(d.cid)}
parentCID=${hex(d.parentCid)}
createType="${d.createType}"
${d.parent === '' ? '' : `parentFileNameHint="${d.parent}"\n`}# Extent description
${d.extents.map((e) => `${e}\n`).join('')}
# The Disk Data Base
#DDB

ddb.virtualHWVersion = "${d.hardwareVersion}"
ddb.geometry.cylinders = "${d.cylinders}"
ddb.geometry.heads = "${d.heads}"
ddb.geometry.sectors = "63"
ddb.adapterType = "${d.adapter}"
ddb.toolsVersion = "${d.toolsVersion}"
`;
}
