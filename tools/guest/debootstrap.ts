/**
 * A Debian system in a folder, by debootstrap. apt fetches and verifies the packages, so that they come from where this system
 * has its own; debootstrap finds them in a folder that looks like an archive.
 *
 * The first stage unpacks and needs no more than a program that pretends to be root; the second configures and must run in
 * the new system: by chroot, or in a guest.
 */
import { createHash } from 'node:crypto';
import { linkSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../../src/base/errors.js';
import type { Apt } from './apt.js';
import { fetchPiece } from './guests.js';
import type { Progress } from './progress.js';
import { follow } from './tool.js';

export const CODENAME = 'bookworm';
const SECOND_STAGE = '/debootstrap/debootstrap --second-stage';

/** debootstrap asks for this one by itself. */
const OWN_NEEDS = ['usr-is-merged'];

const field = (paragraph: string, key: string): string => new RegExp(`^${key}: (.*)$`, 'm').exec(paragraph)?.[1] ?? '';

/** An archive of what is in `packages` (with apt's file names). */
function makeArchive(archive: string, packages: string, paragraphs: readonly string[]): void {
  const index = `dists/${CODENAME}/main/binary-amd64`;
  mkdirSync(join(archive, 'pool'), { recursive: true });
  mkdirSync(join(archive, index), { recursive: true });
  const listed = paragraphs.map((paragraph) => {
    const [name, version, architecture] = ['Package', 'Version', 'Architecture'].map((key) => field(paragraph, key));
    const path = `pool/${name}_${version!.replace(/^\d+:/, '')}_${architecture}.deb`;
    linkSync(join(packages, `${name}_${version!.replaceAll(':', '%3a')}_${architecture}.deb`), join(archive, path));
    return `${paragraph.trim().replace(/^Filename: .*$/m, `Filename: ${path}`)}\n\n`;
  });
  const text = Buffer.from(listed.join(''));
  writeFileSync(join(archive, index, 'Packages'), text);
  writeFileSync(
    join(archive, `dists/${CODENAME}/Release`),
    [
      ...[`Suite: ${CODENAME}`, `Codename: ${CODENAME}`, 'Components: main', 'Architectures: amd64', 'SHA256:'],
      ` ${createHash('sha256').update(text).digest('hex')} ${text.length} main/binary-amd64/Packages`,
      '',
    ].join('\n'),
  );
}

export interface FirstStage {
  readonly apt: Apt;
  /** Made by debootstrap. */
  readonly root: string;
  /** For packages; not needed afterwards. */
  readonly scratch: string;
  readonly packages: readonly string[];
  /** Goes before debootstrap, for users other than root. */
  readonly under: readonly string[];
  readonly progress: Progress;
}

/** Returns how many packages the system has. */
export async function firstStage(stage: FirstStage): Promise<number> {
  const { apt, root, scratch, progress } = stage;
  const packages = join(scratch, 'packages');
  const archive = join(scratch, 'archive');
  const paragraphs = await apt.downloadSystem([...OWN_NEEDS, ...stage.packages], packages, progress);
  makeArchive(archive, packages, paragraphs);
  const names = paragraphs.map((paragraph) => field(paragraph, 'Package'));
  const program = await fetchPiece('debootstrap');
  let extracted = 0;
  const { status, tail } = await follow(
    [
      ...[
        ...stage.under,
        'sh',
        join(program, 'usr/sbin/debootstrap'),
        '--foreign',
        '--arch=amd64',
        '--variant=minbase',
      ],
      // apt has checked the archive that this one is made of, which has no signature.
      ...['--no-check-gpg', `--include=${names.join(',')}`, CODENAME, root, `file://${archive}`],
    ],
    (line) => {
      const name = /^I: Extracting (.*)\.\.\.$/.exec(line)?.[1];
      if (name) progress.part(`unpacking ${name}`, ++extracted / names.length);
    },
    { DEBOOTSTRAP_DIR: join(program, 'usr/share/debootstrap') },
  );
  progress.end();
  if (status !== 0) throw new UserError(`debootstrap failed, see its last lines:\n${tail}`);
  return names.length;
}

/** What to run in the new system, as its root. Each package is unpacked and configured once, with a line each. */
export const secondStageScript = (afterwards: string): string => `#!/bin/sh
set -e
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C DEBIAN_FRONTEND=noninteractive
${SECOND_STAGE}
${afterwards}`;

/** Tells of the second stage's progress by the lines that it says. */
export function secondStageProgress(progress: Progress, packages: number): (line: string) => void {
  let steps = 0;
  return (line) => {
    const [, what, name] = /I: (Unpacking|Configuring) ([^\s:]+).*\.\.\./.exec(line) ?? [];
    if (what) progress.part(`${what.toLowerCase()} ${name}`, ++steps / (2 * packages));
  };
}

/** Runs the second stage by chroot, with mounts that nobody else sees. */
export async function secondStageByChroot(
  root: string,
  script: string,
  packages: number,
  progress: Progress,
): Promise<void> {
  const { status, tail } = await follow(
    [...PRIVATE_MOUNTS, 'chroot', root, script],
    secondStageProgress(progress, packages),
  );
  progress.end();
  if (status !== 0) throw new UserError(`debootstrap's second stage failed, see its last lines:\n${tail}`);
}

/** Processes that packages start end with this one. */
export const PRIVATE_MOUNTS = ['unshare', '--mount', '--pid', '--fork', '--kill-child'];
