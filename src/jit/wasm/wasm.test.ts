import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bytes } from './bytes.js';
import { type FunctionType, ModuleWriter } from './module.js';
import { ValType, VOID, W } from './opcodes.js';
import { functionText } from './text.js';

const I64_TO_I64: FunctionType = { params: ['i64'], results: ['i64'] };

function instantiate(
  bytes: Uint8Array,
  imports: WebAssembly.Imports = {},
): Record<string, WebAssembly.ExportedFunction> {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), { env: { memory }, ...imports });
  return instance.exports as Record<string, WebAssembly.ExportedFunction>;
}

test('64-bit constants survive their encoding', () => {
  for (const value of [
    0n,
    1n,
    -1n,
    63n,
    64n,
    -64n,
    -65n,
    0x7fffffffn,
    0x80000000n,
    -0x80000000n,
    2n ** 62n,
    -(2n ** 63n),
  ]) {
    const body = new Bytes(16);
    body.u8(0); // no locals
    body.u8(W.i64Const);
    body.sleb64(Number(BigInt.asIntN(32, value)), Number(BigInt.asIntN(32, value >> 32n)));
    body.u8(W.end);
    const writer = new ModuleWriter();
    writer.addFunction(I64_TO_I64, body);
    assert.equal(instantiate(writer.finish())['0']?.(0n), value);
  }
});

test('32-bit integers survive their encodings', () => {
  for (const value of [0, 1, -1, 63, 64, -64, -65, 8191, 8192, 0x7fffffff, -0x80000000]) {
    const b = new Bytes(1);
    b.sleb(value);
    const wide = new Bytes(1);
    wide.sleb64(value, value >> 31);
    assert.deepEqual([...b.data.subarray(0, b.length)], [...wide.data.subarray(0, wide.length)], String(value));
  }
  const u = new Bytes(1);
  u.uleb(0xffffffff);
  assert.deepEqual([...u.data.subarray(0, u.length)], [0xff, 0xff, 0xff, 0xff, 0x0f]);
});

test('imports added while bodies are written, and text', () => {
  const writer = new ModuleWriter();
  const body = new Bytes(16);
  body.u8(1);
  body.uleb(1);
  body.u8(ValType.i64);
  body.u8(W.block);
  body.u8(VOID);
  body.u8(W.localGet);
  body.uleb(0);
  body.u8(W.call);
  body.uleb(writer.importFunction('h', 'twice', I64_TO_I64));
  body.u8(W.localSet);
  body.uleb(1);
  body.u8(W.end);
  body.u8(W.localGet);
  body.uleb(1);
  body.u8(W.end);
  writer.addFunction(I64_TO_I64, body);
  const { 0: f } = instantiate(writer.finish(), { h: { twice: (x: bigint) => x * 2n } });
  assert.equal(f?.(21n), 42n);
  assert.equal(
    functionText(body.data.subarray(0, body.length), (i) => writer.importNames()[i] ?? ''),
    '(local 1 x i64)\nblock\n  local.get $0\n  call $twice\n  local.set $1\nend\nlocal.get $1\nend\n',
  );
});
