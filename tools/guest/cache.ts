/** Where fetched guests live: $TINAMOU_CACHE, else the user's cache directory. */
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { UserError } from '../../src/base/errors.js';
import { cacheFolder } from '../../src/host/node/data-files.js';

export { cacheFolder };

/**
 * The folder or file `name` in the cache, made by `make(temporary path)` when it is not there yet. It appears under its name
 * all at once or not at all; whoever comes second uses what the first made.
 */
export async function cached(name: string, make: (path: string) => Promise<void> | void): Promise<string> {
  const path = join(cacheFolder(), name);
  if (existsSync(path)) return path;
  let folder: string;
  try {
    makeFolder(dirname(path));
    folder = mkdtempSync(join(cacheFolder(), '.new-'));
  } catch (error) {
    throw new UserError(`cannot write to the cache folder ${cacheFolder()} (${reason(error)}): set TINAMOU_CACHE`);
  }
  const drop = (): void => rmSync(folder, { recursive: true, force: true });
  const interrupted = (): void => {
    drop();
    process.exit(130);
  };
  process.once('SIGINT', interrupted);
  process.once('SIGTERM', interrupted);
  try {
    const made = join(folder, 'made');
    await make(made);
    try {
      renameSync(made, path);
    } catch (error) {
      if (!existsSync(path)) throw error;
    }
    return path;
  } finally {
    process.off('SIGINT', interrupted);
    process.off('SIGTERM', interrupted);
    drop();
  }
}

export const reason = (error: unknown): string =>
  error instanceof Error && 'code' in error ? String(error.code) : String(error);

/** Like mkdir -p. Node's own does not come back where a folder takes no entries and says so by ENOENT, as /proc does. */
function makeFolder(path: string): void {
  if (existsSync(path)) return;
  const parent = dirname(path);
  if (parent !== path) makeFolder(parent);
  try {
    mkdirSync(path);
  } catch (error) {
    // Someone else may have made it meanwhile.
    if (!existsSync(path)) throw error;
  }
}
