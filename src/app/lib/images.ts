/** The images behind a machine's drives: opened as the user wished, and given up while another machine has them. */
import { UserError } from '../../base/errors.js';
import { Drive, type DriveOptions } from '../../block/drive.js';
import { CopyOnReadNode } from '../../block/filters/copy-on-read.js';
import { ThrottleGroup } from '../../block/filters/throttle.js';
import type { BlockHost } from '../../block/format.js';
import { fromJson, NodeGraph, type NodeOptions, nested, throttled } from '../../block/graph.js';
import { MemoryNode } from '../../block/memory.js';
import type { BlockNode } from '../../block/node.js';
import { QCOW2_OPTIONS } from '../../block/node-options.js';
import { openImage } from '../../block/open.js';
import { OverlayNode } from '../../block/overlay.js';
import { MACHINE_BLOCK_HOST } from '../../host/node/block-host.js';
import { addDrive } from '../options/drives.js';
import { blamed } from '../options/parse.js';
import type { DriveDetails, DriveRequest, Wishes } from '../options/wishes.js';

/** Opens images that another machine may be writing, to see what they are like. */
const LOOKING: BlockHost = {
  ...MACHINE_BLOCK_HOST,
  openFile: (filename, access) => MACHINE_BLOCK_HOST.openFile(filename, { ...access, readOnly: true, share: true }),
};

interface Opened {
  readonly node: BlockNode | null;
  readonly options: DriveOptions;
  readonly readOnly: boolean;
}

export class Images {
  readonly drives = new Map<string, Drive>();
  /** What each drive has, unless the user has changed its medium. */
  readonly #nodes = new Map<string, BlockNode>();

  #adopted: (drive: Drive) => void = () => {};

  private constructor(
    private readonly wishes: Wishes,
    private readonly warn: (text: string) => void,
  ) {}

  /** `use` is shown every drive, now and when one comes. */
  adopt(use: (drive: Drive) => void): void {
    this.#adopted = use;
    for (const drive of this.drives.values()) use(drive);
  }

  /** `text`: as behind -drive, with if=none; a device may use the drive then. Throws UserError. */
  async add(text: string): Promise<void> {
    const asked: Wishes = { ...this.wishes, drives: [] };
    if (addDrive(asked, text, '') !== undefined) throw new UserError('drive options are listed by -drive help');
    const request = asked.drives[0]!;
    if (request.interface !== 'none') {
      throw new UserError(`Can't hot-add drive to type ${request.interface}: use if=none, and device_add`);
    }
    const id = request.id!;
    const refuseTwice = (): void => {
      if (this.drives.has(id)) throw new UserError(`Duplicate ID '${id}' for drive`);
    };
    refuseTwice();
    const { node, options } = await openOne(this.wishes, request, false, this.warn);
    try {
      // Two may have been asked for at a time.
      refuseTwice();
    } catch (error) {
      await node?.close();
      throw error;
    }
    const drive = new Drive(node, options);
    this.drives.set(id, drive);
    if (node) this.#nodes.set(id, node);
    this.wishes.drives.push(request);
    this.#adopted(drive);
  }

  /** Closes an image. A device that uses the drive is left without a medium. */
  async remove(id: string): Promise<void> {
    const drive = this.drives.get(id);
    if (!drive) throw new UserError(`Device '${id}' not found`);
    this.drives.delete(id);
    this.#nodes.delete(id);
    const { drives } = this.wishes;
    const asked = drives.findIndex((request) => request.id === id);
    if (asked >= 0) drives.splice(asked, 1);
    await drive.close();
  }

  /**
   * A machine that waits for its state leaves the images to the one that sends it. `warn` is told what the user should know. Throws
   * UserError.
   */
  static async open(wishes: Wishes, warn: (text: string) => void): Promise<Images> {
    const images = new Images(wishes, warn);
    const look = wishes.incoming !== undefined;
    try {
      for await (const { node, options, readOnly } of openAll(wishes, look, warn)) {
        const { id } = options;
        const lent = look && node && !(node instanceof OverlayNode);
        const drive = new Drive(lent ? null : node, {
          ...options,
          ...(lent && { lent: { length: node.length, readOnly } }),
        });
        images.drives.set(id, drive);
        if (lent) await node.close();
        else if (node) images.#nodes.set(id, node);
      }
    } catch (error) {
      images.dispose();
      throw error;
    }
    return images;
  }

  /** Writes everything back and closes the images, so that another machine can have them. */
  async lend(): Promise<void> {
    for (const [id, node] of this.#nodes) {
      // A temporary overlay is nobody else's.
      if (!(node instanceof OverlayNode)) await this.drives.get(id)!.lend(node);
    }
  }

  /** Opens again what was lent. Throws UserError when that cannot be had. */
  async takeBack(): Promise<void> {
    const lent = [...this.drives.values()].filter((drive) => drive.lent);
    if (lent.length === 0) return;
    for await (const { node, options } of openAll(
      this.wishes,
      false,
      () => {},
      (id) => this.drives.get(id)?.lent ?? false,
    )) {
      if (!node) continue;
      this.drives.get(options.id)!.takeBack(node);
      this.#nodes.set(options.id, node);
    }
  }

  /** Writes back what images have cached, and closes them; gives what went wrong. */
  async close(): Promise<string[]> {
    const failures: string[] = [];
    for (const drive of this.drives.values()) {
      await drive.close().catch((error: unknown) => {
        if (!(error instanceof UserError)) throw error;
        failures.push(error.message);
      });
    }
    return failures;
  }

  dispose(): void {
    for (const drive of this.drives.values()) drive.dispose();
  }
}

/** Opens the images of the drives that are `wanted`. */
async function* openAll(
  w: Wishes,
  look: boolean,
  warn: (text: string) => void,
  wanted: (id: string) => boolean = () => true,
): AsyncGenerator<Opened> {
  const ids = new Set<string>();
  for (const request of w.drives) {
    const id = request.id!;
    if (ids.has(id)) throw blamed(request.origin, new UserError(`Duplicate ID '${id}' for drive`));
    ids.add(id);
    if (!wanted(id)) continue;
    yield await openOne(w, request, look, warn).catch((error: unknown) => {
      throw blamed(request.origin, error);
    });
  }
  if (w.blockdevs.length === 0) return;
  const graph = new NodeGraph(look ? LOOKING : MACHINE_BLOCK_HOST, w.objects, look);
  for (const { origin, json, pairs } of w.blockdevs) {
    await graph.add(json === undefined ? nested(pairs) : fromJson(json)).catch((error: unknown) => {
      throw blamed(origin, error);
    });
  }
  for (const { name, node, options } of graph.roots) {
    if (ids.has(name)) throw new UserError(`node-name=${name} is conflicting with a device id`);
    yield { node, options: driveOptions(name, options), readOnly: options['read-only'] === 'on' };
  }
}

function driveOptions(id: string, options: NodeOptions): DriveOptions {
  const { discard, cache, 'detect-zeroes': detect } = options;
  const detectZeroes = detect === 'on' || detect === 'unmap' ? detect : 'off';
  const unsafe = typeof cache === 'object' && cache['no-flush'] === 'on';
  return { id, discard: discard === 'unmap', detectZeroes, unsafe };
}

/** A device of the command line lets others write its image. */
const isShared = (w: Wishes, drive: string): boolean =>
  w.devices.some(
    ({ properties }) => properties['drive'] === drive && /^(on|yes|true|y)$/.test(properties['share-rw'] ?? ''),
  );

async function openOne(w: Wishes, r: DriveRequest, look: boolean, warn: (text: string) => void): Promise<Opened> {
  const { details } = r;
  const options = {
    id: r.id!,
    rerror: r.rerror,
    werror: r.werror,
    writeCache: r.cache !== 'writethrough' && r.cache !== 'directsync',
    unsafe: r.cache === 'unsafe',
    discard: details?.discard ?? false,
    detectZeroes: details?.detectZeroes ?? 'off',
  };
  if (r.file === undefined && !details?.graph) {
    if ((r.interface === 'ide' || r.interface === 'virtio') && r.media === 'disk')
      throw new UserError('a disk needs an image: add file=FILE');
    return { node: null, options, readOnly: false };
  }
  const readOnly = r.readOnly || r.media === 'cdrom';
  const host = look ? LOOKING : MACHINE_BLOCK_HOST;
  const snapshot = (w.snapshot || r.snapshot) && r.media === 'disk';
  let node = details?.graph
    ? await openGraph(w, details.graph, host, readOnly || look, snapshot)
    : await openImage(host, {
        file: r.file!,
        ...(r.format !== undefined && { format: r.format }),
        readOnly: readOnly || look,
        snapshot,
        ...(details && { options: details.format }),
        secrets: w.objects.secrets,
        beside: true,
        ...((details?.share || isShared(w, r.id!)) && { share: true }),
        ...(details?.unlocked && { unlocked: true }),
        warn,
      });
  try {
    refuseForeign(node, details?.format ?? {});
    if (details?.copyOnRead && readOnly) warn('warning: disabling copy-on-read on read-only drive');
    else if (details?.copyOnRead && !look) node = new CopyOnReadNode(node);
    const group = details && throttleGroup(w, details);
    if (group) node = throttled(MACHINE_BLOCK_HOST, node, group);
  } catch (error) {
    await node.close();
    throw error;
  }
  return { node, options, readOnly };
}

/** Options of qcow2 that another format has no use for. */
function refuseForeign(node: BlockNode, options: Readonly<Record<string, string>>): void {
  const foreign = Object.keys(options).find((name) => QCOW2_OPTIONS.includes(name));
  if (foreign !== undefined && node.driver !== 'qcow2' && !(node instanceof OverlayNode))
    throw new UserError(`Block format '${node.driver}' does not support the option '${foreign}'`);
}

async function openGraph(
  w: Wishes,
  options: NodeOptions,
  host: BlockHost,
  readOnly: boolean,
  snapshot: boolean,
): Promise<BlockNode> {
  const node = await new NodeGraph(host, w.objects, readOnly || snapshot).unnamed(options);
  return snapshot ? new OverlayNode(node, host.temporaryFile?.() ?? new MemoryNode(0)) : node;
}

/** A group of the user's, or limits of the drive's own; null when nothing is limited. */
function throttleGroup(w: Wishes, details: DriveDetails): ThrottleGroup | null {
  const { throttle, throttleGroup: name } = details;
  if (name === undefined) return throttle && new ThrottleGroup(throttle);
  const groups = w.objects.throttleGroups;
  const known = groups.get(name);
  if (known) {
    if (throttle) known.limit(throttle);
    return known;
  }
  const group = new ThrottleGroup(throttle ?? { limits: {}, iopsSize: 0 });
  groups.set(name, group);
  return group;
}
