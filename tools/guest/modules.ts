/** Kernel modules from an unpacked package: found by name, in the order in which they must be loaded. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { UserError } from '../../src/base/errors.js';

export interface KernelModule {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** Module names treat - and _ as one. */
const canonical = (name: string): string => name.replaceAll('-', '_');

/** `key=value` strings of the .modinfo section, found by scanning: they are NUL-terminated and their keys are unique enough. */
function modinfo(bytes: Uint8Array, key: 'depends' | 'softdep'): string | undefined {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const at = buffer.indexOf(`\0${key}=`);
  if (at < 0) return undefined;
  const start = at + key.length + 2;
  return buffer.toString('latin1', start, buffer.indexOf(0, start));
}

/** The named modules and all they need, dependencies first; names of what is built into the kernel are left out. */
export function collectModules(folder: string, names: readonly string[]): KernelModule[] {
  const paths = new Map<string, string>();
  for (const f of readdirSync(folder, { withFileTypes: true, recursive: true })) {
    if (f.isFile() && f.name.endsWith('.ko')) paths.set(canonical(basename(f.name, '.ko')), join(f.parentPath, f.name));
  }
  const builtinList = join(folder, 'modules.builtin');
  const builtin = new Set(
    existsSync(builtinList)
      ? readFileSync(builtinList, 'utf8')
          .split('\n')
          .map((l) => canonical(basename(l, '.ko')))
      : [],
  );
  const out = new Map<string, KernelModule>();
  const add = (wanted: string, optional: boolean): void => {
    const name = canonical(wanted);
    if (out.has(name) || builtin.has(name)) return;
    const path = paths.get(name);
    if (!path) {
      if (optional) return;
      throw new UserError(`the guest's kernel has no module '${wanted}': check the name`);
    }
    const bytes = readFileSync(path);
    for (const d of (modinfo(bytes, 'depends') ?? '').split(',').filter(Boolean)) add(d, false);
    const soft = /pre: ([^:]*?)(?= \w+:|$)/.exec(modinfo(bytes, 'softdep') ?? '')?.[1] ?? '';
    for (const d of soft.split(' ').filter(Boolean)) add(d, true);
    out.set(name, { name, bytes });
  };
  for (const n of names) add(n, false);
  return [...out.values()];
}
