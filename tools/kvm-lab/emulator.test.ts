import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostProcessor, labAccelerator } from './emulator.js';

test('several processors of a lab have a thread each only where QEMU can do it', () => {
  const debian12 = 'QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)\nCopyright (c) 2003-2022';
  assert.equal(labAccelerator(debian12, 2), 'tcg,thread=single');
  assert.equal(labAccelerator(debian12, 1), 'tcg');
  assert.equal(labAccelerator('QEMU emulator version 8.0.5', 2), 'tcg,thread=single');
  assert.equal(labAccelerator('QEMU emulator version 8.1.0 (v8.1.0)', 2), 'tcg');
  assert.equal(labAccelerator('QEMU emulator version 10.0.2', 2), 'tcg');
  assert.equal(labAccelerator('something else', 2), 'tcg,thread=single');
});

test('a lab keeps to one of the processors that it may use', () => {
  assert.equal(hostProcessor('0-1', 7), 1);
  assert.equal(hostProcessor('3', 7), 3);
  assert.deepEqual(
    [0, 1, 2, 3, 4].map((any) => hostProcessor('0,4-5,9', any)),
    [0, 4, 5, 9, 0],
  );
});
