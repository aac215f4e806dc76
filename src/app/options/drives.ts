/** Drives on the command line: `-drive`, `-hda` and its like, and the empty ones that every PC has. */
import { UserError } from '../../base/errors.js';
import type { ErrorPolicy } from '../../block/drive.js';
import { type Keyval, parseKeyval } from './keyval.js';
import type { DriveDetails, DriveRequest, Wishes } from './wishes.js';

const POLICIES = ['report', 'ignore', 'stop', 'enospc'] as const satisfies readonly ErrorPolicy[];
const CACHES = ['writeback', 'writethrough', 'none', 'directsync', 'unsafe'] as const;
/** How the host does it: accepted, without effect here. */
const WITHOUT_EFFECT = ['aio', 'auto-read-only'];
/** Options of formats, which are looked at when the image is opened. */
const FORMAT_OPTIONS = [
  'key-secret',
  'encrypt.key-secret',
  'encrypt.format',
  'data-file',
  'lazy-refcounts',
  'offset',
  'size',
];
/** The older names of limits. */
const LIMIT_NAMES: Readonly<Record<string, string>> = {
  bps: 'bps-total',
  bps_rd: 'bps-read',
  bps_wr: 'bps-write',
  iops: 'iops-total',
  iops_rd: 'iops-read',
  iops_wr: 'iops-write',
};
const NOT_YET_INTERFACES = ['scsi', 'pflash', 'mtd', 'sd', 'xen'];

const DRIVE_HELP = `drive options:
  bus=<num>              - bus number
  bps=<num>              - bytes a second at most (also bps_rd, bps_wr, throttling.bps-total, ...)
  cache=<str>            - ${CACHES.join(', ')}
  copy-on-read=<bool>    - keep what is read from the backing image
  detect-zeroes=<str>    - off, on or unmap
  discard=<str>          - ignore or unmap
  encrypt.key-secret=<str> - id of the secret of an encrypted image
  file=<str>             - image file; without one the drive is empty
  format=<str>           - format of the image; found out when it is not given
  id=<str>               - name of the drive
  if=<str>               - ide, floppy, virtio or none
  index=<num>            - which drive of the interface
  media=<str>            - disk or cdrom
  readonly=<bool>        - the guest may not write
  rerror=<str>           - on read errors: ${POLICIES.join(', ')}
  snapshot=<bool>        - write to a temporary overlay
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
  const request: DriveRequest = {
    origin,
    id: o.get('id'),
    file: o.get('file') || undefined,
    format: o.get('format'),
    interface: o.oneOf('if', ['ide', 'floppy', 'virtio', 'none']) ?? 'ide',
    index: place,
    media: o.oneOf('media', ['disk', 'cdrom']) ?? 'disk',
    readOnly: o.flag('readonly') ?? o.flag('read-only') ?? false,
    snapshot: o.flag('snapshot') ?? false,
    cache: o.oneOf('cache', CACHES) ?? 'writeback',
    rerror: o.oneOf('rerror', POLICIES) ?? 'report',
    werror: o.oneOf('werror', POLICIES) ?? 'enospc',
    details: details(o),
  };
  o.finish();
  add(wishes, request);
  return undefined;
}

function details(o: Keyval): DriveDetails {
  const discard = o.oneOf('discard', ['ignore', 'off', 'unmap', 'on']) ?? 'ignore';
  const detectZeroes = o.oneOf('detect-zeroes', ['off', 'on', 'unmap']) ?? 'off';
  const unmaps = discard === 'unmap' || discard === 'on';
  if (detectZeroes === 'unmap' && !unmaps) {
    throw new UserError('setting detect-zeroes to unmap is not allowed without setting discard operation to unmap');
  }
  const limits: Record<string, number> = {};
  for (const [short, long] of Object.entries(LIMIT_NAMES)) {
    const rate = o.number(short) ?? o.number(`throttling.${long}`);
    if (rate) limits[long] = rate;
  }
  const format: Record<string, string> = {};
  for (const name of FORMAT_OPTIONS) {
    const value = o.get(name);
    if (value !== undefined) format[name] = value;
  }
  return { discard: unmaps, detectZeroes, copyOnRead: o.flag('copy-on-read') ?? false, limits, format };
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
