/** The list of formats. */
import type { Format } from './format.js';
import { RAW } from './raw.js';

export const FORMATS: readonly Format[] = [RAW];

export const formatNamed = (name: string): Format | undefined => FORMATS.find((f) => f.name === name);
