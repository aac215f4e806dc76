/** tinamou-img beside qemu-img: sizes, options of files, other formats than qcow2, and what commands refuse. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { filled, ours, sideBySide } from './side-by-side.js';
import { inScratch, needsQemu, open, qemuImg, qemuIo } from './support.js';

sideBySide(
  'sizes',
  [
    'create -f raw a 9E',
    'create -f raw a 8E',
    'create -f raw a 1.5',
    'create -f raw a 1.5b',
    'create -f raw a 1.',
    'create -f raw a +1',
    'create -f raw a 99999999999999999999',
    'create -f qcow2 a 7E',
    'create -f qcow2 -o cluster_size=2M a 7E',
    'create -f qcow2 -o cluster_size=512 a 1T',
    'create -f vhdx a 65T',
    'create -f vpc a 3P',
    'resize -f raw raw 99E',
    'resize -f raw raw -- -7E',
    'map -f raw -s 7E raw',
    'map -f raw -s 99E raw',
    'measure --size 99E',
    'measure -O qcow2 --size 7E',
    'dd if=raw of=x bs=99E',
    'dd if=raw of=x count=99E',
    'dd if=raw of=x skip=7E',
    'convert -S 99E raw x',
    'convert -S bla raw x',
    'convert -r 99E raw x',
    'bench -c 5 -o 99E raw',
    'bench -c 5 -s 99E raw',
    'bench -c 5 -s 2M -f raw raw',
    'bench -c 5 -o 1M -f raw raw',
    'bench -c 5 -S 2M -f raw raw',
    'bench -c 5 -w -d 2 --flush-interval=3 -f raw raw',
  ],
  filled,
);

sideBySide(
  'options of files, and lists of options',
  [
    'create -f qcow2 -o nocow=on a 1M',
    'create -f vmdk -o preallocation=full a 1M',
    'create -f vhdx -o preallocation=bla a 1M',
    'create -f raw -o preallocation=bla a 1M',
    'create -f raw -o preallocation=metadata a 1M',
    'create -f qcow2 -o help a',
    'create -f raw -o help a',
    'create -f vmdk -o help a',
    'convert -O qcow2 -o help raw a',
    'measure -O qcow2 -o nocow=on --size 1M',
    "create -f qcow2 -o '' a 1M",
    'create -f qcow2 -o , a 1M',
    'create -f qcow2 -o lazy_refcounts=on, a 1M',
    'create -f qcow2 -o ,,lazy_refcounts=on a 1M',
    'create -f qcow2 -o lazy_refcounts=on,, a 1M',
    'convert -O qcow2 -o , raw a',
    'measure -O qcow2 -o , --size 1M',
    'amend -o , -f qcow2 a',
    'create -f qcow2 -o lazy_refcounts=yes a 1M',
    'info a',
    'create -f qcow2 -o nolazy_refcounts a 1M',
    'info a',
    'amend -o lazy_refcounts=yes a',
    'info a',
    'create -f vhdx -o log_size=1,block_size=1 a 1M',
    'info a',
    'create -f vhdx -o block_size=512M a 1M',
    'info a',
    'create -f vhdx -o block_size=3M a 1M',
    'create -f vmdk -b raw -F raw a 1M',
    'create --object secret,id=s,data=abc -f luks -o key-secret=s,iter-time=10,preallocation=full,hash-alg=sha384 a 1M',
    'info a',
    'create --object secret,id=s,data=abc -f luks -o key-secret=s,cipher-alg=bla a 1M',
    'create --object secret,id=s,data=abc -f luks -o key-secret=s,cipher-mode=bla a 1M',
    'create --object secret,id=s,data=abc -f luks -o key-secret=s,hash-alg=bla a 1M',
    'measure -O qcow2 -o encrypt.format=luks --size 1G',
    'create bogus:x 1M',
    'create -f qcow2 -b bogus:x -F raw a 1M',
    'info a:b',
    'info ./a:b',
    'info file:raw',
    "info ''",
    'info .',
    'info bogus:raw',
    'convert -f raw -O raw --image-opts driver=raw,file.filename=raw a',
    'dd --image-opts if=driver=raw,file.filename=raw of=a',
  ],
  (folder) => {
    filled(folder);
    fs.copyFileSync(path.join(folder, 'raw'), path.join(folder, 'a:b'));
  },
);

const FORMATS = [
  'vmdk',
  'vmdk -o subformat=streamOptimized',
  'vmdk -o subformat=twoGbMaxExtentSparse',
  'vmdk -o subformat=twoGbMaxExtentFlat',
  'vmdk -o subformat=monolithicFlat',
  'vdi',
  'vdi -o static=on',
  'vpc',
  'vpc -o subformat=fixed',
  'qcow2',
  'qcow2 -c',
  'qcow2 -o preallocation=metadata',
];

sideBySide(
  'map, check and info of all formats',
  FORMATS.flatMap((format, i) => [
    `convert -f raw -O ${format} raw a${i}.img`,
    `info a${i}.img`,
    `info --output=json a${i}.img`,
    `map a${i}.img`,
    `map --output=json a${i}.img`,
    `check a${i}.img`,
    `check --output=json a${i}.img`,
    `compare a${i}.img raw`,
    `convert -f raw -O ${format} raw b${i}`,
    `info b${i}`,
  ]),
  filled,
);

sideBySide(
  'what commands refuse',
  [
    'create -q -f qcow2 a 1M',
    'snapshot -U -c x a',
    'bench -w -U -c 3 a',
    'check -r all -U a',
    'snapshot -c 5 a',
    'snapshot -c 1 a',
    'snapshot -a 5 a',
    'snapshot -d 2 a',
    'snapshot -a 2 a',
    'snapshot -d 1 a',
    'snapshot -l a',
    'compare -T bla raw a',
    'measure -O qcow2 a a',
    'measure -O qcow2 -f raw --size 1M',
    'measure -O qcow2 -l 1 --size 1M',
    'measure -O qcow2 --image-opts --size 1M',
    'measure -O qcow2 --output=bla --size 1M',
    'create -q -f qcow2 b 1M',
    "bitmap --add b ''",
    `bitmap --add b ${'x'.repeat(1023)}`,
    'bitmap --add -g 99E b c',
    'convert --bitmaps -O qcow2 b c',
    'convert --bitmaps -n -O qcow2 b c',
    'info c',
  ],
  filled,
);

sideBySide(
  'amend to version 2',
  [
    'amend -f qcow2 -o compat=0.10 snapshots',
    'info snapshots',
    'snapshot -a one snapshots',
    'create -q -f qcow2 grown 1M',
    'snapshot -c one grown',
    'resize grown 2M',
    'amend -f qcow2 -o compat=0.10 grown',
    'create -q -f qcow2 -o refcount_bits=8 narrow 1M',
    'amend -f qcow2 -o compat=0.10 narrow',
    'create -q -f qcow2 -o extended_l2=on extended 1M',
    'amend -f qcow2 -o compat=0.10 extended',
    'create -q -f qcow2 -o data_file=d outside 1M',
    'amend -f qcow2 -o compat=0.10 outside',
  ],
  (folder) => {
    const file = path.join(folder, 'snapshots');
    qemuImg('create', '-q', '-f', 'qcow2', file, '1M');
    qemuIo(file, 'qcow2', 'write -P 1 0 200k');
    qemuImg('snapshot', '-c', 'one', file);
    qemuIo(file, 'qcow2', 'write -P 2 64k 200k', 'write -z 512k 64k');
  },
);

// QEMU 7.2 says this too, after some seconds: it finds out how many rounds of the key take one.
test('tinamou-img: measure knows how much LUKS takes of a qcow2 image', () =>
  inScratch(async (folder) => {
    const secret = ['--object', 'secret,id=s,data=x', '-o', 'encrypt.format=luks,encrypt.key-secret=s'];
    const { out } = await ours(folder, ['measure', '-O', 'qcow2', ...secret, '--size', '1G']);
    assert.equal(out, 'required size: 2490368\nfully allocated size: 1076232192\n');
  }));

sideBySide(
  'what backing files show through',
  [
    'create -q -f qcow2 -b base -F qcow2 -o extended_l2=on,preallocation=metadata a',
    'compare base a',
    'map --output=json a',
    'create -q -f qcow2 -b base -F qcow2 -o extended_l2=on,preallocation=full b',
    'compare base b',
    'convert -f raw -O qcow2 -o backing_file=base,backing_fmt=qcow2 zeroes c',
    'compare -f raw -F qcow2 zeroes c',
    'convert -f raw -O qcow2 -B base -F qcow2 zeroes d',
    'compare -f raw -F qcow2 zeroes d',
    'create -q -f qcow2 e 2M',
    'rebase -F qcow2 -b base e',
    'convert -O raw e e.raw',
    'compare -f raw -F raw zeroes e.raw',
  ],
  (folder) => {
    fs.writeFileSync(path.join(folder, 'zeroes'), new Uint8Array(1 << 20));
    const base = path.join(folder, 'base');
    qemuImg('create', '-q', '-f', 'qcow2', base, '1M');
    qemuIo(base, 'qcow2', 'write -P 7 0 1M');
  },
);

test('qcow2: writes to places that were preallocated over a backing file', needsQemu, () =>
  inScratch(async (folder) => {
    const file = path.join(folder, 'top');
    qemuImg('create', '-q', '-f', 'qcow2', path.join(folder, 'base'), '1M');
    qemuIo(path.join(folder, 'base'), 'qcow2', 'write -P 7 0 1M');
    const options = ['-o', 'extended_l2=on,preallocation=falloc', '-b', 'base', '-F', 'qcow2'];
    const { status, err } = await ours(folder, ['create', '-q', '-f', 'qcow2', ...options, 'top']);
    assert.equal(status, 0, err);
    const node = await open(file);
    await node.write(70_000, new Uint8Array(5000).fill(3));
    await node.writeZeroes(500 << 10, 4096, false);
    await node.close();
    qemuImg('check', file);
    const read = qemuIo(file, 'qcow2', 'read -P 7 0 70000', 'read -P 3 70000 5000', 'read -P 7 75000 437000');
    assert.doesNotMatch(read + qemuIo(file, 'qcow2', 'read -P 0 512000 4096', 'read -P 7 516096 532480'), /fail/);
  }),
);

// QEMU 7.2 gives up the zeroes of a version 2 image here, and the backing file's data appears.
test('rebase keeps what an image of version 2 without a backing file reads as', needsQemu, () =>
  inScratch(async (folder) => {
    const [base, top] = ['base', 'top'].map((name) => path.join(folder, name)) as [string, string];
    qemuImg('create', '-q', '-f', 'qcow2', base, '1M');
    qemuIo(base, 'qcow2', 'write -P 7 0 1M');
    qemuImg('create', '-q', '-f', 'qcow2', '-o', 'compat=0.10', top, '512k');
    const { status, err } = await ours(folder, ['rebase', '-F', 'qcow2', '-b', 'base', 'top']);
    assert.equal(status, 0, err);
    qemuImg('check', top);
    assert.doesNotMatch(qemuIo(top, 'qcow2', 'read -P 0 0 512k'), /fail/);
  }),
);
