import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeProperties, parseInteger, parseProperties, parseSize, prop } from './property.js';

const SPECS = {
  iobase: prop.uint32(0x3f8, 'first port'),
  wakeup: prop.bool(false, 'may wake the machine'),
  mode: prop.enumeration(['fast', 'slow'], 'fast', 'how it goes'),
  ram: prop.size(16 * 2 ** 20, 'its memory'),
  drive: prop.drive('the drive'),
};

test('text becomes typed values over defaults', () => {
  const values = parseProperties('thing', SPECS, { iobase: '0x2f8', wakeup: 'on', mode: 'slow', ram: '1.5M' });
  assert.deepEqual(values, { iobase: 0x2f8, wakeup: true, mode: 'slow', ram: 1.5 * 2 ** 20, drive: '' });
});

for (const [given, message] of [
  [{ toString: '1' }, "Property 'thing.toString' not found"],
  [{ iobase: 'x' }, "Parameter 'iobase' expects uint32"],
  [{ iobase: '-1' }, "Property 'iobase' doesn't take value -1 (minimum: 0, maximum: 4294967295)"],
  [{ wakeup: 'maybe' }, "Parameter 'wakeup' expects 'on' or 'off'"],
  [{ mode: 'x' }, "Property 'mode' doesn't take value 'x' (one of: fast, slow)"],
] as const) {
  test(`wrong: ${message}`, () => {
    assert.throws(() => parseProperties('thing', SPECS, given as Record<string, string>), {
      name: 'UserError',
      message,
    });
  });
}

test('numbers and sizes as QEMU writes them', () => {
  assert.deepEqual(['10', '0x10', '010', '-5', '1x', ''].map(parseInteger), [10, 16, 8, -5, undefined, undefined]);
  assert.deepEqual(['512', '1k', '2G', '0x20', '3q', 'k'].map(parseSize), [
    512,
    1024,
    2 ** 31,
    32,
    undefined,
    undefined,
  ]);
});

test('help has a line for each, sorted, with type and default', () => {
  assert.deepEqual(describeProperties(SPECS).slice(0, 2), [
    '  drive=<str>            - the drive',
    '  iobase=<uint32>        - first port (default: 1016)',
  ]);
});
