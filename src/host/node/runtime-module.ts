/** The compiled runtime, as the build leaves it. */
import { readFileSync } from 'node:fs';
import { UserError } from '../../base/errors.js';
import { tuneEngine } from './engine-flags.js';
import { packageFile } from './package-files.js';

let loaded: WebAssembly.Module | undefined;

/** `translates`: it is to run code that is made while the guest runs, too. */
export function runtimeModule(translates = true): WebAssembly.Module {
  if (translates) tuneEngine();
  if (loaded === undefined) {
    let bytes: Uint8Array;
    try {
      bytes = readFileSync(packageFile('dist/runtime/x86.wasm'));
    } catch {
      throw new UserError('the runtime module is missing: run `npm run build`');
    }
    loaded = new WebAssembly.Module(bytes);
  }
  return loaded;
}
