/**
 * Fetches guests into the cache and prints where they are, one `name=path` a line:
 *   node dist/tools/guest/fetch.js [--modules a,b,...] [--gzip] [piece ...]
 * Without pieces: what `npm start` needs (kernel, initrd, BIOS, VGA BIOS). Touches no network for what is already there.
 */
import { parseArgs } from 'node:util';
import { UserError } from '../../src/base/errors.js';
import { biosFile, fetchPiece, initrdImage, linuxImage, PIECES, type PieceName } from './guests.js';

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { modules: { type: 'string' }, gzip: { type: 'boolean', default: false } },
  });
  for (const name of positionals) {
    if (!Object.hasOwn(PIECES, name))
      throw new UserError(`no guest piece '${name}': choose from ${Object.keys(PIECES).join(', ')}`);
    console.log(`${name}=${await fetchPiece(name as PieceName)}`);
  }
  if (positionals.length > 0 && !values.modules) return;
  console.log(`kernel=${await linuxImage('linux-amd64')}`);
  const modules = values.modules?.split(',').filter(Boolean) ?? [];
  console.log(`initrd=${await initrdImage({ modules, gzip: values.gzip })}`);
  console.log(`bios=${await biosFile('bios-256k.bin')}`);
  console.log(`vgabios=${await biosFile('vgabios-stdvga.bin')}`);
}

main().catch((error: unknown) => {
  if (!(error instanceof UserError || (error instanceof TypeError && 'code' in error))) throw error;
  console.error(`fetch: ${error.message}`);
  process.exitCode = 1;
});
