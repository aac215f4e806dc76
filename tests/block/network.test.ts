/** NBD, both sides, against QEMU's; images on a web server. */
import assert from 'node:assert/strict';
import { execFile, spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Options } from '../../src/app/img/getopt.js';
import { main as img } from '../../src/app/img/main.js';
import { SYNTAX, startServer } from '../../src/app/nbd/main.js';
import { exercise, inScratch, makeQcow2, needsQemu, open, qemuImg, qemuIo, randomizer } from './support.js';

const SIZE = 2 << 20;
const run = promisify(execFile);

async function serving<T>(args: readonly string[], use: () => Promise<T>): Promise<T> {
  const server = await startServer(new Options(args, SYNTAX));
  try {
    return await use();
  } finally {
    server.stop();
    await server.done;
  }
}

test('nbd: our server, QEMU as the client', needsQemu, () =>
  inScratch(async (folder) => {
    const file = path.join(folder, 'a.qcow2');
    const socket = path.join(folder, 's');
    await makeQcow2(file, { size: SIZE });
    qemuImg('bitmap', '--add', file, 'b');
    qemuIo(file, 'qcow2', 'write -P 7 512k 64k');
    const uri = `nbd+unix:///disk?socket=${socket}`;
    await serving(
      ['-t', '-e', '0', '-k', socket, '-x', 'disk', '-D', 'a disk', '-B', 'b', '-f', 'qcow2', file],
      async () => {
        const write = await run('qemu-io', [
          '-f',
          'raw',
          '-c',
          'write -P 3 64k 200k',
          '-c',
          'write -z 100k 10k',
          '-c',
          'discard 1M 64k',
          '-c',
          'flush',
          '-c',
          'read -P 3 64k 36k',
          '-c',
          'read -P 0 100k 10k',
          uri,
        ]);
        assert.doesNotMatch(write.stdout + write.stderr, /failed|error/i);
        const map = await run('qemu-img', ['map', '-f', 'raw', '--output=json', uri]);
        const extents = JSON.parse(map.stdout) as { start: number; length: number; data: boolean; zero: boolean }[];
        assert.ok(extents.some((e) => e.zero && e.start + e.length > 1 << 20));
        const bitmap = await run('qemu-img', [
          'map',
          '--output=json',
          '--image-opts',
          `driver=nbd,server.type=unix,server.path=${socket},export=disk,x-dirty-bitmap=qemu:dirty-bitmap:b`,
        ]);
        const dirty = JSON.parse(bitmap.stdout) as { start: number; length: number; data: boolean }[];
        // QEMU shows dirty parts as holes.
        assert.ok(dirty.some((e) => !e.data && e.start <= 512 << 10 && e.start + e.length > 512 << 10));
        const list = await run('qemu-nbd', ['-L', '-k', socket]);
        assert.match(list.stdout, /export: 'disk'\n\s+description: a disk\n\s+size: {2}2097152/);
        const none = await run('qemu-img', ['info', `nbd+unix:///none?socket=${socket}`]).catch(
          (e: { stderr: string }) => e,
        );
        assert.match(none.stderr, /not available/);
      },
    );
    qemuImg('check', file);
    assert.match(qemuIo(file, 'qcow2', 'read -P 3 64k 36k', 'read -P 0 100k 10k'), /36864/);
  }),
);

const hasLibnbd = spawnSync('nbdinfo', ['--version']).error === undefined;

test('nbd: our server, libnbd as the client', { skip: !hasLibnbd && 'nbdinfo is not installed' }, () =>
  inScratch(async (folder) => {
    const file = path.join(folder, 'a');
    const socket = path.join(folder, 's');
    const bytes = new Uint8Array(SIZE).map((_, i) => i >> 10);
    fs.writeFileSync(file, bytes);
    const uri = `nbd+unix:///x?socket=${socket}`;
    await serving(['-t', '-e', '0', '-k', socket, '-x', 'x', '-f', 'raw', file], async () => {
      const { stdout } = await run('nbdinfo', ['--json', uri]);
      const [info] = (JSON.parse(stdout) as { exports: Record<string, unknown>[] }).exports;
      assert.equal(info!['export-size'], SIZE);
      assert.equal(info!['is_read_only'], false);
      assert.deepEqual(info!['contexts'], ['base:allocation']);
      const map = await run('nbdinfo', ['--map', uri]);
      assert.match(map.stdout, /data/);
      const copy = path.join(folder, 'copy');
      await run('nbdcopy', [uri, copy]);
      assert.equal(Buffer.compare(fs.readFileSync(copy), bytes), 0);
      fs.writeFileSync(copy, new Uint8Array(SIZE).fill(8));
      await run('nbdcopy', ['--flush', copy, uri]);
      assert.ok(fs.readFileSync(file).every((b) => b === 8));
    });
  }),
);

const hasOpenssl = spawnSync('openssl', ['version']).error === undefined;

/** A folder of certificates: an authority, a server named localhost, and a client. */
function certificates(folder: string): string {
  const openssl = (...args: string[]): void => {
    const { status, stderr } = spawnSync('openssl', args, { cwd: folder, encoding: 'utf8' });
    assert.equal(status, 0, stderr);
  };
  const [curve, days] = [
    ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'],
    ['-days', '2'],
  ];
  fs.mkdirSync(folder);
  openssl('req', '-x509', ...curve!, '-keyout', 'ca-key.pem', '-out', 'ca-cert.pem', '-subj', '/CN=ca', ...days!);
  for (const who of ['server', 'client']) {
    fs.writeFileSync(
      path.join(folder, 'ext'),
      `subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=${who}Auth\nkeyUsage=digitalSignature\n`,
    );
    openssl('req', ...curve!, '-keyout', `${who}-key.pem`, '-out', 'csr', '-subj', `/CN=${who}`);
    const signed = ['-CA', 'ca-cert.pem', '-CAkey', 'ca-key.pem', '-CAcreateserial', '-extfile', 'ext', ...days!];
    openssl('x509', '-req', '-in', 'csr', '-out', `${who}-cert.pem`, ...signed);
  }
  return folder;
}

/** A port that is free now. */
async function freePort(): Promise<string> {
  const server = http.createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return String(port);
}

const needsBoth = { skip: needsQemu.skip || (!hasOpenssl && 'openssl is not installed') };

for (const kind of ['x509', 'psk'] as const) {
  test(`nbd: with TLS (${kind}), both sides, against QEMU's`, needsBoth, () =>
    inScratch(async (folder) => {
      const good = path.join(folder, 'good');
      const bad = path.join(folder, 'bad');
      for (const dir of [good, bad]) {
        if (kind === 'x509') certificates(dir);
        else {
          fs.mkdirSync(dir);
          fs.writeFileSync(path.join(dir, 'keys.psk'), `qemu:${dir === good ? 'a1'.repeat(32) : 'b2'.repeat(32)}\n`);
        }
      }
      const object = (dir: string, endpoint: string): string[] => [
        '--object',
        `tls-creds-${kind},id=t,dir=${dir},endpoint=${endpoint}`,
      ];
      const file = path.join(folder, 'a');
      const bytes = new Uint8Array(SIZE).map((_, i) => i >> 9);
      fs.writeFileSync(file, bytes);
      const port = await freePort();
      const remote = `driver=nbd,host=localhost,port=${port},export=x,tls-creds=t`;
      const same = path.join(folder, 'same');
      fs.writeFileSync(same, bytes);
      const local = `driver=raw,file.filename=${same}`;
      const serve = ['-t', '-e', '0', '-b', '127.0.0.1', '-p', port, '-x', 'x', '-f', 'raw', '--tls-creds', 't'];
      const compare = (dir: string): string[] => ['compare', ...object(dir, 'client'), '--image-opts', remote, local];
      const plain = ['info', `nbd://localhost:${port}/x`];
      await serving([...serve, ...object(good, 'server'), file], async () => {
        await run('qemu-img', compare(good));
        await ours(compare(good));
        await assert.rejects(run('qemu-img', compare(bad)));
        await assert.rejects(ours(compare(bad)), /TLS handshake failed|closed/);
        await assert.rejects(run('qemu-img', plain), /TLS/);
        await assert.rejects(ours(plain), /Server requires TLS/);
        if (kind === 'x509' && hasLibnbd) {
          const uri = `nbds://localhost:${port}/x?tls-certificates=${good}`;
          const { stdout } = await run('nbdinfo', ['--json', uri]);
          assert.equal((JSON.parse(stdout) as { TLS: boolean }).TLS, true);
          await run('nbdcopy', [uri, path.join(folder, 'copy')]);
          assert.equal(Buffer.compare(fs.readFileSync(path.join(folder, 'copy')), bytes), 0);
        }
      });
      const server = spawn('qemu-nbd', [...serve, ...object(good, 'server'), file], { stdio: 'ignore' });
      try {
        for (let attempt = 1; ; attempt++) {
          const refused = await ours(compare(good)).then(
            () => null,
            (error: Error) => error,
          );
          if (!refused) break;
          if (attempt === 100 || !/ECONNREFUSED|refused/i.test(refused.message)) throw refused;
          await sleep(100);
        }
        await assert.rejects(ours(compare(bad)), /TLS handshake failed|closed/);
      } finally {
        const gone = new Promise((resolve) => server.once('exit', resolve));
        server.kill();
        await gone;
      }
      // A server without TLS.
      await serving(serve.slice(0, -2).concat(file), () =>
        assert.rejects(ours(compare(good)), /does not support STARTTLS/),
      );
    }),
  );
}

/** Runs tinamou-img in this process; fails with what it says. */
async function ours(args: readonly string[]): Promise<void> {
  let err = '';
  const io = {
    out: () => {},
    err: (text: string) => {
      err += text;
    },
  };
  if ((await img(args, io, '0')) !== 0) throw new Error(err);
}

test('nbd: a read-only export refuses writes', needsQemu, () =>
  inScratch(async (folder) => {
    const file = path.join(folder, 'a');
    const socket = path.join(folder, 's');
    fs.writeFileSync(file, new Uint8Array(SIZE).fill(5));
    await serving(['-t', '-e', '0', '-r', '-k', socket, '-f', 'raw', file], async () => {
      const uri = `nbd+unix:///?socket=${socket}`;
      const reader = await open(uri, { readOnly: true, format: 'raw' });
      const into = new Uint8Array(4096);
      await reader.read(SIZE - 2048, into.subarray(0, 2048));
      assert.equal(into[2047], 5);
      await reader.close();
      await assert.rejects(open(uri, { format: 'raw' }), /read-only/);
      const wrote = await run('qemu-io', ['-f', 'raw', '-c', 'write 0 512', uri]).catch((e: { stderr: string }) => e);
      assert.match(wrote.stderr, /read-only|not permitted|Permission/i);
    });
  }),
);

test("nbd: our client on QEMU's server and on ours, with a server that goes away and comes back", needsQemu, () =>
  inScratch(async (folder) => {
    const file = path.join(folder, 'a');
    const socket = path.join(folder, 's');
    qemuImg('create', '-q', '-f', 'qcow2', file, String(SIZE));
    const start = async (): Promise<() => Promise<void>> => {
      const server = spawn('qemu-nbd', ['-t', '-k', socket, '-f', 'qcow2', '--discard=unmap', file], {
        stdio: 'ignore',
      });
      while (!fs.existsSync(socket)) await sleep(10);
      return async () => {
        server.kill('SIGTERM');
        await new Promise((resolve) => server.once('exit', resolve));
        fs.rmSync(socket, { force: true });
      };
    };
    let stop = await start();
    const node = await open(`nbd:unix:${socket}`, { format: 'raw', cache: 'writeback' });
    assert.equal(node.length, SIZE);
    const shadow = new Uint8Array(SIZE);
    await exercise(node, shadow, randomizer(8), 60);
    // Many at a time.
    await Promise.all(
      Array.from({ length: 50 }, async (_, i) => {
        const part = new Uint8Array(4096).fill(i + 1);
        shadow.set(part, i * 8192);
        await node.write(i * 8192, part);
      }),
    );
    await node.flush();
    const status = await node.status(0, SIZE);
    assert.ok(status.length > 0 && status.data);
    await stop();
    await assert.rejects(async () => node.read(0, new Uint8Array(512)), { errno: 'EIO' });
    stop = await start();
    const into = new Uint8Array(SIZE);
    await node.read(0, into);
    assert.equal(Buffer.compare(into, shadow), 0, 'after the server has come back');
    await node.close();
    await stop();
    qemuImg('check', file);
    await serving(['-t', '-e', '0', '-k', socket, '-f', 'qcow2', file], async () => {
      const ours = await open(`nbd:unix:${socket}`, { format: 'raw' });
      await exercise(ours, shadow, randomizer(9), 60);
      await ours.close();
    });
    qemuImg('check', file);
  }),
);

test('http: parts of a file on a web server, read-only', () =>
  inScratch(async (folder) => {
    const file = path.join(folder, 'a.qcow2');
    await makeQcow2(file, { size: SIZE });
    const writer = await open(file);
    await writer.write(70_000, new Uint8Array(300_000).fill(9));
    await writer.close();
    const bytes = fs.readFileSync(file);
    let version = '"1"';
    let requests = 0;
    const server = http.createServer((request, response) => {
      requests++;
      const [, from, to] = /bytes=(\d+)-(\d+)/.exec(request.headers.range ?? '') ?? [];
      if (request.url !== '/a.qcow2' || from === undefined) {
        response.writeHead(404).end();
        return;
      }
      const part = bytes.subarray(Number(from), Number(to) + 1);
      response.writeHead(206, {
        'content-range': `bytes ${from}-${Number(from) + part.length - 1}/${bytes.length}`,
        etag: version,
      });
      response.end(part);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    try {
      const node = await open(`${base}/a.qcow2`, { readOnly: true });
      assert.equal(node.driver, 'qcow2');
      const into = new Uint8Array(SIZE);
      await node.read(0, into);
      assert.deepEqual([into[69_999], into[70_000], into[369_999], into[370_000]], [0, 9, 9, 0]);
      const before = requests;
      await node.read(0, into);
      assert.equal(requests, before, 'what was fetched is kept');
      await node.close();
      await assert.rejects(open(`${base}/none`, { readOnly: true }), /404/);
      await assert.rejects(open(`${base}/a.qcow2`), /read-only/);
      const changing = await open(`${base}/a.qcow2`, { readOnly: true, format: 'raw' });
      version = '"2"';
      await assert.rejects(async () => changing.read(0, into.subarray(0, 512)), /has changed/);
      await changing.close();
    } finally {
      server.close();
    }
  }));
