/** The other formats against qemu-img: what either writes, the other reads. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { deflateSync } from 'node:zlib';
import { main } from '../../src/app/img/main.js';
import { exercise, inScratch, needsQemu, open, qemuImg, qemuIo, randomizer } from './support.js';

const SIZE = 4 << 20;

async function img(...args: string[]): Promise<string> {
  let out = '';
  let err = '';
  const status = await main(
    args,
    {
      out: (t) => {
        out += t;
      },
      err: (t) => {
        err += t;
      },
    },
    '0',
  );
  assert.equal(status, 0, `tinamou-img ${args.join(' ')}: ${err}`);
  return out;
}

const WRITTEN: readonly (readonly [format: string, options: string, checks: boolean])[] = [
  ['vdi', '', true],
  ['vdi', 'static=on', true],
  ['vpc', 'force_size=on', false],
  ['vpc', 'force_size=on,subformat=fixed', false],
  ['vmdk', '', true],
  ['vmdk', 'subformat=monolithicFlat', false],
  ['vmdk', 'subformat=twoGbMaxExtentSparse', true],
  ['vmdk', 'subformat=twoGbMaxExtentFlat', false],
  ['vmdk', 'zeroed_grain=on', true],
  ['vhdx', '', true],
  ['vhdx', 'subformat=fixed,block_size=2M', true],
];

for (const [format, options, checks] of WRITTEN) {
  test(`${format} ${options}: made and written by either, read by the other`, needsQemu, () =>
    inScratch(async (folder) => {
      for (const maker of ['ours', 'theirs']) {
        const file = path.join(folder, `${maker}.${format}`);
        const create = ['create', '-q', '-f', format, ...(options === '' ? [] : ['-o', options]), file, String(SIZE)];
        if (maker === 'ours') await img(...create);
        else qemuImg(...create);
        const shadow = new Uint8Array(SIZE);
        const random = randomizer(format.length);
        for (let round = 0; round < 2; round++) {
          const node = await open(file, { format });
          assert.equal(node.length, SIZE);
          await exercise(node, shadow, random, 40);
          await node.close();
          if (checks) qemuImg('check', '-f', format, file);
          const raw = path.join(folder, 'raw');
          fs.writeFileSync(raw, shadow);
          qemuImg('compare', '-f', format, '-F', 'raw', file, raw);
          qemuIo(file, format, `write -P 9 ${round * 1234432} 100k`);
          shadow.fill(9, round * 1234432, round * 1234432 + 102400);
        }
        const node = await open(file);
        assert.equal(node.driver, format.startsWith('vpc') && options.includes('fixed') ? node.driver : format);
        await node.close();
      }
    }),
  );
}

const READ: readonly (readonly [format: string, options: string, flags: readonly string[]])[] = [
  ['qed', '', []],
  ['qed', 'cluster_size=4k,table_size=2', []],
  ['parallels', '', []],
  ['vmdk', 'subformat=streamOptimized', ['-c']],
  ['vpc', '', []],
];

for (const [format, options, flags] of READ) {
  test(`${format} ${options}: written by qemu-img, read by us`, needsQemu, () =>
    inScratch(async (folder) => {
      const raw = path.join(folder, 'raw');
      const file = path.join(folder, 'a');
      const bytes = new Uint8Array(SIZE);
      const random = randomizer(7);
      for (let i = 0; i < bytes.length; i++) bytes[i] = (i >> 16) % 3 === 0 ? random(256) : 0;
      fs.writeFileSync(raw, bytes);
      qemuImg('convert', '-f', 'raw', '-O', format, ...flags, ...(options === '' ? [] : ['-o', options]), raw, file);
      const node = await open(file, { readOnly: true, format });
      const into = new Uint8Array(SIZE);
      await node.read(0, into);
      assert.equal(Buffer.compare(into, bytes), 0);
      await node.close();
      const back = path.join(folder, 'back');
      await img('convert', '-f', format, '-O', 'raw', file, back);
      qemuImg('compare', '-f', 'raw', '-F', 'raw', back, raw);
    }),
  );
}

test('vmdk: stream-optimized images and children of others, made by us', needsQemu, () =>
  inScratch(async (folder) => {
    const at = (name: string): string => path.join(folder, name);
    const bytes = new Uint8Array(SIZE).map((_, i) => (i >> 12) % 5);
    fs.writeFileSync(at('raw'), bytes);
    await img('convert', '-c', '-f', 'raw', '-O', 'vmdk', '-o', 'subformat=streamOptimized', at('raw'), at('s.vmdk'));
    qemuImg('compare', '-f', 'vmdk', '-F', 'raw', at('s.vmdk'), at('raw'));
    await img('convert', '-f', 'raw', '-O', 'vmdk', at('raw'), at('base.vmdk'));
    await img('create', '-q', '-f', 'vmdk', '-b', 'base.vmdk', '-F', 'vmdk', at('top.vmdk'));
    const top = await open(at('top.vmdk'));
    await exercise(top, bytes, randomizer(2), 30);
    await top.close();
    fs.writeFileSync(at('raw'), bytes);
    qemuImg('compare', '-f', 'vmdk', '-F', 'raw', at('top.vmdk'), at('raw'));
  }),
);

test('images named by JSON: on the command line, and as backing files in images that either made', needsQemu, () =>
  inScratch(async (folder) => {
    const at = (name: string): string => path.join(folder, name);
    const bytes = new Uint8Array(SIZE).map((_, i) => (i >> 13) % 7);
    fs.writeFileSync(at('raw'), bytes);
    qemuImg('convert', '-f', 'raw', '-O', 'qcow2', at('raw'), at('base'));
    const named = `json:${JSON.stringify({ driver: 'qcow2', file: { driver: 'file', filename: at('base') } })}`;
    const dotted = `json:${JSON.stringify({ driver: 'raw', 'file.filename': at('raw') })}`;
    await img('convert', '-O', 'raw', named, at('out'));
    qemuImg('compare', '-f', 'raw', '-F', 'raw', at('out'), at('raw'));
    await img('compare', named, dotted);
    qemuImg('create', '-q', '-f', 'qcow2', '-b', named, '-F', 'qcow2', at('theirs'));
    await img('create', '-q', '-f', 'qcow2', '-b', named, '-F', 'qcow2', at('ours'), String(SIZE));
    for (const top of ['theirs', 'ours']) {
      await img('compare', '-f', 'qcow2', '-F', 'raw', at(top), at('raw'));
      qemuImg('compare', '-f', 'qcow2', '-F', 'raw', at(top), at('raw'));
    }
    await assert.rejects(open('json:{'), /no JSON/);
    await assert.rejects(open('json:{"driver":"qcow2"}'), /give file\.filename/);
    const loop = `json:${JSON.stringify({ driver: 'qcow2', 'file.filename': at('loop') })}`;
    qemuImg('create', '-q', '-u', '-f', 'qcow2', '-b', loop, '-F', 'qcow2', at('loop'), String(SIZE));
    await assert.rejects(open(at('loop')), /infinite loop/);
  }),
);

test('dmg: stored, zero and packed chunks, as qemu-img reads them', needsQemu, () =>
  inScratch(async (folder) => {
    const sectors = 64;
    const bytes = new Uint8Array(3 * sectors * 512);
    for (let i = 0; i < bytes.length; i++) bytes[i] = i < sectors * 512 ? i * 7 : i < 2 * sectors * 512 ? 0 : i >> 9;
    const part = (i: number): Uint8Array => bytes.subarray(i * sectors * 512, (i + 1) * sectors * 512);
    const packed = deflateSync(part(2));
    const chunks = [
      [1, 0, sectors, 0, sectors * 512],
      [2, sectors, sectors, 0, 0],
      [0x80000005, 2 * sectors, sectors, sectors * 512, packed.length],
      [0xffffffff, 3 * sectors, 0, 0, 0],
    ];
    const mish = Buffer.alloc(204 + 40 * chunks.length);
    mish.write('mish');
    mish.writeUInt32BE(1, 4);
    mish.writeBigUInt64BE(BigInt(3 * sectors), 16);
    mish.writeUInt32BE(chunks.length, 200);
    chunks.forEach(([type, start, count, offset, length], i) => {
      const at = 204 + 40 * i;
      mish.writeUInt32BE(type!, at);
      mish.writeBigUInt64BE(BigInt(start!), at + 8);
      mish.writeBigUInt64BE(BigInt(count!), at + 16);
      mish.writeBigUInt64BE(BigInt(offset!), at + 24);
      mish.writeBigUInt64BE(BigInt(length!), at + 32);
    });
    const plist = Buffer.from(
      `<plist><dict><key>resource-fork</key><dict><key>blkx</key><array><dict><key>Data</key><data>${mish.toString('base64')}</data></dict></array></dict></dict></plist>`,
    );
    const data = Buffer.concat([part(0), packed]);
    const koly = Buffer.alloc(512);
    koly.write('koly');
    koly.writeUInt32BE(4, 4);
    koly.writeUInt32BE(512, 8);
    koly.writeBigUInt64BE(BigInt(data.length), 0x20);
    koly.writeBigUInt64BE(BigInt(data.length), 0xd8);
    koly.writeBigUInt64BE(BigInt(plist.length), 0xe0);
    koly.writeBigUInt64BE(BigInt(3 * sectors), 0x1ec);
    const file = path.join(folder, 'a.dmg');
    fs.writeFileSync(file, Buffer.concat([data, plist, koly]));
    const raw = path.join(folder, 'raw');
    fs.writeFileSync(raw, bytes);
    qemuImg('compare', '-f', 'dmg', '-F', 'raw', file, raw);
    const node = await open(file, { readOnly: true });
    assert.equal(node.driver, 'dmg');
    const into = new Uint8Array(bytes.length);
    await node.read(0, into);
    assert.equal(Buffer.compare(into, bytes), 0);
    await node.close();
  }),
);

/** On a busy host QEMU's measuring of its own speed fails now and then, and the making of a LUKS header with it. */
function patiently(make: () => void): void {
  for (let attempt = 1; ; attempt++) {
    try {
      make();
      return;
    } catch (error) {
      if (attempt === 30 || !/accurate CPU usage/.test(String(error))) throw error;
    }
  }
}

const ENCRYPTED: readonly (readonly [format: string, prefix: string, options: string])[] = [
  ['luks', '', ''],
  ['luks', '', 'cipher-alg=aes-128,cipher-mode=cbc,ivgen-alg=essiv,ivgen-hash-alg=sha256,hash-alg=sha1,'],
  ['qcow2', 'encrypt.', 'encrypt.format=luks,'],
  ['qcow2', 'encrypt.', 'encrypt.format=aes,'],
];

for (const [format, prefix, options] of ENCRYPTED) {
  test(`encrypted: ${format} ${options}, made by either, read by the other`, needsQemu, () =>
    inScratch(async (folder) => {
      const secret = ['--object', 'secret,id=s,data=tinamou'];
      const key = `${prefix}key-secret=s`;
      const quick = options.includes('aes,') && format === 'qcow2' ? '' : `,${prefix}iter-time=100`;
      const raw = path.join(folder, 'raw');
      const bytes = new Uint8Array(1 << 20).map((_, i) => i * 3 + (i >> 8));
      fs.writeFileSync(raw, bytes);
      const opts = (file: string): string => `driver=${format},${key},file.filename=${file}`;
      for (const maker of ['ours', 'theirs']) {
        const file = path.join(folder, maker);
        const args = ['convert', ...secret, '-f', 'raw', '-O', format, '-o', `${options}${key}${quick}`, raw, file];
        if (maker === 'ours') await img(...args);
        else patiently(() => qemuImg(...args));
        const asRaw = `driver=raw,file.filename=${raw}`;
        qemuImg('compare', ...secret, '--image-opts', opts(file), asRaw);
        await img('compare', ...secret, '--image-opts', opts(file), asRaw);
        const node = await open(file, {
          format,
          secrets: new Map([['s', new TextEncoder().encode('tinamou')]]),
          options: { [`${prefix}key-secret`]: 's' },
        });
        const shadow = bytes.slice();
        await exercise(node, shadow, randomizer(3), 30);
        await node.close();
        const now = path.join(folder, 'now');
        fs.writeFileSync(now, shadow);
        qemuImg('compare', ...secret, '--image-opts', opts(file), `driver=raw,file.filename=${now}`);
        assert.match(await img('info', file), /encrypted: yes/);
        if (prefix === '' || options.includes('luks')) {
          const wrong = new Map([['s', new TextEncoder().encode('emu')]]);
          await assert.rejects(
            open(file, { format, secrets: wrong, options: { [`${prefix}key-secret`]: 's' } }),
            /Invalid password/,
          );
          // Another passphrase in another slot, and the first one gone: changed by one program, opened by the other.
          const both = [...secret, '--object', 'secret,id=n,data=emu'];
          const amend = (id: string, ...values: string[]): string[] => [
            'amend',
            ...both,
            '--image-opts',
            `driver=${format},${prefix}key-secret=${id},file.filename=${file}`,
            '-o',
            values.map((v) => prefix + v).join(','),
          ];
          const add = amend('s', 'state=active', 'new-secret=n', 'keyslot=6', 'iter-time=10');
          const erase = amend('n', 'state=inactive', 'old-secret=s');
          if (maker === 'ours') {
            await img(...add);
            qemuImg(...erase);
          } else {
            patiently(() => qemuImg(...add));
            await img(...erase);
          }
          const renewed = `driver=${format},${prefix}key-secret=n,file.filename=${file}`;
          qemuImg('compare', ...both, '--image-opts', renewed, `driver=raw,file.filename=${now}`);
          await img('compare', ...both, '--image-opts', renewed, `driver=raw,file.filename=${now}`);
          await assert.rejects(img('compare', ...both, '--image-opts', opts(file), asRaw), /Invalid password/);
          assert.match(await img('info', file), /\[0\]:\n *active: false/);
        }
      }
    }),
  );
}
