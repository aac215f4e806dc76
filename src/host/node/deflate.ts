import zlib from 'node:zlib';
import type { Deflate } from '../../display/screendump.js';

export const deflate: Deflate = (data) => zlib.deflateSync(data);
