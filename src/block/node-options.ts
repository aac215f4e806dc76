/** What options a node of each driver may have in `-blockdev`, beside those of all nodes and the names of its children. */
import { UserError } from '../base/errors.js';
import { LIMITS, THROTTLE_NAMES } from './filters/throttle.js';

const FILE = ['filename', 'locking', 'aio', 'aio-max-batch', 'pr-manager', 'drop-cache'];
const NULL = ['size', 'latency-ns', 'read-zeroes'];
const HTTP = ['url', 'readahead', 'timeout'];
const CACHES = [
  ...['cache-size', 'l2-cache-size', 'l2-cache-entry-size', 'refcount-cache-size', 'cache-clean-interval'],
  ...['overlap-check', 'pass-discard-request', 'pass-discard-snapshot', 'pass-discard-other'],
];
/** Of a qcow2 image. How large caches are, and what is checked before writes, is our own business. */
export const QCOW2_OPTIONS = [...CACHES, 'lazy-refcounts', 'data-file', 'encrypt', 'backing'];

const OPTIONS: Readonly<Record<string, readonly string[]>> = {
  file: FILE,
  host_device: FILE,
  host_cdrom: FILE,
  nbd: ['server', 'export', 'tls-creds', 'tls-hostname', 'reconnect-delay', 'open-timeout'],
  http: HTTP,
  https: HTTP,
  'null-co': NULL,
  'null-aio': NULL,
  memory: NULL,
  raw: ['offset', 'size'],
  qcow2: QCOW2_OPTIONS,
  vmdk: ['backing'],
  qed: ['backing'],
  luks: ['key-secret'],
  throttle: ['throttle-group', 'limits'],
  'copy-on-read': ['bottom'],
  blkdebug: ['image', 'align', 'inject-error'],
};

/** Said of nodes in general. */
export const COMMON = [
  'driver',
  'node-name',
  'read-only',
  'auto-read-only',
  'discard',
  'detect-zeroes',
  'force-share',
  'cache',
];

/** Throws UserError for what the driver has no use for: a mistyped option would else go unnoticed. */
export function checkOptions(driver: string, names: readonly string[]): void {
  const own = OPTIONS[driver] ?? [];
  const unknown = names.find((name) => !COMMON.includes(name) && name !== 'file' && !own.includes(name));
  if (unknown !== undefined) throw new UserError(`Parameter '${unknown}' is unexpected`);
}

/** Of `limits` of a throttle node. Throws UserError. */
export function checkLimits(names: readonly string[]): void {
  const unknown = names.find((name) => !THROTTLE_NAMES.includes(name));
  if (unknown !== undefined)
    throw new UserError(`Parameter 'limits.${unknown}' is unexpected: there are ${LIMITS.join(', ')}`);
}

/** What nodes may be called: users name files and nodes in the same places. Throws UserError. */
export function checkName(name: string): void {
  if (!/^[a-z][a-z0-9._-]*$/i.test(name)) throw new UserError(`Invalid node-name: '${name}'`);
}
