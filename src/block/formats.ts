/** The list of formats. */
import { DMG } from './dmg/index.js';
import type { Format } from './format.js';
import { LUKS } from './luks/index.js';
import { PARALLELS } from './parallels/index.js';
import { QCOW2 } from './qcow2/index.js';
import { QED } from './qed/index.js';
import { RAW } from './raw.js';
import { VDI } from './vdi/index.js';
import { VHDX } from './vhdx/index.js';
import { VMDK } from './vmdk/index.js';
import { VPC } from './vpc/index.js';

export const FORMATS: readonly Format[] = [RAW, QCOW2, VMDK, VDI, VPC, VHDX, QED, PARALLELS, DMG, LUKS];

export const formatNamed = (name: string): Format | undefined => FORMATS.find((f) => f.name === name);
