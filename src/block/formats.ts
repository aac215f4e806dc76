/** The list of formats. */
import type { Format } from './format.js';
import { QCOW2 } from './qcow2/index.js';
import { RAW } from './raw.js';
import { VDI } from './vdi/index.js';
import { VMDK } from './vmdk/index.js';
import { VPC } from './vpc/index.js';

export const FORMATS: readonly Format[] = [RAW, QCOW2, VMDK, VDI, VPC];

export const formatNamed = (name: string): Format | undefined => FORMATS.find((f) => f.name === name);
