/** The guests that tests, benchmarks and `npm start` use, and how each comes out of Debian's packages into the cache. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../../src/base/errors.js';
import { Apt, unpack } from './apt.js';
import { cached } from './cache.js';
import { buildInitrd } from './initrd.js';
import { collectModules, type KernelModule } from './modules.js';
import { Progress } from './progress.js';

/** A piece of a guest: a package of which some paths are kept, as they lie in the package. */
interface Piece {
  readonly package: string;
  /** The package only depends on the one that has the files; its name begins so. */
  readonly via?: string;
  readonly paths: readonly string[];
  /** Keep the package file itself, for what is unpacked from it on demand. */
  readonly keepPackage?: boolean;
}

export const PIECES = {
  'linux-amd64': { package: 'linux-image-amd64:amd64', via: 'linux-image-', paths: ['boot/*'], keepPackage: true },
  'linux-686': { package: 'linux-image-686:i386', via: 'linux-image-', paths: ['boot/*'], keepPackage: true },
  'linux-686-pae': { package: 'linux-image-686-pae:i386', via: 'linux-image-', paths: ['boot/*'], keepPackage: true },
  'busybox-amd64': { package: 'busybox-static:amd64', paths: ['bin/busybox'] },
  'busybox-i386': { package: 'busybox-static:i386', paths: ['bin/busybox'] },
  seabios: { package: 'seabios', paths: ['usr/share/seabios/*'] },
  'debian-installer': {
    package: 'debian-installer-12-netboot-amd64:all',
    paths: ['usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64/*'],
  },
  memtest: { package: 'memtest86+:amd64', paths: ['boot/*'] },
  debootstrap: { package: 'debootstrap', paths: ['usr/sbin/debootstrap', 'usr/share/debootstrap/*'] },
  grub: { package: 'grub-pc-bin:amd64', paths: ['usr/lib/grub/i386-pc/*'] },
  // GRUB's image maker and the one library of it that a small system may lack.
  'grub-tools': { package: 'grub-common:amd64', paths: ['usr/bin/grub-mkimage'] },
  libdevmapper: { package: 'libdevmapper1.02.1:amd64', paths: ['lib/x86_64-linux-gnu/*'] },
  // Programs that guests run: a C compiler with a library to compile, Python, and what both need.
  tcc: { package: 'tcc:amd64', paths: ['usr/bin/tcc', 'usr/lib/x86_64-linux-gnu/tcc/include/*'] },
  stb: { package: 'libstb-dev:amd64', paths: ['usr/include/*'] },
  libc: { package: 'libc6:amd64', paths: ['lib/x86_64-linux-gnu/ld-linux*', 'lib/x86_64-linux-gnu/lib*.so.*'] },
  'libc-headers': { package: 'libc6-dev:amd64', paths: ['usr/include/*'] },
  'linux-headers': {
    package: 'linux-libc-dev:amd64',
    paths: ['usr/include/linux/*', 'usr/include/x86_64-linux-gnu/asm/*', 'usr/include/asm-generic/*'],
  },
  python: { package: 'python3.11-minimal:amd64', paths: ['usr/bin/python3.11'] },
  'python-library': { package: 'libpython3.11-minimal:amd64', paths: ['usr/lib/python3.11/*'] },
  expat: { package: 'libexpat1:amd64', paths: ['lib/x86_64-linux-gnu/*'] },
  zlib: { package: 'zlib1g:amd64', paths: ['lib/x86_64-linux-gnu/*'] },
} as const satisfies Record<string, Piece>;
export type PieceName = keyof typeof PIECES;

let apt: Apt | undefined;

/** The piece's folder in the cache, fetched if it is not there. */
export function fetchPiece(name: PieceName): Promise<string> {
  const piece: Piece = PIECES[name];
  return cached(name, async (folder) => {
    apt ??= new Apt();
    const progress = new Progress();
    let pkg = apt.show(piece.package);
    if (piece.via) {
      const real = pkg.depends.find((d) => d.startsWith(piece.via!));
      if (!real) throw new UserError(`Debian package '${piece.package}' names no kernel: check /etc/apt/sources.list`);
      const architecture = /:.*$/.exec(piece.package)?.[0] ?? '';
      pkg = apt.show(real.replace(/:.*$/, '') + architecture);
    }
    const download = `${folder}.download`;
    const deb = await apt.download(pkg, download, progress);
    unpack(deb, folder, piece.paths);
    if (piece.keepPackage) renameSync(deb, join(folder, PACKAGE_FILE));
    rmSync(download, { recursive: true, force: true });
    writeFileSync(join(folder, 'version'), `${pkg.name} ${pkg.version}\n`);
  });
}
/** Path of a Debian 12 package of any name, which a test gives to its guest. */
export async function packageFile(name: string): Promise<string> {
  const folder = await cached(`packages/${name}`, async (path) => {
    apt ??= new Apt();
    await apt.download(apt.show(`${name}:amd64`), path, new Progress());
  });
  return join(folder, readdirSync(folder)[0]!);
}

/** Path of the archive of a program's source, as its authors published it. */
export async function sourceArchive(name: string): Promise<string> {
  const folder = await cached(`sources/${name}`, (path) => {
    apt ??= new Apt();
    apt.source(name, 'bookworm', path);
  });
  return join(folder, readdirSync(folder).find((f) => f.includes('.orig.tar.'))!);
}

const PACKAGE_FILE = 'package.deb';

export type LinuxName = 'linux-amd64' | 'linux-686' | 'linux-686-pae';

/** Path of a Linux kernel image. */
export async function linuxImage(name: LinuxName): Promise<string> {
  const boot = join(await fetchPiece(name), 'boot');
  const image = readdirSync(boot).find((f) => f.startsWith('vmlinuz-'));
  if (!image) throw new UserError(`no kernel in ${boot}: remove the folder and start again`);
  return join(boot, image);
}

/** Subtrees that no test guest needs and that make up most of the package. */
const UNUSED_MODULES = ['gpu', 'media', 'staging', 'infiniband', 'net/wireless', 'net/ethernet', 'iio', 'usb/gadget'];

/** Folder of the kernel's modules, unpacked on first use. */
async function moduleFolder(name: LinuxName): Promise<string> {
  const piece = await fetchPiece(name);
  return cached(`${name}-modules`, (folder) => {
    const unused = UNUSED_MODULES.map((d) => `lib/modules/*/kernel/drivers/${d}`);
    unpack(join(piece, PACKAGE_FILE), folder, ['lib/modules/*'], [...unused, 'lib/modules/*/kernel/sound']);
  });
}

/** A file of SeaBIOS's package: `bios-256k.bin`, `vgabios-stdvga.bin`. */
export async function biosFile(file: string): Promise<string> {
  const path = join(await fetchPiece('seabios'), 'usr/share/seabios', file);
  if (!existsSync(path)) throw new UserError(`Debian's seabios package has no '${file}'`);
  return path;
}

/** Debian's installer for text consoles: its kernel and initial RAM disk. */
export async function installer(): Promise<{ readonly kernel: string; readonly initrd: string }> {
  const folder = join(await fetchPiece('debian-installer'), PIECES['debian-installer'].paths[0].replace('/*', ''));
  return { kernel: join(folder, 'linux'), initrd: join(folder, 'initrd.gz') };
}

/** memtest86+, which starts like a Linux kernel. */
export async function memtest(bits: 32 | 64): Promise<string> {
  return join(await fetchPiece('memtest'), `boot/memtest86+${bits === 64 ? 'x64' : 'ia32'}.bin`);
}

/** Folder of GRUB's modules for PCs with a BIOS. */
export async function grubModules(): Promise<string> {
  return join(await fetchPiece('grub'), 'usr/lib/grub/i386-pc');
}

/** Path of GRUB's core image for PCs with a BIOS, with `modules` built in; `prefix` is its folder on the guest's disk. */
export async function grubCore(modules: readonly string[], prefix: string): Promise<string> {
  const program = join(await fetchPiece('grub-tools'), 'usr/bin/grub-mkimage');
  const libraries = join(await fetchPiece('libdevmapper'), 'lib/x86_64-linux-gnu');
  const args = ['--format=i386-pc', `--directory=${await grubModules()}`, `--prefix=${prefix}`, ...modules];
  const digest = createHash('sha256').update(args.join('\0')).digest('hex').slice(0, 16);
  return cached(`grub-core/${digest}.img`, (path) => {
    const env = { ...process.env, LD_LIBRARY_PATH: libraries };
    const done = spawnSync(program, [...args, `--output=${path}`], { encoding: 'utf8', env });
    if (done.error || done.status !== 0) {
      throw new UserError(
        `grub-mkimage failed (${done.error?.message ?? done.stderr.trim()}): it is a program for x86-64 Linux`,
      );
    }
  });
}

/** A C file of some size, for compilers in guests: three libraries of one header each. */
const C_FILE = `#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_TRUETYPE_IMPLEMENTATION
#define STBI_NO_SIMD
#include <stb/stb_image.h>
#include <stb/stb_image_write.h>
#include <stb/stb_truetype.h>
`;

const PROGRAM_PIECES = [
  ...(['tcc', 'stb', 'libc', 'libc-headers', 'linux-headers'] as const),
  ...(['python', 'python-library', 'expat', 'zlib'] as const),
];

/**
 * Files of an initrd (amd64) in which `tcc -c /src/image.c` and `python3.11` work. Links in the packages become copies.
 */
export async function programFiles(): Promise<Record<string, Uint8Array | string>> {
  const out: Record<string, Uint8Array | string> = { '/src/image.c': C_FILE };
  for (const name of PROGRAM_PIECES) {
    const folder = await fetchPiece(name);
    for (const f of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
      if (!f.startsWith('usr/') && !f.startsWith('lib/')) continue;
      if (!statSync(join(folder, f)).isFile()) continue;
      // The initrd has one folder of programs.
      out[`/${f.replace(/^usr\/bin\//, 'bin/')}`] = new Uint8Array(readFileSync(join(folder, f)));
    }
  }
  // Where the programs' headers name the loader.
  out['/lib64/ld-linux-x86-64.so.2'] = out['/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2']!;
  return out;
}

export interface InitrdRequest {
  readonly linux?: LinuxName;
  readonly modules?: readonly string[];
  readonly files?: Readonly<Record<string, Uint8Array | string>>;
  readonly gzip?: boolean;
}

/** Path of an initrd with BusyBox and the chosen modules (with all they depend on). */
export async function initrdImage(request: InitrdRequest = {}): Promise<string> {
  const linux = request.linux ?? 'linux-amd64';
  const architecture = linux === 'linux-amd64' ? 'busybox-amd64' : 'busybox-i386';
  const busybox = readFileSync(join(await fetchPiece(architecture), 'bin/busybox'));
  const wanted = request.modules ?? [];
  const modules: KernelModule[] = wanted.length > 0 ? collectModules(await moduleFolder(linux), wanted) : [];
  const archive = buildInitrd({
    busybox,
    modules,
    ...(request.files && { files: request.files }),
    gzip: request.gzip ?? false,
  });
  const digest = createHash('sha256').update(archive).digest('hex').slice(0, 16);
  return cached(`initrd/${digest}.cpio${request.gzip ? '.gz' : ''}`, (path) => writeFileSync(path, archive));
}
