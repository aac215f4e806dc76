/** Drives on the command line: `-drive`, `-hda` and its like, and the empty ones that every PC has. */
import { UserError } from '../../base/errors.js';
import type { ErrorPolicy } from '../../block/drive.js';
import { parseKeyval } from './keyval.js';
import type { DriveRequest, Wishes } from './wishes.js';

const POLICIES = ['report', 'ignore', 'stop', 'enospc'] as const satisfies readonly ErrorPolicy[];
const CACHES = ['writeback', 'writethrough', 'none', 'directsync', 'unsafe'] as const;
/** How the host does it: accepted, without effect here. */
const WITHOUT_EFFECT = ['aio', 'discard', 'detect-zeroes', 'auto-read-only', 'copy-on-read'];
const NOT_YET_INTERFACES = ['scsi', 'pflash', 'mtd', 'sd', 'xen'];

const DRIVE_HELP = `drive options:
  bus=<num>              - bus number
  cache=<str>            - ${CACHES.join(', ')}
  file=<str>             - image file; without one the drive is empty
  format=<str>           - format of the image: raw
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
  };
  o.finish();
  add(wishes, request);
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
function defaultId({ interface: kind, index = 0, media }: DriveRequest, wishes: Wishes): string {
  if (kind === 'floppy' || kind === 'virtio') return `${kind}${index}`;
  if (kind === 'ide') return `ide${index >> 1}-${media === 'cdrom' ? 'cd' : 'hd'}${index & 1}`;
  return `none${wishes.drives.filter((d) => d.interface === 'none').length}`;
}
