/** The form of saved machines: what is written is read, and nothing else gets through. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crc32 } from 'node:zlib';
import { putU32 } from '../../base/bytes.js';
import { UserError } from '../../base/errors.js';
import type { StateValue } from '../state.js';
import { randomNumbers } from '../testing/conformance.js';
import { readDescription, readRam, type StateSink, type StateSource, writeState } from './layout.js';
import { mapBytes, PAGE, type RamBlock, runsOf, usedChunks, zeroOutside } from './ram-pages.js';
import { decodeValue, encodeValue } from './value-codec.js';

const VALUES: StateValue = {
  numbers: [
    0,
    -1,
    2 ** 31 - 1,
    -(2 ** 31),
    2 ** 31,
    0.5,
    -0,
    1e300,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
  ],
  wide: [0n, 1n, -1n, 2n ** 64n - 1n, -(2n ** 63n)],
  flags: [true, false],
  text: 'a text with ü, 漢 and \0',
  arrays: [Uint8Array.of(1, 2, 3), Uint16Array.of(1, 0xffff), Uint32Array.of(7, 0xffff_ffff), new Uint8Array()],
  nested: [{ a: { b: { c: [] } } }, {}],
};

test('values come back as they were', () => {
  assert.deepEqual(decodeValue(encodeValue(VALUES)), VALUES);
  assert.ok(Object.is((decodeValue(encodeValue([-0])) as number[])[0], -0));
});

test('a value that is cut off, or has something behind it, is refused', () => {
  const bytes = encodeValue(VALUES);
  for (let length = 0; length < bytes.length; length++) {
    assert.throws(() => decodeValue(bytes.subarray(0, length)), UserError, `${length} bytes`);
  }
  assert.throws(() => decodeValue(Uint8Array.of(...bytes, 0)), /something follows/);
});

test('values that would need much more room than they take, or nest without end, are refused', () => {
  const many = new Uint8Array(5 + (2 << 20));
  many[0] = 10;
  putU32(many, 1, 2 << 20);
  assert.throws(() => decodeValue(many), /too many values/);
  const deep = new Uint8Array(5000);
  for (let i = 0; i < deep.length; i += 5) deep.set([10, 1, 0, 0, 0], i);
  assert.throws(() => decodeValue(deep), /nested too deep/);
  const claims = Uint8Array.of(9, 0xff, 0xff, 0xff, 0xff);
  assert.throws(() => decodeValue(claims), /cut off/);
  const prototype = encodeValue(JSON.parse('{"__proto__": 1}') as StateValue);
  assert.throws(() => decodeValue(prototype), /__proto__/);
});

test('random bytes give values or a UserError', () => {
  const random = randomNumbers(5);
  for (let round = 0; round < 3000; round++) {
    const bytes = Uint8Array.from({ length: random() % 60 }, () => (random() & 1 ? random() % 12 : random()));
    try {
      decodeValue(bytes);
    } catch (error) {
      assert.ok(error instanceof UserError, String(error));
    }
  }
});

function block(name: string, bytes: Uint8Array): RamBlock & { untouched: boolean } {
  const findPage: RamBlock['findPage'] = (from, end, used) => {
    const isUsed = (page: number): boolean => bytes.subarray(page * PAGE, (page + 1) * PAGE).some((byte) => byte !== 0);
    for (let page = from; page < end; page++) if (isUsed(page) === used) return page;
    return end;
  };
  const checksum: RamBlock['checksum'] = (from, end, sum) => crc32(bytes.subarray(from * PAGE, end * PAGE), sum);
  return { name, bytes, findPage, checksum, untouched: false };
}

const contents = (blocks: readonly RamBlock[]): unknown => blocks.map(({ name, bytes }) => ({ name, bytes }));

/** Memory with some pages in use. */
function memory(): ReturnType<typeof block>[] {
  const ram = new Uint8Array(600 * PAGE);
  const random = randomNumbers(9);
  for (const page of [0, 1, 2, 7, 300, 301, 599]) ram.fill((random() & 0xff) | 1, page * PAGE + 5, (page + 1) * PAGE);
  for (let page = 310; page < 590; page++) ram[page * PAGE + (random() % PAGE)] = 1;
  const rom = new Uint8Array(PAGE).fill(0xf4);
  return [block('ram', ram), block('empty', new Uint8Array(4 * PAGE)), block('rom', rom)];
}

async function saved(anywhere = true): Promise<Uint8Array> {
  const parts: { position: number; bytes: Uint8Array }[] = [];
  let end = 0;
  let underWay = 0;
  const sink: StateSink = {
    anywhere,
    async write(position, views) {
      if (!anywhere) assert.equal(position, end);
      assert.equal(underWay++, 0, 'one write at a time');
      await new Promise((resolve) => setImmediate(resolve));
      underWay--;
      const bytes = Buffer.concat(views);
      parts.push({ position, bytes });
      end = Math.max(end, position + bytes.length);
    },
  };
  const progress: number[] = [];
  const { total, ram } = await writeState(sink, VALUES, memory(), crc32, (done) => progress.push(done));
  const bytes = new Uint8Array(end);
  for (const part of parts) bytes.set(part.bytes, part.position);
  assert.equal(bytes.length, total);
  assert.equal(progress.at(-1), ram);
  assert.equal(ram, (7 + 280 + 1) * PAGE);
  return bytes;
}

function source(bytes: Uint8Array, known: boolean): StateSource {
  let at = 0;
  return {
    ...(known && { length: bytes.length }),
    async read(views) {
      for (const view of views) {
        if (at + view.length > bytes.length) throw new UserError('the saved state is broken: cut off');
        view.set(bytes.subarray(at, at + view.length));
        at += view.length;
      }
    },
  };
}

async function load(
  bytes: Uint8Array,
  known = true,
): Promise<{ machine: StateValue; blocks: ReturnType<typeof memory> }> {
  const from = source(bytes, known);
  const description = await readDescription(from, crc32);
  const blocks = memory();
  for (const { bytes: own } of blocks) own.fill(0xaa, own.length / 2);
  await readRam(from, description, blocks, crc32);
  return { machine: description.machine, blocks };
}

test('where bytes go to a pipe they are the same as in a file', async () => {
  assert.deepEqual(await saved(false), await saved(true));
});

test('nothing is written behind what could not be written', async () => {
  for (const anywhere of [true, false]) {
    const places: number[] = [];
    const sink: StateSink = {
      anywhere,
      async write(position) {
        places.push(position);
        if (position > 0) throw new UserError('no space');
      },
    };
    await assert.rejects(writeState(sink, VALUES, memory(), crc32), /no space/);
    assert.equal(places.filter((place) => place > 0).length, 1);
  }
});

test('a machine comes back as it was, into memory that holds something else', async () => {
  const bytes = await saved();
  for (const known of [true, false]) {
    const { machine, blocks } = await load(bytes, known);
    assert.deepEqual(machine, VALUES);
    assert.deepEqual(contents(blocks), contents(memory()));
  }
});

test('pages lie in a file at multiples of their size', async () => {
  const bytes = await saved();
  assert.equal(bytes.length % PAGE, 0);
  const ram = memory()[0]!.bytes;
  const first = bytes.length - 289 * PAGE;
  assert.deepEqual(Buffer.from(bytes.subarray(first, first + 3 * PAGE)), Buffer.from(ram.subarray(0, 3 * PAGE)));
});

test('what is cut off is refused before anything is read into memory, where the length is known', async () => {
  const bytes = await saved();
  for (let length = 0; length < bytes.length; length += 509) {
    await assert.rejects(readDescription(source(bytes.subarray(0, length), true), crc32), UserError, `${length}`);
  }
  for (let length = 0; length < bytes.length; length += 20_011) {
    await assert.rejects(load(bytes.subarray(0, length), false), UserError, `${length}`);
  }
});

test('every flipped bit is found', async () => {
  const bytes = await saved();
  const random = randomNumbers(3);
  const head = bytes.length - 289 * PAGE;
  const places = [
    ...Array.from({ length: 24 * 8 }, (_, bit) => bit),
    ...Array.from({ length: 600 }, () => random() % (24 * 8 + 700 * 8)),
    ...Array.from({ length: 100 }, () => 8 * head + (random() % (8 * (bytes.length - head)))),
  ];
  let found = 0;
  for (const bit of places) {
    const broken = bytes.slice();
    broken[bit >> 3]! ^= 1 << (bit & 7);
    const result = await load(broken).then(
      () => 'loaded',
      (error: unknown) => error,
    );
    // The padding says nothing.
    if (result === 'loaded') assert.deepEqual(contents((await load(broken)).blocks), contents(memory()));
    else {
      assert.ok(result instanceof UserError, String(result));
      found++;
    }
  }
  assert.ok(found > 700, `${found} of ${places.length}`);
});

test('a newer format, an older one, and something else altogether, are named', async () => {
  const newer = await saved();
  putU32(newer, 8, 4);
  putU32(newer, 20, crc32(newer.subarray(0, 20)));
  await assert.rejects(load(newer), /format 4, newer than 3, the newest known here: use a newer Tinamou/);
  putU32(newer, 8, 1);
  putU32(newer, 20, crc32(newer.subarray(0, 20)));
  await assert.rejects(load(newer), /format 1, older than 3, the only one known here: save the machine anew/);
  await assert.rejects(load(new Uint8Array(5000).fill(0x51)), /not a saved machine/);
});

test('pages in use are found in chunks, and maps say which they are', () => {
  const bytes = new Uint8Array(1211 * PAGE);
  const of = (): { map: Uint8Array; runs: number[] } => {
    const map = new Uint8Array(mapBytes(bytes.length));
    return { map, runs: [...usedChunks(block('', bytes), map)].flatMap((chunk) => chunk.runs) };
  };
  const none = of();
  assert.deepEqual(none.runs, []);
  assert.deepEqual(runsOf(none.map, 1211), new Uint32Array());
  bytes[0] = bytes[3 * PAGE + 17] = bytes[5 * PAGE - 1] = 1;
  bytes[bytes.length - 1] = 1;
  bytes.fill(1, 100 * PAGE, 1100 * PAGE);
  const { map, runs } = of();
  // A chunk has 512 pages.
  assert.deepEqual(runs, [0, 1, 3, 2, 100, 509, 609, 491, 1210, 1]);
  assert.deepEqual([...runsOf(map, 1211)!], [0, 1, 3, 2, 100, 1000, 1210, 1]);
  assert.equal(runsOf(map, 1210), undefined);
  assert.deepEqual([...runsOf(Uint8Array.of(0xff, 0xff), 16)!], [0, 16]);
  assert.equal(runsOf(Uint8Array.of(0xff, 0xff), 15), undefined);
  assert.deepEqual([...runsOf(Uint8Array.of(0x80, 0x01), 16)!], [7, 2]);
});

test('pages that are not stored become zero, the others stay', () => {
  const bytes = new Uint8Array(6 * PAGE).fill(1);
  zeroOutside(block('', bytes), Uint32Array.of(1, 2, 5, 1));
  const used = (page: number): boolean => bytes.subarray(page * PAGE, (page + 1) * PAGE).some((byte) => byte !== 0);
  assert.deepEqual([0, 1, 2, 3, 4, 5].map(used), [false, true, true, false, false, true]);
});
