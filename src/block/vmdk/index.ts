/** VMware disks: one sparse file with the descriptor inside, or a descriptor with extents in other files. */

import { getU32 } from '../../base/bytes.js';
import { UserError } from '../../base/errors.js';
import { type CheckResult, newCheckResult } from '../check.js';
import type { CreateContext, Format, FormatInfo, FormatNode, InfoValue, OpenContext } from '../format.js';
import {
  BaseNode,
  BlockError,
  type BlockNode,
  type BlockStatus,
  type Completion,
  closeAll,
  type Eventually,
  type NodeChild,
} from '../node.js';
import { FlatNode, RawNode } from '../raw.js';
import { type Descriptor, MAX_DESCRIPTOR, NO_PARENT, parseDescriptor, writeDescriptor } from './descriptor.js';
import { createSparse, DEFAULT_GRAIN, MAGIC, readSparseHeader, SECTOR, SparseExtent } from './sparse.js';

const SUBFORMATS = [
  'monolithicSparse',
  'monolithicFlat',
  'twoGbMaxExtentSparse',
  'twoGbMaxExtentFlat',
  'streamOptimized',
] as const;
/** Extents of split images. */
const SPLIT = 2 ** 31;
const ADAPTERS = ['ide', 'buslogic', 'lsilogic', 'legacyESX'];

interface Extent {
  readonly start: number;
  readonly length: number;
  readonly node: BlockNode;
  readonly file: BlockNode | null;
  readonly type: string;
}

/** Extents one after the other. */
class VmdkNode extends BaseNode implements FormatNode {
  readonly driver = 'vmdk';
  readonly #extents: readonly Extent[];
  #backing: BlockNode | null = null;
  #written = false;

  constructor(
    readonly file: BlockNode,
    readonly descriptor: Descriptor,
    extents: readonly Extent[],
    readonly readOnly: boolean,
  ) {
    super();
    this.#extents = extents;
    this.#setChildren();
  }

  get filename(): string {
    return this.file.filename;
  }

  get length(): number {
    const last = this.#extents.at(-1)!;
    return last.start + last.length;
  }

  get backingFile(): string {
    return this.descriptor.parentCid === NO_PARENT ? '' : this.descriptor.parent;
  }

  get backingFormat(): string {
    return this.backingFile === '' ? '' : 'vmdk';
  }

  setBacking(node: BlockNode | null): void {
    this.#backing = node;
    for (const e of this.#extents) {
      if (e.node instanceof SparseExtent) {
        e.node.setBacking(node && e.start < node.length ? new RawNode(node, { offset: e.start }) : null);
      }
    }
    this.#setChildren();
  }

  get compressedUnit(): number {
    return DEFAULT_GRAIN;
  }

  get onlyCompressed(): boolean {
    return this.#extents.some((e) => e.node instanceof SparseExtent && e.node.compressed);
  }

  #setChildren(): void {
    const children: NodeChild[] = [{ role: 'file', node: this.file }];
    this.#extents.forEach((e, i) => {
      if (e.file) children.push({ role: `extents.${i}`, node: e.file });
    });
    if (this.#backing) children.push({ role: 'backing', node: this.#backing });
    this.children = children;
  }

  #extent(offset: number): Extent {
    const extents = this.#extents;
    let low = 0;
    let high = extents.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (extents[middle]!.start <= offset) low = middle;
      else high = middle - 1;
    }
    return extents[low]!;
  }

  #each(
    offset: number,
    length: number,
    run: (e: Extent, within: number, at: number, n: number) => Completion,
  ): Completion {
    for (let at = 0; at < length; ) {
      const e = this.#extent(offset + at);
      const within = offset + at - e.start;
      const n = Math.min(length - at, e.length - within);
      if (n <= 0) throw new BlockError('EIO', 'beyond the last extent');
      const done = run(e, within, at, n);
      at += n;
      const rest = at;
      if (done)
        return done.then(() => this.#each(offset + rest, length - rest, (e2, w, a, m) => run(e2, w, a + rest, m)));
    }
    return undefined;
  }

  read(offset: number, into: Uint8Array): Completion {
    const end = Math.max(0, Math.min(into.length, this.length - offset));
    into.fill(0, end);
    return this.#each(offset, end, (e, within, at, n) => e.node.read(within, into.subarray(at, at + n)));
  }

  override write(offset: number, from: Uint8Array): Completion {
    if (this.readOnly) throw new BlockError('EROFS', `'${this.filename}' is read-only`);
    this.#written = true;
    return this.#each(offset, from.length, (e, within, at, n) => e.node.write(within, from.subarray(at, at + n)));
  }

  async writeCompressed(offset: number, data: Uint8Array): Promise<void> {
    const e = this.#extent(offset);
    // Only stream-optimized images have compressed grains; others take what is asked for plainly.
    if (!(e.node instanceof SparseExtent) || !e.node.compressed) {
      await this.write(offset, data);
      return;
    }
    this.#written = true;
    await e.node.writeCompressed(offset - e.start, data);
  }

  override async flush(): Promise<void> {
    for (const e of this.#extents) await e.node.flush();
  }

  override status(offset: number, length: number): Eventually<BlockStatus> {
    const e = this.#extent(offset);
    return e.node.status(offset - e.start, Math.min(length, e.start + e.length - offset));
  }

  override allocatedBytes(): number | undefined {
    let sum = 0;
    for (const { role, node } of this.children) if (role !== 'backing') sum += node.allocatedBytes?.() ?? 0;
    return sum;
  }

  info(): FormatInfo {
    const d = this.descriptor;
    const own = this.#extents.length === 1 && this.#extents[0]!.file === null;
    const sparse = this.#extents.map((e) => (e.node instanceof SparseExtent ? e.node : null));
    const clusterSize = sparse.find((s) => s)?.blockSize;
    const extents: InfoValue[] = this.#extents.map((e, i) => ({
      ...(sparse[i]?.compressed && { compressed: true }),
      'virtual-size': e.length,
      filename: (e.file ?? this.file).filename,
      ...(sparse[i] && { 'cluster-size': sparse[i]!.blockSize }),
      format: own ? '' : e.type,
    }));
    return {
      ...(clusterSize !== undefined && { clusterSize }),
      specific: { type: 'vmdk', data: { cid: d.cid, 'parent-cid': d.parentCid, 'create-type': d.createType, extents } },
    };
  }

  async check(): Promise<CheckResult> {
    const result = newCheckResult();
    for (const e of this.#extents) if (e.node instanceof SparseExtent) await e.node.check(result, e.start);
    return result;
  }

  override async close(): Promise<void> {
    let failure: unknown;
    try {
      if (!this.readOnly && this.#written) await this.flush();
    } catch (error) {
      failure = error;
    }
    await closeAll(this.children.map((c) => c.node));
    if (failure !== undefined) throw failure;
  }
}

async function openVmdk(file: BlockNode, context: OpenContext): Promise<VmdkNode> {
  const head = new Uint8Array(Math.min(MAX_DESCRIPTOR, file.length));
  await file.read(0, head.subarray(0, SECTOR));
  if (getU32(head, 0) === MAGIC) return openMonolithic(file, context);
  await file.read(0, head);
  const text = new TextDecoder().decode(head);
  if (!/^# Disk DescriptorFile/.test(text)) throw new UserError('Image not in VMDK format');
  const descriptor = parseDescriptor(text);
  const extents: Extent[] = [];
  const opened: BlockNode[] = [];
  try {
    let start = 0;
    for (const line of descriptor.extents) {
      const length = line.sectors * SECTOR;
      if (line.access !== 'RW' && !context.readOnly) throw new BlockError('ENOTSUP', 'an extent is not writable');
      if (line.type === 'ZERO') throw new BlockError('ENOTSUP', "Unsupported extent type 'ZERO'");
      // A descriptor names files beside it: nothing else of the host's is opened for it.
      if (line.file === '' || line.file.includes('/'))
        throw new UserError(`Cannot use the extent '${line.file}': it is not beside the image`);
      const extentFile = await context.openFile(line.file, true);
      opened.push(extentFile);
      let node: BlockNode;
      if (line.type === 'FLAT' || line.type === 'VMFS') {
        node = new FlatNode(extentFile, { offset: line.offset * SECTOR, size: length });
      } else if (line.type === 'SPARSE')
        node = await SparseExtent.open(extentFile, context.readOnly, context.host.codecs);
      else throw new BlockError('ENOTSUP', `Unsupported extent type '${line.type}'`);
      if (length === 0 || node.length < length)
        throw new BlockError('EINVAL', `the extent '${line.file}' is too short`);
      extents.push({ start, length, node, file: extentFile, type: line.type });
      start += length;
    }
    if (extents.length === 0) throw new UserError('the descriptor has no extents');
    return new VmdkNode(file, descriptor, extents, context.readOnly);
  } catch (error) {
    await closeAll(opened);
    throw error;
  }
}

async function openMonolithic(file: BlockNode, context: OpenContext): Promise<VmdkNode> {
  const header = await readSparseHeader(file);
  const length = header.descriptorSectors * SECTOR;
  if (header.descriptorOffset === 0 || length > MAX_DESCRIPTOR || header.descriptorOffset * SECTOR > file.length) {
    throw new BlockError('EINVAL', 'invalid VMDK image descriptor');
  }
  const bytes = new Uint8Array(length);
  await file.read(header.descriptorOffset * SECTOR, bytes);
  const descriptor = parseDescriptor(new TextDecoder().decode(bytes).replace(/\0.*$/s, ''));
  const node = await SparseExtent.open(file, context.readOnly, context.host.codecs);
  const extent: Extent = { start: 0, length: node.length, node, file: null, type: '' };
  return new VmdkNode(file, descriptor, [extent], context.readOnly);
}

async function createVmdk(c: CreateContext): Promise<void> {
  const subformat = c.text('subformat') ?? 'monolithicSparse';
  if (!(SUBFORMATS as readonly string[]).includes(subformat))
    throw new UserError(`invalid parameter value: ${subformat}`);
  const adapter = c.text('adapter_type') ?? 'ide';
  if (!ADAPTERS.includes(adapter)) throw new UserError(`invalid parameter value: ${adapter}`);
  const parent = c.text('backing_file') ?? '';
  const flat = subformat.endsWith('Flat');
  const split = subformat.startsWith('twoGb');
  if (flat && parent !== '') throw new UserError('Flat image cannot have backing file');
  const parentFormat = c.text('backing_fmt') ?? 'vmdk';
  if (parentFormat !== 'vmdk') throw new UserError('backing_file must be a vmdk image');
  let parentCid = NO_PARENT;
  if (parent !== '') {
    const node = await c.openBacking();
    try {
      if (!(node instanceof VmdkNode))
        throw new UserError(`Invalid backing file format: ${node?.driver}. Must be vmdk`);
      parentCid = node.descriptor.cid;
    } finally {
      await node?.close();
    }
  }
  const random = new Uint8Array(4);
  c.host.random?.(random);
  const name = c.filename.replace(/^.*\//, '');
  const [, stem = '', suffix = ''] = /^(.*?)(\.[^.]*)?$/s.exec(name) ?? [];
  const extents: string[] = [];
  const extentFiles: { name: string; bytes: number }[] = [];
  const step = split ? SPLIT : Math.max(SECTOR, c.size);
  for (let at = 0, i = 1; at < c.size || i === 1; at += step, i++) {
    const bytes = Math.min(step, c.size - at);
    const type = flat ? 'FLAT' : 'SPARSE';
    const number = String(i).padStart(3, '0');
    const file = split ? `${stem}-${flat ? 'f' : 's'}${number}${suffix}` : flat ? `${stem}-flat${suffix}` : name;
    extents.push(`RW ${Math.ceil(bytes / SECTOR)} ${type} "${file}"${flat ? ' 0' : ''}`);
    extentFiles.push({ name: file, bytes });
  }
  const heads = adapter === 'ide' ? 16 : 255;
  const descriptor = writeDescriptor({
    cid: getU32(random, 0),
    parentCid,
    createType: subformat,
    parent,
    extents,
    hardwareVersion:
      c.text('hwversion') === undefined || c.text('hwversion') === 'undefined'
        ? c.flag('compat6')
          ? '6'
          : '4'
        : c.text('hwversion')!,
    toolsVersion: c.text('toolsversion') ?? '2147483647',
    cylinders: Math.floor(Math.ceil(c.size / SECTOR) / (63 * heads)),
    heads,
    adapter,
  });
  const options = { compressed: subformat === 'streamOptimized', zeroedGrain: c.flag('zeroed_grain') ?? false };
  if (!flat && !split) {
    await createSparse(c.file, { ...options, bytes: c.size, descriptor });
    return;
  }
  await c.file.write(0, new TextEncoder().encode(descriptor));
  for (const e of extentFiles) {
    const file = c.createFile(e.name, true);
    try {
      if (flat) await file.truncate(e.bytes);
      else await createSparse(file, { ...options, bytes: e.bytes, descriptor: null });
    } finally {
      await file.close();
    }
  }
}

export const VMDK: Format = {
  name: 'vmdk',
  probe: (head) =>
    getU32(head, 0) === MAGIC || new TextDecoder().decode(head.subarray(0, 21)) === '# Disk DescriptorFile' ? 100 : 0,
  open: openVmdk,
  createOptions: [
    { name: 'size', type: 'size', help: 'Virtual disk size' },
    {
      name: 'adapter_type',
      type: 'str',
      help: 'Virtual adapter type, can be one of ide (default), lsilogic, buslogic or legacyESX',
    },
    { name: 'backing_file', type: 'str', help: 'File name of a base image' },
    { name: 'backing_fmt', type: 'str', help: "Must be 'vmdk' if present" },
    { name: 'compat6', type: 'bool', help: 'VMDK version 6 image', initial: 'off' },
    { name: 'hwversion', type: 'str', help: 'VMDK hardware version', initial: 'undefined' },
    { name: 'toolsversion', type: 'str', help: 'VMware guest tools version' },
    {
      name: 'subformat',
      type: 'str',
      help: 'VMDK flat extent format, can be one of {monolithicSparse (default) | monolithicFlat | twoGbMaxExtentSparse | twoGbMaxExtentFlat | streamOptimized} ',
    },
    { name: 'zeroed_grain', type: 'bool', help: 'Enable efficient zero writes using the zeroed-grain GTE feature' },
  ],
  create: createVmdk,
};
