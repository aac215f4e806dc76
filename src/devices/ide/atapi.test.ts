import assert from 'node:assert/strict';
import { test } from 'node:test';
import { getU16 } from '../../base/bytes.js';
import { Drive } from '../../block/drive.js';
import { MemoryNode } from '../../block/memory.js';
import { AtapiCdrom } from './atapi.js';
import { getBe16, getBe32 } from './mmc.js';
import { IdeBench } from './testing/ide-bench.js';

const SECTORS = 300;
const OPTIONS = { vendor: 'TEST', model: 'TEST DVD', serial: 'T2', firmware: '1.0' };

function disc(): MemoryNode {
  const bytes = Uint8Array.from({ length: SECTORS * 2048 }, (_, i) => (i >> 11) + i * 3);
  return MemoryNode.of(bytes, true);
}

function bench(node: MemoryNode | null = disc()) {
  const drive = new Drive(node, { id: 'cd0' });
  const cd = new AtapiCdrom(drive, OPTIONS);
  const ide = new IdeBench(cd);
  /** Sends a packet; the reply, if any, comes in PIO blocks of at most `limit` bytes. */
  const packet = (bytes: readonly number[], limit = 0xfffe, features = 0) => {
    ide.issue(0xa0, { features, mid: limit & 0xff, high: limit >> 8 });
    assert.equal(ide.alternateStatus() & 0x89, 0x08);
    assert.equal(ide.get(2) & 3, 1);
    ide.writePio(Uint8Array.from({ length: 12 }, (_, i) => bytes[i] ?? 0));
  };
  const blocks: number[] = [];
  const data = (): Uint8Array => {
    const out: number[] = [];
    blocks.length = 0;
    while (ide.get(7) & 8) {
      assert.equal(ide.get(2) & 3, 2);
      const n = ide.get(4) | (ide.get(5) << 8);
      blocks.push(n);
      out.push(...ide.readPio(n + (n & 1)).subarray(0, n));
    }
    assert.equal(ide.get(2) & 3, 3);
    return Uint8Array.from(out);
  };
  return {
    ide,
    cd,
    drive,
    packet,
    data,
    blocks,
    ask(bytes: readonly number[], limit?: number): Uint8Array {
      packet(bytes, limit);
      assert.equal(ide.alternateStatus() & 1, 0, 'CHECK CONDITION');
      return data();
    },
    /** Sense of a command that must fail. */
    sense(bytes: readonly number[]): number[] {
      packet(bytes);
      assert.equal(ide.get(7) & 0x89, 1);
      const key = ide.get(1) >> 4;
      packet([0x03, 0, 0, 0, 18]);
      const reply = data();
      assert.equal(reply[2], key);
      return [key, reply[12]!, reply[13]!];
    },
  };
}

const read10 = (lba: number, count: number) => [0x28, 0, lba >> 24, lba >> 16, lba >> 8, lba, 0, count >> 8, count];
const contents = (node: MemoryNode, lba: number, count: number) => {
  const into = new Uint8Array(count * 2048);
  node.read(lba * 2048, into);
  return into;
};

test('signature, IDENTIFY PACKET DEVICE, and IDENTIFY DEVICE that aborts', () => {
  const { ide } = bench();
  assert.deepEqual([1, 2, 3, 4, 5].map(ide.get), [1, 1, 1, 0x14, 0xeb]);
  assert.equal(ide.get(7), 0);
  ide.issue(0xec, {});
  assert.equal(ide.get(7) & 1, 1);
  assert.deepEqual([ide.get(4), ide.get(5)], [0x14, 0xeb]);
  ide.issue(0xa1, {});
  assert.equal(getU16(ide.readPio(512), 0), 0x85c0);
  assert.equal(ide.get(7) & 8, 0);
});

test('INQUIRY and READ CAPACITY, cut to what the host has room for', () => {
  const { ask } = bench();
  const inquiry = ask([0x12, 0, 0, 0, 36]);
  assert.equal(inquiry.length, 36);
  assert.deepEqual([inquiry[0], inquiry[1]], [5, 0x80]);
  assert.equal(String.fromCharCode(...inquiry.subarray(8, 24)), 'TEST    TEST DVD');
  assert.equal(ask([0x12, 0, 0, 0, 5]).length, 5);
  const capacity = ask([0x25]);
  assert.deepEqual([getBe32(capacity, 0), getBe32(capacity, 4)], [SECTORS - 1, 2048]);
});

test('READ (10) by PIO in blocks of the byte count limit', () => {
  const { ask, blocks } = bench();
  assert.deepEqual(ask(read10(7, 3), 4096), contents(disc(), 7, 3));
  assert.deepEqual(blocks, [4096, 2048]);
  assert.deepEqual(ask(read10(7, 2), 1001), contents(disc(), 7, 2));
  assert.deepEqual(blocks, [1000, 1000, 1000, 1000, 96]);
});

test('READ (12) by DMA', () => {
  const { ide, packet } = bench();
  ide.describe([0x8000, 4096], [0x20000, 0]);
  packet([0xa8, 0, 0, 0, 0, 9, 0, 0, 0, 34], 0, 1);
  assert.ok(!ide.irq.level);
  ide.startDma(true);
  assert.ok(ide.irq.level);
  assert.equal(ide.masterStatus & 7, 4);
  assert.equal(ide.get(7) & 0x89, 0);
  assert.deepEqual(ide.memory.bytes.slice(0x8000, 0x9000), contents(disc(), 9, 2));
  assert.deepEqual(ide.memory.bytes.slice(0x20000, 0x30000), contents(disc(), 11, 32));
});

test('READ CD gives raw sectors with sync and header', () => {
  const { ask } = bench();
  const raw = ask([0xbe, 0, 0, 0, 0, 5, 0, 0, 2, 0xf8], 1000);
  assert.equal(raw.length, 2 * 2352);
  assert.deepEqual([...raw.subarray(2352, 2368)], [0, ...new Array(10).fill(255), 0, 0, 2, 6, 1]);
  assert.deepEqual(raw.slice(2352 + 16, 2352 + 2064), contents(disc(), 6, 1));
  assert.equal(ask([0xbe, 0, 0, 0, 0, 5, 0, 0, 2, 0x10]).length, 4096);
});

test('READ TOC: one data track and the lead-out', () => {
  const { ask, sense } = bench();
  const toc = ask([0x43, 0, 0, 0, 0, 0, 0, 0, 100]);
  assert.equal(getBe16(toc, 0), toc.length - 2);
  assert.deepEqual([toc[5], toc[6], toc[14]], [0x14, 1, 0xaa]);
  assert.equal(getBe32(toc, 16), SECTORS);
  const msf = ask([0x43, 2, 0, 0, 0, 0, 0, 0, 100]);
  assert.deepEqual([...msf.subarray(8, 12)], [0, 0, 2, 0]);
  assert.deepEqual([...msf.subarray(16, 20)], [0, 0, 6, 0]);
  assert.equal(ask([0x43, 0, 2, 0, 0, 0, 0, 0, 200]).length, 4 + 4 * 11);
  assert.deepEqual(sense([0x43, 0, 0, 0, 0, 0, 5, 0, 100]), [5, 0x24, 0]);
});

test('configuration and mode pages', () => {
  const { ask, sense } = bench();
  const configuration = ask([0x46, 0, 0, 0, 0, 0, 0, 1, 0]);
  assert.equal(getBe32(configuration, 0), configuration.length - 4);
  assert.equal(getBe16(configuration, 6), 8, 'a CD');
  assert.equal(ask([0x46, 2, 0, 3, 0, 0, 0, 1, 0]).length, 8 + 8, 'one feature');
  assert.equal(ask([0x46, 0, 0, 1, 0, 0, 0, 1, 0]).length, 8 + 12 + 8, 'from one on');
  assert.deepEqual(sense([0x46, 3, 0, 0, 0, 0, 0, 1, 0]), [5, 0x24, 0]);
  const page = ask([0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 100]);
  assert.deepEqual([getBe16(page, 0), page[8], page[9]], [page.length - 2, 0x2a, 18]);
  assert.equal(page.length, 28);
  assert.ok(ask([0x5a, 0, 0x3f, 0, 0, 0, 0, 1, 0]).length > page.length);
  assert.deepEqual(sense([0x5a, 0, 0xea]), [5, 0x39, 0]);
  assert.deepEqual(sense([0x5a, 0, 0x05]), [5, 0x24, 0]);
});

test('mistakes: range, unknown command', () => {
  const { sense } = bench();
  assert.deepEqual(sense(read10(SECTORS, 1)), [5, 0x21, 0]);
  assert.deepEqual(sense(read10(0x7fffffff, 2)), [5, 0x21, 0]);
  assert.deepEqual(sense([0xa3]), [5, 0x20, 0]);
});

test('a new medium: first unit attention, then an event, then data', () => {
  const { drive, ask, sense, packet, ide } = bench(null);
  assert.deepEqual(sense([0x00]), [2, 0x3a, 1]);
  drive.changeMedium(disc());
  const event = ask([0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8]);
  assert.deepEqual([...event.subarray(4, 6)], [2, 2]);
  assert.deepEqual(sense([0x00]), [6, 0x28, 0]);
  packet([0x00]);
  assert.equal(ide.get(7) & 1, 0);
  assert.deepEqual(ask(read10(1, 1)), contents(disc(), 1, 1));
});

test('lock, eject, close', () => {
  const { drive, cd, packet, sense, ask, ide } = bench();
  packet([0x1e, 0, 0, 0, 1]);
  assert.equal(cd.locked, true);
  assert.deepEqual(sense([0x1b, 0, 0, 0, 2]), [5, 0x53, 2]);
  assert.throws(() => drive.changeMedium(null), /locked/);
  assert.equal(ask([0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8])[4], 1, 'the host is told of the wish');
  packet([0x1e, 0, 0, 0, 0]);
  packet([0x1b, 0, 0, 0, 2]);
  assert.equal(ide.get(7) & 1, 0);
  assert.equal(cd.trayOpen, true);
  assert.deepEqual(sense([0x00]), [2, 0x3a, 2]);
  packet([0x1b, 0, 0, 0, 3]);
  assert.equal(cd.trayOpen, false);
  assert.deepEqual(sense([0x00]), [6, 0x28, 0]);
});

test('MODE SELECT takes its parameters', () => {
  const { ide, packet } = bench();
  packet([0x55, 0x10, 0, 0, 0, 0, 0, 0, 16]);
  assert.equal(ide.get(7) & 8, 8);
  assert.equal(ide.get(2) & 3, 0);
  ide.writePio(new Uint8Array(16));
  assert.equal(ide.get(7) & 9, 0);
});

test('a snapshot in the middle of a read', () => {
  const a = bench();
  a.packet(read10(3, 2), 2048);
  a.ide.get(7);
  a.ide.readPio(100);
  const saved = a.cd.save();
  const b = bench();
  b.cd.load(saved);
  assert.deepEqual(b.cd.save(), saved);
  const rest = [...b.ide.readPio(2048 - 100), ...b.ide.readPio(2048)];
  assert.deepEqual(Uint8Array.from(rest), contents(disc(), 3, 2).subarray(100));
});

test('random packets throw nothing', () => {
  const { ide } = bench();
  let seed = 7;
  const random = (n: number) => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 8) % n;
  };
  const operations = [0x00, 0x03, 0x12, 0x1b, 0x1e, 0x25, 0x28, 0x43, 0x46, 0x4a, 0x51, 0x5a, 0xa8, 0xb9, 0xbe, 0x55];
  for (let i = 0; i < 20000; i++) {
    ide.issue(0xa0, { features: random(2), mid: random(256), high: random(256) });
    ide.channel.commandBlock.write(0, 2, operations[random(operations.length)]! | (random(256) << 8));
    for (let w = 0; w < 5; w++) ide.channel.commandBlock.write(0, 2, random(4) ? random(8) : random(65536));
    for (let w = random(40); w > 0; w--) ide.channel.commandBlock.read(0, 4);
    if (random(4) === 0) {
      ide.control(4);
      ide.control(0);
    }
  }
});
