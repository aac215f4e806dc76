import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { LAYERS } from './layers.js';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');

function sources(): string[] {
  return readdirSync(join(root, 'src'), { withFileTypes: true, recursive: true })
    .filter((f) => f.isFile() && f.name.endsWith('.ts') && !f.name.endsWith('.d.ts'))
    .map((f) => relative(root, join(f.parentPath, f.name)))
    .filter((f) => !f.startsWith('src/runtime/') && !f.endsWith('.test.ts') && !f.includes('/testing/'));
}

/** Relative imports of a file, as paths of source files; `type` ones left out when `values` is set. */
function imports(file: string, values: boolean): string[] {
  const text = readFileSync(join(root, file), 'utf8');
  const found: string[] = [];
  for (const m of text.matchAll(/^(?:import|export)\s+(type\s)?[^'";]*?(?:from\s+)?'(\.[^']+)'/gm)) {
    if (values && m[1]) continue;
    found.push(relative(root, resolve(root, dirname(file), (m[2] as string).replace(/\.js$/, '.ts'))));
  }
  return found;
}

test('every folder of src/ imports only what the table allows', () => {
  const wrong: string[] = [];
  for (const file of sources()) {
    const layer = file.split('/')[1] as string;
    const allowed = LAYERS[layer];
    assert.ok(allowed, `src/${layer} is not in the table of layers`);
    for (const to of imports(file, false)) {
      const [top, other] = to.split('/') as [string, string];
      if (top !== 'src' || (other !== layer && !allowed.includes(other))) wrong.push(`${file} imports ${to}`);
    }
  }
  assert.deepEqual(wrong, []);
});

test('the table of layers has no cycle', () => {
  const done = new Set<string>();
  const visit = (layer: string, path: readonly string[]): void => {
    assert.ok(!path.includes(layer), `cycle: ${[...path, layer].join(' -> ')}`);
    if (done.has(layer)) return;
    for (const next of LAYERS[layer] ?? []) visit(next, [...path, layer]);
    done.add(layer);
  };
  for (const layer of Object.keys(LAYERS)) visit(layer, []);
  assert.equal(done.size, Object.keys(LAYERS).length);
});

test('no file imports itself by way of others', () => {
  const graph = new Map(sources().map((f) => [f, imports(f, true)]));
  const state = new Map<string, 'open' | 'done'>();
  const visit = (file: string, path: readonly string[]): void => {
    if (state.get(file) === 'done') return;
    assert.notEqual(state.get(file), 'open', `cycle: ${[...path.slice(path.indexOf(file)), file].join(' -> ')}`);
    state.set(file, 'open');
    for (const next of graph.get(file) ?? []) visit(next, [...path, file]);
    state.set(file, 'done');
  };
  for (const file of graph.keys()) visit(file, []);
  assert.equal(state.size > 50, true);
});
