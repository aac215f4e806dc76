/**
 * `npm run guest:debian [-- [--in-guest] [FILE]]`: makes a Debian 12 disk in the cache, once, and FILE as a disk on top of a
 * copy of it. Prints how to start it.
 */
import { copyFileSync, existsSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { UserError } from '../../src/base/errors.js';
import { debianDisk } from './debian-disk.js';

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { 'in-guest': { type: 'boolean', default: false } },
  });
  const [file] = positionals;
  if (file !== undefined && existsSync(file)) {
    throw new UserError(`'${file}' is there already: remove it, or give another name`);
  }
  const base = await debianDisk({
    inGuest: values['in-guest'],
    step: (text) => console.error(`tinamou: ${text}`),
  });
  if (file !== undefined) copyFileSync(base, file);
  console.error('tinamou: a Debian 12 disk; log in as root, without a password. Start it with');
  console.log(
    `bin/tinamou-system-x86_64.js -cpu max -m 512 -nographic -drive file=${file ?? base},if=virtio,format=qcow2`,
  );
}

main().catch((error: unknown) => {
  if (!(error instanceof UserError || (error instanceof TypeError && 'code' in error))) throw error;
  console.error(`guest:debian: ${error.message}`);
  process.exitCode = 1;
});
