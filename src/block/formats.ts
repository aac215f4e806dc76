/** The list of formats. */
import type { Format } from './format.js';
import { QCOW2 } from './qcow2/index.js';
import { RAW } from './raw.js';

export const FORMATS: readonly Format[] = [RAW, QCOW2];

export const formatNamed = (name: string): Format | undefined => FORMATS.find((f) => f.name === name);
