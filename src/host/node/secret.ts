/** The value of a `secret` object: given in the option, or in a file. */
import fs from 'node:fs';
import { UserError } from '../../base/errors.js';
import { hostReason } from './host-error.js';

/** `pairs` are the properties. Throws UserError. */
export function secretBytes(pairs: ReadonlyMap<string, string>): Uint8Array {
  const file = pairs.get('file');
  const data = pairs.get('data');
  let bytes: Uint8Array;
  if (file !== undefined) {
    try {
      bytes = fs.readFileSync(file);
    } catch (error) {
      throw new UserError(`Failed to open file “${file}”: ${hostReason(error)}`);
    }
  } else if (data !== undefined) bytes = Buffer.from(data);
  else throw new UserError("Either 'file' or 'data' must be provided");
  return pairs.get('format') === 'base64' ? Buffer.from(Buffer.from(bytes).toString('latin1'), 'base64') : bytes;
}
