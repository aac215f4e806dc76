/** koffi, the optional package that calls the C library. Loaded on the first use. */
import { createRequire } from 'node:module';

export type Koffi = typeof import('koffi');

let loaded: Koffi | null | undefined;

/** Null where it is not installed. */
export function loadKoffi(): Koffi | null {
  if (loaded === undefined) loaded = load();
  return loaded;
}

function load(): Koffi | null {
  const require = createRequire(import.meta.url);
  // Its native part alone is all that we use, and is there in a third of the time. A C library of another kind refuses it.
  const { platform, arch } = process;
  for (const name of [`@koromix/koffi-${platform}-${arch}/${platform}_${arch}/koffi.node`, 'koffi']) {
    try {
      return require(name) as Koffi;
    } catch {
      // The next one, or none.
    }
  }
  return null;
}
