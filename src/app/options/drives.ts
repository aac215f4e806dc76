/** Drives on the command line: `-drive`, `-hda` and its like, and the empty ones that every PC has. */
import { UserError } from '../../base/errors.js';
import type { ErrorPolicy } from '../../block/drive.js';
import { THROTTLE_NAMES, throttleOptions } from '../../block/filters/throttle.js';
import type { CacheMode } from '../../block/format.js';
import { isNoFormat, nested } from '../../block/graph.js';
import { QCOW2_OPTIONS } from '../../block/node-options.js';
import { type Keyval, parseKeyval } from './keyval.js';
import type { DriveDetails, DriveRequest, Wishes } from './wishes.js';

const POLICIES = ['report', 'ignore', 'stop', 'enospc'] as const satisfies readonly ErrorPolicy[];
const CACHES = ['writeback', 'writethrough', 'none', 'directsync', 'unsafe'] as const;
const AIO = ['threads', 'native', 'io_uring'] as const;
/** Accepted, without effect here: what is counted, and a name that nobody asks for. */
const WITHOUT_EFFECT = ['auto-read-only', 'node-name', 'stats-account-invalid', 'stats-account-failed'];
/** Options of formats, which are looked at when the image is opened. */
const FORMAT_OPTIONS = [
  'key-secret',
  'encrypt.key-secret',
  'encrypt.format',
  'offset',
  'size',
  ...QCOW2_OPTIONS.filter((name) => !['encrypt', 'backing'].includes(name)),
];
const THROTTLE_PREFIX = 'throttling.';
/** The older names of limits. */
const LIMIT_NAMES: Readonly<Record<string, string>> = {
  ...Object.fromEntries(
    ['bps', 'iops'].flatMap((what) =>
      ['', '_max'].flatMap((most) =>
        Object.entries({ '': 'total', _rd: 'read', _wr: 'write' }).map(([short, long]) => [
          `${what}${short}${most}`,
          `${what}-${long}${most.replace('_', '-')}`,
        ]),
      ),
    ),
  ),
  iops_size: 'iops-size',
};
const NOT_YET_INTERFACES = ['scsi', 'pflash', 'mtd', 'sd', 'xen'];

const DRIVE_HELP = `drive options:
  bus=<num>              - bus number
  aio=<str>              - ${AIO.join(', ')}: accepted, all I/O runs in threads
  bps=<num>              - bytes a second at most (also bps_rd, bps_wr, bps_max, throttling.bps-total, ...)
  cache=<str>            - ${CACHES.join(', ')}; or cache.writeback, cache.direct, cache.no-flush=<bool>
  copy-on-read=<bool>    - keep what is read from the backing image
  detect-zeroes=<str>    - off, on or unmap
  discard=<str>          - ignore or unmap
  encrypt.key-secret=<str> - id of the secret of an encrypted image
  file=<str>             - image file; without one the drive is empty; or file.driver=<str>,file.filename=<str>, ...
  format=<str>           - format of the image; found out when it is not given (also driver=<str>)
  id=<str>               - name of the drive
  if=<str>               - ide, floppy, virtio or none
  index=<num>            - which drive of the interface
  media=<str>            - disk or cdrom
  readonly=<bool>        - the guest may not write
  rerror=<str>           - on read errors: ${POLICIES.join(', ')}
  snapshot=<bool>        - write to a temporary overlay
  throttling.group=<str> - drives that share limits
  unit=<num>             - unit number
  werror=<str>           - on write errors: ${POLICIES.join(', ')}
`;

export function addDrive(wishes: Wishes, text: string, origin: string): string | undefined {
  const o = parseKeyval(text);
  if (o.help) return DRIVE_HELP;
  const kind = o.get('if') ?? 'ide';
  if (NOT_YET_INTERFACES.includes(kind)) {
    throw new UserError(
      `Tinamou does not have drives with if=${kind} yet: use if=ide, if=floppy, if=virtio or if=none`,
    );
  }
  const bus = o.number('bus');
  const unit = o.number('unit');
  const index = o.number('index');
  if (index !== undefined && (bus !== undefined || unit !== undefined)) {
    throw new UserError('index cannot be used with bus and unit');
  }
  const place = bus === undefined && unit === undefined ? index : 2 * (bus ?? 0) + (unit ?? 0);
  for (const key of WITHOUT_EFFECT) o.get(key);
  const cache = cacheMode(o);
  if (o.oneOf('aio', AIO) === 'native' && cache !== 'none' && cache !== 'directsync')
    throw new UserError('aio=native was specified, but it requires cache.direct=on, which was not specified.');
  const image = imageOf(o);
  const request: DriveRequest = {
    origin,
    id: o.identifier('id'),
    file: image.file,
    format: image.format,
    interface: o.oneOf('if', ['ide', 'floppy', 'virtio', 'none']) ?? 'ide',
    index: place,
    media: o.oneOf('media', ['disk', 'cdrom']) ?? 'disk',
    readOnly: o.flag('readonly') ?? o.flag('read-only') ?? false,
    snapshot: o.flag('snapshot') ?? false,
    cache,
    rerror: o.oneOf('rerror', POLICIES) ?? 'report',
    werror: o.oneOf('werror', POLICIES) ?? 'enospc',
    details: { ...details(o), ...image.details },
  };
  o.finish();
  add(wishes, request);
  return undefined;
}

/** `cache`, and what it stands for one by one. */
function cacheMode(o: Keyval): CacheMode {
  const mode = o.oneOf('cache', CACHES) ?? 'writeback';
  const writeBack = o.flag('cache.writeback') ?? (mode !== 'writethrough' && mode !== 'directsync');
  const direct = o.flag('cache.direct') ?? (mode === 'none' || mode === 'directsync');
  if (o.flag('cache.no-flush') ?? mode === 'unsafe') return 'unsafe';
  if (writeBack) return direct ? 'none' : 'writeback';
  return direct ? 'directsync' : 'writethrough';
}

interface ImageName {
  readonly file: string | undefined;
  readonly format: string | undefined;
  readonly details: Pick<DriveDetails, 'unlocked' | 'share' | 'graph'>;
}

/** The image: a name, or options of the nodes that it is made of. */
function imageOf(o: Keyval): ImageName {
  const format = o.get('format') ?? o.get('driver');
  const named = o.get('file') || undefined;
  const below = o.under('file.');
  const driver = below['driver'] ?? 'file';
  const unlocked = below['locking'] === 'off';
  const share = o.flag('force-share') ?? false;
  const simple = driver === 'file' && Object.keys(below).every((k) => ['driver', 'filename', 'locking'].includes(k));
  if (simple && !(format !== undefined && isNoFormat(format) && named === undefined)) {
    const locking = below['locking'];
    if (locking !== undefined && !['on', 'off', 'auto'].includes(locking))
      throw new UserError(`Parameter 'locking' does not accept value '${locking}'`);
    const file = named ?? below['filename'];
    return { file, format, details: { ...(unlocked && { unlocked }), ...(share && { share }) } };
  }
  if (named !== undefined) throw new UserError("'file' and options of 'file.' cannot be used together");
  // What a node of a format stands on, or a node without one that the drive itself is.
  const own = format !== undefined && isNoFormat(format);
  const pairs = Object.entries(below).map(([k, v]) => [`file.${k}`, v] as const);
  const rest = own ? Object.entries(o.under('')).filter(([k]) => NODE_OPTIONS.includes(k)) : pairs;
  for (const [k] of rest) o.get(k);
  const graph = nested([['driver', format ?? 'raw'], ...rest]);
  return { file: undefined, format: undefined, details: { graph } };
}

/** Of nodes without a format, in a drive's options. */
const NODE_OPTIONS = ['size', 'read-zeroes', 'latency-ns', 'filename', 'url'];

function details(o: Keyval): DriveDetails {
  const discard = o.oneOf('discard', ['ignore', 'off', 'unmap', 'on']) ?? 'ignore';
  const detectZeroes = o.oneOf('detect-zeroes', ['off', 'on', 'unmap']) ?? 'off';
  const unmaps = discard === 'unmap' || discard === 'on';
  const said = new Map<string, string>();
  for (const [short, long] of Object.entries(LIMIT_NAMES)) said.set(long, o.get(short)!);
  for (const name of THROTTLE_NAMES) said.set(name, o.get(THROTTLE_PREFIX + name) ?? said.get(name)!);
  const throttle = throttleOptions((name) => said.get(name));
  const throttleGroup = o.get(`${THROTTLE_PREFIX}group`);
  const format: Record<string, string> = {};
  for (const name of FORMAT_OPTIONS) {
    const value = o.get(name);
    if (value !== undefined) format[name] = value;
  }
  return {
    discard: unmaps,
    detectZeroes,
    copyOnRead: o.flag('copy-on-read') ?? false,
    throttle,
    throttleGroup,
    format,
  };
}

/** `-blockdev`: what it means is found out when the nodes are made. */
export function addBlockdev(wishes: Wishes, text: string, origin: string): undefined {
  const json = text.trimStart().startsWith('{') ? text : undefined;
  wishes.blockdevs.push({ origin, json, pairs: json === undefined ? parseKeyval(text, 'driver').pairs : [] });
  return undefined;
}

/** `-hda file` and its like: file names are taken as they are. */
export function addDriveFile(
  wishes: Wishes,
  file: string | undefined,
  where: Pick<DriveRequest, 'interface' | 'index' | 'media'>,
  origin: string,
): void {
  add(wishes, {
    ...where,
    origin,
    file,
    id: undefined,
    format: undefined,
    readOnly: false,
    snapshot: false,
    cache: 'writeback',
    rerror: 'report',
    werror: 'enospc',
  });
}

/** How many an interface has room for; the PCI bus, for virtio. */
const MOST_DRIVES = { ide: 4, floppy: 2, virtio: 32 } as const;

function add(wishes: Wishes, request: DriveRequest): void {
  const { interface: kind, index } = request;
  if (kind !== 'none') {
    const most = MOST_DRIVES[kind];
    const used = wishes.drives.filter((d) => d.interface === kind).map((d) => d.index);
    const place = index ?? Array.from({ length: most + 1 }, (_, n) => n).find((n) => !used.includes(n))!;
    if (place >= most) throw new UserError(`a PC has ${most} ${kind} drives: index ${place} is too high`);
    if (used.includes(place))
      throw new UserError(`drive with interface ${kind}, index ${place} exists: choose another index`);
    request = { ...request, index: place };
  }
  wishes.drives.push({ ...request, id: request.id ?? defaultId(request, wishes) });
}

/** QEMU's names: ide0-hd0, ide1-cd0, floppy0, virtio0. */
function defaultId(request: DriveRequest, wishes: Wishes): string {
  const { interface: kind, index = 0 } = request;
  if (kind === 'floppy' || kind === 'virtio') return `${kind}${index}`;
  if (kind === 'ide') return ideName(request, 2);
  return `none${wishes.drives.filter((d) => d.interface === 'none').length}`;
}

const ideName = ({ index = 0, media }: DriveRequest, perBus: number): string =>
  `ide${Math.floor(index / perBus)}-${media === 'cdrom' ? 'cd' : 'hd'}${index % perBus}`;

/** Names as on a board whose controller has one drive on each bus, which nobody knows before all options are read. */
export function nameSataDrives(wishes: Wishes): void {
  for (const [i, drive] of wishes.drives.entries()) {
    if (drive.interface === 'ide' && drive.id === ideName(drive, 2)) {
      wishes.drives[i] = { ...drive, id: ideName(drive, 1) };
    }
  }
}
