/** `-fsdev` and `-virtfs`: folders of the host. */
import { UserError } from '../../base/errors.js';
import { type Keyval, parseKeyval } from './keyval.js';
import { SECURITY_MODELS, type Wishes } from './wishes.js';

const HELP = `options:
  id=<str>               - name of the folder
  mount_tag=<str>        - name by which the guest mounts it (-virtfs)
  path=<str>             - folder of the host
  readonly=<bool>        - the guest may not write
  security_model=<str>   - ${SECURITY_MODELS.join(', ')}
`;
const NEEDS_ATTRIBUTES = ['mapped', 'mapped-xattr'];

function add(w: Wishes, o: Keyval, id: string, origin: string): void {
  const driver = o.get('fsdriver');
  if (driver !== 'local') throw new UserError(`Tinamou does not have the fsdriver ${driver ?? ''} yet: use local`);
  const model = o.get('security_model') ?? o.get('security-model');
  if (model === undefined) throw new UserError(`security_model property not set: use ${SECURITY_MODELS.join(', ')}`);
  if (NEEDS_ATTRIBUTES.includes(model)) {
    throw new UserError(`Tinamou does not have security_model=${model} yet: use security_model=mapped-file`);
  }
  const securityModel = SECURITY_MODELS.find((known) => known === model);
  if (!securityModel) throw new UserError(`invalid security_model '${model}': use ${SECURITY_MODELS.join(', ')}`);
  const path = o.required('path');
  const readOnly = o.flag('readonly') ?? false;
  for (const harmless of ['multidevs', 'writeout', 'fmode', 'dmode']) o.get(harmless);
  o.finish();
  if (w.folders.some((f) => f.id === id)) throw new UserError(`Duplicate ID '${id}' for fsdev`);
  w.folders.push({ id, path, securityModel, readOnly, origin });
}

export function addFsdev(w: Wishes, text: string, origin: string): string | undefined {
  const o = parseKeyval(text, 'fsdriver');
  if (o.help) return `fsdev ${HELP}`;
  add(w, o, o.required('id'), origin);
  return undefined;
}

/** Short for a folder and a device that shows it. */
export function addVirtfs(w: Wishes, text: string, origin: string): string | undefined {
  const o = parseKeyval(text, 'fsdriver');
  if (o.help) return `virtfs ${HELP}`;
  const tag = o.required('mount_tag');
  const id = o.get('id') ?? tag;
  add(w, o, id, origin);
  w.devices.push({ type: 'virtio-9p-pci', id: '', properties: { fsdev: id, mount_tag: tag }, origin });
  return undefined;
}
