/**
 * Debian packages through apt, without root: `apt-get download` needs only package lists. Where the system has none for a
 * package (a fresh container, another architecture), lists are fetched into a private state folder in the cache.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../../src/base/errors.js';
import { cacheFolder } from './cache.js';
import type { Progress } from './progress.js';
import { follow } from './tool.js';

/** Options of every apt call: never ask, never drop privileges into a folder the other user cannot read. */
const COMMON = ['-qq', '-o', 'APT::Sandbox::User=root', '-o', 'Debug::NoLocking=1'];

/** `name`: lists of sources are kept apart from those of packages. */
function privateOptions(name = 'apt'): string[] {
  const state = join(cacheFolder(), name);
  for (const sub of ['lists/partial', 'cache/archives/partial']) mkdirSync(join(state, sub), { recursive: true });
  const option = (key: string, value: string): string[] => ['-o', `${key}=${value}`];
  return [
    ...option('Dir::State', state),
    ...option('Dir::State::lists', join(state, 'lists')),
    ...option('Dir::State::status', '/dev/null'),
    ...option('Dir::Cache', join(state, 'cache')),
    ...option('APT::Architecture', 'amd64'),
    ...option('APT::Architectures::', 'amd64'),
    ...option('APT::Architectures::', 'i386'),
  ];
}

interface Answer {
  readonly ok: boolean;
  readonly out: string;
  readonly error: string;
}

function ask(tool: 'apt-get' | 'apt-cache', args: readonly string[], cwd?: string): Answer {
  const env = { ...process.env, LC_ALL: 'C' };
  const done = spawnSync(tool, args, { encoding: 'utf8', maxBuffer: 1 << 26, env, ...(cwd && { cwd }) });
  if (done.error) {
    throw new UserError(
      `cannot run ${tool} (${done.error.message}): guests come as Debian packages, use a Debian system or give -kernel`,
    );
  }
  return { ok: done.status === 0, out: done.stdout, error: firstError(done.stderr) };
}

/** The line of apt's complaint that says why. */
const firstError = (text: string): string => /^E: (.*)$/m.exec(text)?.[1] ?? text.trim().split('\n')[0] ?? '';

export interface Package {
  readonly name: string;
  readonly version: string;
  readonly depends: readonly string[];
  /** Bytes to download. */
  readonly size: number;
}

export class Apt {
  private options: readonly string[] = COMMON;
  private usesPrivateLists = false;

  /** The newest version of `name` (`linux-image-686:i386` for another architecture). */
  show(name: string): Package {
    let record = this.lookUp(name);
    let trouble = '';
    if (!record && !this.usesPrivateLists) {
      trouble = this.usePrivateLists();
      record = this.lookUp(name);
    }
    if (!record) {
      if (trouble)
        throw new UserError(`cannot fetch Debian's package lists (${trouble}): check the network connection`);
      throw new UserError(
        `no Debian package '${name}' in the archives that apt knows: guests come from Debian 12, check /etc/apt/sources.list`,
      );
    }
    return record;
  }

  private lookUp(name: string): Package | undefined {
    const answer = ask('apt-cache', [...this.options, 'show', '--no-all-versions', name]);
    if (!answer.ok) return undefined;
    const field = (key: string): string => new RegExp(`^${key}: (.*)$`, 'm').exec(answer.out)?.[1] ?? '';
    if (!field('Filename')) return undefined; // installed, but in no archive
    return {
      name,
      version: field('Version'),
      depends: field('Depends')
        .split(',')
        .map((d) => d.trim().split(' ')[0]!)
        .filter(Boolean),
      size: Number(field('Size')),
    };
  }

  /** Returns why some list could not be had, '' if all came: one archive's trouble need not be ours. */
  private usePrivateLists(): string {
    this.usesPrivateLists = true;
    this.options = [...COMMON, ...privateOptions()];
    const answer = ask('apt-get', [...this.options, 'update']);
    return answer.ok ? '' : answer.error || 'apt-get update failed';
  }

  /**
   * Downloads `names` and all that an empty amd64 system needs for them into `folder`, as package files with apt's names, and
   * returns what the archive says of each (paragraphs of its list). apt has checked the archive's signatures.
   */
  async downloadSystem(names: readonly string[], folder: string, progress: Progress): Promise<readonly string[]> {
    this.show('base-files:amd64'); // Where the system knows no such packages, private lists do.
    mkdirSync(join(folder, 'partial'), { recursive: true });
    const empty = ['-o', 'Dir::State::status=/dev/null', '-o', 'APT::Architecture=amd64'];
    const { status, tail } = await follow(
      [
        ...['apt-get', ...this.options, ...empty, '-o', `Dir::Cache::archives=${folder}`, '-o', 'APT::Status-Fd=3'],
        ...[
          '-y',
          '--no-install-recommends',
          '--download-only',
          'install',
          '?essential',
          '?priority(required)',
          ...names,
        ],
      ],
      (line) => {
        const percent = /^dlstatus:\d+:([\d.]+):/.exec(line)?.[1];
        if (percent) progress.part('downloading packages', Number(percent) / 100);
      },
    );
    progress.end();
    if (status !== 0) {
      throw new UserError(
        `cannot download Debian's packages (${firstError(tail)}): check the network connection, or run apt-get update`,
      );
    }
    const packages = readdirSync(folder)
      .filter((f) => f.endsWith('.deb'))
      .map((f) => f.slice(0, f.indexOf('_')));
    const shown = ask('apt-cache', [...this.options, ...empty, 'show', '--no-all-versions', ...packages]);
    return shown.out.split('\n\n').filter((paragraph) => /^Filename: /m.test(paragraph));
  }

  /** Where this system has Debian's release `codename` from. */
  site(codename: string): string | undefined {
    const format = ['--format', '$(CODENAME) $(REPO_URI)', 'Created-By: Packages'];
    const lines = ask('apt-get', [...this.options, 'indextargets', ...format]).out.split('\n');
    return lines.find((line) => line.startsWith(`${codename} `))?.split(' ')[1];
  }

  /** Downloads the source of `name` of release `codename` into `folder` and returns the path of what its authors published. */
  source(name: string, codename: string, folder: string): string {
    const site = this.site(codename);
    if (!site) throw new UserError(`apt knows no archive of Debian's ${codename}: check /etc/apt/sources.list`);
    mkdirSync(folder, { recursive: true });
    const list = join(folder, 'sources.list');
    writeFileSync(list, `deb-src ${site} ${codename} main\n`);
    const own = [`Dir::Etc::sourcelist=${list}`, 'Dir::Etc::sourceparts=-'].flatMap((option) => ['-o', option]);
    const options = [...COMMON, ...privateOptions('apt-sources'), ...own];
    for (const args of [['update'], ['source', '--download-only', name]]) {
      const answer = ask('apt-get', [...options, ...args], folder);
      if (!answer.ok) {
        throw new UserError(`cannot download the source of '${name}' (${answer.error}): check the network connection`);
      }
    }
    const archive = readdirSync(folder).find((f) => /\.orig\.tar\.\w+$/.test(f));
    if (!archive) throw new UserError(`Debian's source of '${name}' has no original archive: it is Debian's own`);
    return join(folder, archive);
  }

  /** Downloads into `folder` and returns the .deb file's path. */
  async download(pkg: Package, folder: string, progress: Progress): Promise<string> {
    mkdirSync(folder, { recursive: true });
    const debs = (): string[] => readdirSync(folder).map((f) => join(folder, f));
    const poll = setInterval(() => {
      const done = debs().reduce((sum, f) => sum + (statSync(f, { throwIfNoEntry: false })?.size ?? 0), 0);
      progress.update(pkg.name, done, pkg.size);
    }, 100);
    try {
      const child = spawn('apt-get', [...this.options, 'download', `${pkg.name}=${pkg.version}`], {
        cwd: folder,
        stdio: ['ignore', 'ignore', 'pipe'],
        env: { ...process.env, LC_ALL: 'C' },
      });
      let complaint = '';
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        complaint += text;
      });
      const status = await new Promise<number | null>((resolve, reject) => {
        child.on('error', reject);
        child.on('close', resolve);
      });
      const deb = debs().find((f) => f.endsWith('.deb'));
      if (status !== 0 || !deb || !existsSync(deb)) {
        throw new UserError(
          `cannot download Debian package '${pkg.name}' (${firstError(complaint)}): check the network connection, or run apt-get update`,
        );
      }
      return deb;
    } finally {
      clearInterval(poll);
      progress.end();
    }
  }
}

/** Unpacks the members of a package under any of `paths` (relative, as `boot/` or `usr/bin/x`) into `folder`. */
export function unpack(deb: string, folder: string, paths: readonly string[], exclude: readonly string[] = []): void {
  mkdirSync(folder, { recursive: true });
  const script =
    'deb=$1 folder=$2; shift 2; dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$folder" --no-same-owner --wildcards "$@"';
  const done = spawnSync(
    'bash',
    [
      '-o',
      'pipefail',
      '-c',
      script,
      'unpack',
      deb,
      folder,
      ...exclude.map((e) => `--exclude=./${e}`),
      ...paths.map((p) => `./${p}`),
    ],
    { encoding: 'utf8' },
  );
  if (done.error || done.status !== 0) {
    const why = done.error?.message ?? done.stderr.trim().split('\n')[0];
    throw new UserError(`cannot unpack ${deb} (${why}): check for free disk space in the cache folder`);
  }
}
