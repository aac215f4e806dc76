import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bug } from '../base/errors.js';
import { defineRegisters, RegisterFile } from './register-map.js';

const TABLE = defineRegisters(12, [
  { name: 'STATUS', at: 0, size: 2, reset: 0x0810, w1c: 0xf000, ro: 0x0fff },
  { name: 'CONTROL', at: 2, size: 1, reset: 0x03, rsvd: 0xf0 },
  { name: 'DATA', at: 4, size: 4, reset: 0x11223344 },
  { name: 'ID', at: 8, size: 2, reset: 0xbeef, ro: 0xffff },
]);

test('accesses of any width, also across registers and gaps', () => {
  const file = new RegisterFile(TABLE);
  assert.equal(file.read(4, 4), 0x11223344);
  assert.equal(file.read(5, 1), 0x33);
  assert.equal(file.read(6, 4), 0xbeef1122);
  assert.equal(file.read(1, 4), 0x44000308);
  file.write(5, 2, 0xaabb);
  assert.equal(file.get('DATA'), 0x11aabb44);
  file.write(6, 4, 0x12345678);
  assert.equal(file.get('DATA'), 0x5678bb44);
  assert.equal(file.get('ID'), 0xbeef, 'read only');
  assert.equal(file.read(10, 2), 0, 'no register');
});

test('write one to clear, reserved bits, reset', () => {
  const file = new RegisterFile(TABLE);
  file.set('STATUS', 0xf810);
  file.write(0, 2, 0x5fff);
  assert.equal(file.get('STATUS'), 0xa810);
  file.write(1, 1, 0x80);
  assert.equal(file.get('STATUS'), 0x2810);
  file.write(0, 1, 0xff);
  assert.equal(file.get('STATUS'), 0x2810, 'the byte with the w1c bits was not written');
  file.write(2, 1, 0xff);
  assert.equal(file.read(2, 1), 0x0f);
  file.reset();
  assert.equal(file.get('STATUS'), 0x0810);
  assert.equal(file.get('CONTROL'), 3);
});

test('hooks run once per access and register, with what the guest wrote', () => {
  const log: string[] = [];
  const file = new RegisterFile(TABLE, {
    read: {
      DATA: (stored) => {
        log.push('read');
        return stored + 1;
      },
    },
    written: {
      DATA: (value, previous, written, lanes) =>
        log.push([value, previous, written, lanes].map((n) => n.toString(16)).join(' ')),
    },
  });
  assert.equal(file.read(4, 4), 0x11223345);
  file.write(6, 2, 0xffff);
  assert.deepEqual(log, ['read', 'ffff3344 11223344 ffff0000 ffff0000']);
});

test('state goes through save and load', () => {
  const file = new RegisterFile(TABLE);
  file.write(4, 4, 7);
  const saved = file.save();
  file.reset();
  const { bytes } = file;
  file.load(saved);
  assert.equal(file.get('DATA'), 7);
  assert.equal(file.bytes, bytes, 'views stay valid');
});

test('a table with a mistake is a bug', () => {
  assert.throws(
    () =>
      defineRegisters(4, [
        { name: 'A', at: 0, size: 2 },
        { name: 'B', at: 1, size: 1 },
      ]),
    Bug,
  );
  assert.throws(() => defineRegisters(2, [{ name: 'A', at: 0, size: 4 }]), Bug);
  assert.throws(() => defineRegisters(1, [{ name: 'A', at: 0, size: 1, ro: 1, w1c: 1 }]), Bug);
});
