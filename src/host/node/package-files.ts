/** Files of our own package, wherever the code that asks has been put: a module of its own, or part of a bundled command. */
import { existsSync } from 'node:fs';

let root: URL | undefined;

/** `path`: from the package's folder. */
export function packageFile(path: string): URL {
  root ??= packageRoot();
  return new URL(path, root);
}

/** The nearest folder above with a package.json; a program that bundles us without one has none of the other files either. */
function packageRoot(): URL {
  let folder = new URL('.', import.meta.url);
  for (;;) {
    if (existsSync(new URL('package.json', folder))) return folder;
    const above = new URL('..', folder);
    if (above.href === folder.href) return new URL('.', import.meta.url);
    folder = above;
  }
}
