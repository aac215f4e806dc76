/** Where firmware images are: folders the user named, what `npm start` fetched, and the system's own. */
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** Where fetched guests and firmware are kept: $TINAMOU_CACHE, else the user's cache directory. */
export function cacheFolder(): string {
  const chosen = process.env['TINAMOU_CACHE'];
  if (chosen) return chosen;
  return join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'tinamou');
}

const SYSTEM_FOLDERS = ['/usr/share/seabios', '/usr/share/qemu', '/usr/local/share/qemu'];

/** Where images are looked for, `first` before all others. */
export const dataFolders = (first: readonly string[] = []): readonly string[] => [
  ...first,
  join(cacheFolder(), 'seabios/usr/share/seabios'),
  ...SYSTEM_FOLDERS,
];

/** The image called `name`, from the first folder that has it; null when there is none. */
export function findDataFile(name: string, folders: readonly string[] = []): Uint8Array | null {
  for (const folder of dataFolders(folders)) {
    const path = join(folder, name);
    if (existsSync(path)) return readFileSync(path);
  }
  return null;
}
