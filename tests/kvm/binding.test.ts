/** The binding as programs get it: from the package's name, and in a browser, which has nothing of Node.js. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { createContext, Script } from 'node:vm';
import { build } from 'esbuild';
import { packageFile } from '../../src/host/node/package-files.js';
import { skip } from './rig.js';

const HELLO = 'KVM interface version 12\nHello from a guest!\nhalted at 100f\n';

test("programs import the three levels, errors and the software from 'tinamou/kvm'", async () => {
  // Its types are those of the source; the name is resolved by the package's exports, as for a user.
  const name = 'tinamou/kvm';
  const binding: typeof import('../../src/app/lib/kvm-binding.js') = await import(name);
  const kvm = binding.softwareKvm();
  assert.equal(kvm.apiVersion, 12);
  assert.throws(
    () => kvm.createVm().createIrqchip(),
    (error) => error instanceof binding.KvmError && error.call === 'KVM_CREATE_IRQCHIP' && error.errnoName === 'ENOTTY',
  );
  for (const level of [binding.Kvm, binding.KvmVm, binding.KvmVcpu]) assert.equal(typeof level, 'function');
  assert.ok(readFileSync(packageFile('dist/src/app/lib/kvm-binding.d.ts'), 'utf8').includes('KvmSystem'));
  assert.ok(import.meta.resolve('tinamou/kvm/software').endsWith('/software/kvm.js'));
  assert.ok(WebAssembly.validate(readFileSync(new URL(import.meta.resolve('tinamou/runtime/x86.wasm')))));
});

function example(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const path = packageFile('dist/examples/kvm-hello.js').pathname;
  return spawnSync(process.execPath, [path, ...args], { encoding: 'utf8' });
}

test('the first program runs on /dev/kvm, or says in one line why not', () => {
  const { status, stdout, stderr } = example();
  if (skip === false) assert.deepEqual([status, stdout, stderr], [0, HELLO, '']);
  else {
    assert.equal(status, 1);
    assert.match(stderr, /^could not use KVM: [^\n]+ \(or run this with 'software'\)\n$/);
  }
});

test('the first program runs in software', () => {
  const { status, stdout, stderr } = example('software');
  assert.deepEqual([status, stdout, stderr], [0, HELLO, '']);
});

test('the first program runs where there is what a browser has, and no more', async () => {
  const { outputFiles } = await build({
    entryPoints: [packageFile('dist/examples/browser/hello.js').pathname],
    bundle: true,
    write: false,
    platform: 'browser',
    format: 'iife',
    globalName: 'example',
  });
  let said = '';
  const page = createContext({
    ...{ WebAssembly, SharedArrayBuffer, performance, TextEncoder, TextDecoder, setTimeout, queueMicrotask },
    runtime: new WebAssembly.Module(readFileSync(packageFile('dist/runtime/x86.wasm'))),
    print: (text: string) => {
      said += text;
    },
  });
  new Script(`${outputFiles[0]!.text}; example.run(runtime, print)`).runInContext(page);
  assert.equal(said, HELLO);
});
