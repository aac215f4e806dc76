/** The command `tinamou-img`: disk images made, looked at, changed and converted, as with qemu-img. */
import { UserError } from '../../base/errors.js';
import { FORMATS } from '../../block/formats.js';
import { bench } from './bench.js';
import { bitmap } from './bitmap.js';
import { commit, rebase } from './chain.js';
import { compare } from './compare.js';
import { Command, type Io } from './context.js';
import { convert, dd } from './convert.js';
import { amend, create, measure, resize } from './create.js';
import { Options, PROGRAM, type Syntax, TRY_HELP, UsageError } from './getopt.js';
import { check, info, map, snapshot } from './info.js';

interface Row extends Syntax {
  readonly name: string;
  readonly usage: string;
  /** Gives the exit status. Throws UserError. */
  readonly run: (c: Command) => Promise<number>;
}

const SHARE = { 'force-share': 'U' };
const OUTPUT = { 'output=': undefined };

const COMMANDS: readonly Row[] = [
  {
    name: 'amend',
    usage: '[--object objectdef] [--image-opts] [-p] [-q] [-f fmt] [-t cache] [--force] -o options filename',
    short: 'o:f:t:pq',
    long: { force: undefined },
    run: amend,
  },
  {
    name: 'bench',
    usage:
      '[-c count] [-d depth] [-f fmt] [--flush-interval=flush_interval] [-i aio] [-n] [--no-drain] [-o offset] [--pattern=pattern] [-q] [-s buffer_size] [-S step_size] [-t cache] [-w] [-U] filename',
    short: 'c:d:f:ni:o:qs:S:t:wU',
    long: { 'flush-interval=': undefined, 'pattern=': undefined, 'no-drain': undefined, ...SHARE },
    run: bench,
  },
  {
    name: 'bitmap',
    usage:
      '(--merge SOURCE | --add | --remove | --clear | --enable | --disable)... [-b source_file [-F source_fmt]] [-g granularity] [--object objectdef] [--image-opts | -f fmt] filename bitmap',
    short: 'b:f:F:g:',
    long: {
      add: undefined,
      remove: undefined,
      clear: undefined,
      enable: undefined,
      disable: undefined,
      'merge=': undefined,
      'source-file=': 'b',
      'source-format=': 'F',
      'granularity=': 'g',
    },
    run: bitmap,
  },
  {
    name: 'check',
    usage:
      '[--object objectdef] [--image-opts] [-q] [-f fmt] [--output=ofmt] [-r [leaks | all]] [-T src_cache] [-U] filename',
    short: 'f:r:T:qU',
    long: { 'format=': 'f', 'repair=': 'r', ...OUTPUT, ...SHARE },
    run: check,
  },
  {
    name: 'commit',
    usage: '[--object objectdef] [--image-opts] [-q] [-f fmt] [-t cache] [-b base] [-r rate_limit] [-d] [-p] filename',
    short: 'f:t:b:dpqr:',
    run: commit,
  },
  {
    name: 'compare',
    usage:
      '[--object objectdef] [--image-opts] [-f fmt] [-F fmt] [-T src_cache] [-p] [-q] [-s] [-U] filename1 filename2',
    short: 'f:F:T:pqsU',
    long: SHARE,
    run: compare,
  },
  {
    name: 'convert',
    usage:
      '[--object objectdef] [--image-opts] [--target-image-opts] [--target-is-zero] [--bitmaps [--skip-broken-bitmaps]] [-U] [-C] [-c] [-p] [-q] [-n] [-f fmt] [-t cache] [-T src_cache] [-O output_fmt] [-B backing_file [-F backing_fmt]] [-o options] [-l snapshot_param] [-S sparse_size] [-r rate_limit] [-m num_coroutines] [-W] [--salvage] filename [filename2 [...]] output_filename',
    short: 'f:O:B:CcF:o:l:S:pt:T:qnm:WUr:',
    long: {
      'source-format=': 'f',
      'target-image-opts': undefined,
      'target-is-zero': undefined,
      bitmaps: undefined,
      salvage: undefined,
      'skip-broken-bitmaps': undefined,
      ...SHARE,
    },
    run: convert,
  },
  {
    name: 'create',
    usage: '[--object objectdef] [-q] [-f fmt] [-b backing_file [-F backing_fmt]] [-u] [-o options] filename [size]',
    short: 'F:b:f:o:qu',
    run: create,
  },
  {
    name: 'dd',
    usage:
      '[--image-opts] [-U] [-f fmt] [-O output_fmt] [bs=block_size] [count=blocks] [skip=blocks] if=input of=output',
    short: 'f:O:U',
    long: SHARE,
    run: dd,
  },
  {
    name: 'info',
    usage: '[--object objectdef] [--image-opts] [-f fmt] [--output=ofmt] [--backing-chain] [-U] filename',
    short: 'f:U',
    long: { 'format=': 'f', 'backing-chain': undefined, ...OUTPUT, ...SHARE },
    run: info,
  },
  {
    name: 'map',
    usage:
      '[--object objectdef] [--image-opts] [-f fmt] [--start-offset=offset] [--max-length=len] [--output=ofmt] [-U] filename',
    short: 'f:s:l:U',
    long: { 'format=': 'f', 'start-offset=': 's', 'max-length=': 'l', ...OUTPUT, ...SHARE },
    run: map,
  },
  {
    name: 'measure',
    usage:
      '[--output=ofmt] [-O output_fmt] [-o options] [--size N | [--object objectdef] [--image-opts] [-f fmt] [-l snapshot_param] filename]',
    short: 'f:l:o:O:U',
    long: { 'size=': undefined, ...OUTPUT, ...SHARE },
    run: measure,
  },
  {
    name: 'snapshot',
    usage: '[--object objectdef] [--image-opts] [-U] [-q] [-l | -a snapshot | -c snapshot | -d snapshot] filename',
    short: 'la:c:d:qU',
    long: SHARE,
    run: snapshot,
  },
  {
    name: 'rebase',
    usage:
      '[--object objectdef] [--image-opts] [-U] [-q] [-f fmt] [-t cache] [-T src_cache] [-p] [-u] -b backing_file [-F backing_fmt] filename',
    short: 'f:F:b:upt:T:qU',
    long: SHARE,
    run: rebase,
  },
  {
    name: 'resize',
    usage:
      '[--object objectdef] [--image-opts] [-f fmt] [--preallocation=prealloc] [-q] [--shrink] filename [+ | -]size',
    short: 'f:q',
    long: { 'preallocation=': undefined, shrink: undefined },
    run: resize,
  },
];

/** Runs the command and gives its exit status. */
export async function main(args: readonly string[], io: Io, version: string): Promise<number> {
  // Lines after the first are hints.
  const fail = (message: string): number => {
    io.err(`${PROGRAM}: ${message}\n`);
    return 1;
  };
  const [first, ...rest] = args;
  if (first === '-h' || first === '--help') {
    io.out(help(version));
    return 0;
  }
  if (first === '-V' || first === '--version') {
    io.out(`${PROGRAM} version ${version}\n`);
    return 0;
  }
  if (first === undefined) {
    io.err(`${PROGRAM}: Not enough arguments\n${TRY_HELP}\n`);
    return 1;
  }
  if (first.startsWith('-')) {
    io.err(`${PROGRAM}: unrecognized option '${first}'\n${TRY_HELP}\n`);
    return 1;
  }
  const row = COMMANDS.find((r) => r.name === first);
  if (!row) {
    io.err(`${PROGRAM}: Command not found: ${first}\n${TRY_HELP}\n`);
    return 1;
  }
  try {
    const options = new Options(row.name === 'resize' ? withNegativeSize(rest) : rest, row);
    if (options.has('h')) {
      io.out(help(version));
      return 0;
    }
    return await row.run(new Command(io, options));
  } catch (error) {
    if (error instanceof UsageError) {
      io.err(`${PROGRAM}: ${error.message}\n${TRY_HELP}\n`);
      return 1;
    }
    if (!(error instanceof UserError)) throw error;
    return fail(error.message);
  }
}

/** `resize file -1M`: the last argument is a size, not options. */
function withNegativeSize(args: readonly string[]): string[] {
  const last = args.at(-1);
  if (last === undefined || !/^-\d/.test(last)) return [...args];
  return [...args.slice(0, -1), '--', last];
}

const PARAMETERS = `Command parameters:
  'filename' is an image: a file, or nbd:, nbd+unix:, http:, https: or json:{...}
  'objectdef' makes an object: secret,id=NAME,data=TEXT (or file=FILE) for encrypted images, tls-creds-x509 and
    tls-creds-psk for NBD
  'fmt' is the image's format; without it, the first bytes tell
  'cache' is how the image is written, 'src_cache' how it is read: 'none', 'writeback', 'writethrough', 'directsync',
    'unsafe' (what is not said is 'writeback', for what convert writes 'unsafe')
  'size' is in bytes, or with the suffix k, M, G, T, P or E (powers of 1024) in units of those
  'options' are NAME=VALUE, with commas between; -o help lists those of a format
  'snapshot_param' is a snapshot's number or name, or snapshot.id=NUMBER,snapshot.name=NAME
  '-c' compresses what is written: qcow2 and stream-optimized vmdk
  '-u' takes the user's word for a backing image and does not open it: rebase changes its name only
  '-p' shows progress, '-q' prints errors only
  '-S' is how many zero bytes in a row are left out of the target (4k; 0: none, and all of it is allocated)
  '--output' is human or json
  '-n' writes into a target that is there already
  '-U' opens an image that another process may be writing

Parameters of single commands:
  bitmap: --add, --remove, --clear, --enable, --disable, --merge SOURCE, any number of them, in order; -g is the
    granularity of --add, -b and -F the image that --merge takes its source from
  check: '-r leaks' gives up clusters that nothing uses, '-r all' mends all that it can, which may hide damage
  compare: -f and -F are the formats of the first and second image, -s also compares sizes and what is allocated
  convert: --bitmaps copies persistent bitmaps; -m, -W and -C are accepted, and change nothing of the result
  dd: bs=BYTES (512), count=BLOCKS, skip=BLOCKS, if=FILE, of=FILE
  snapshot: -l lists, -c creates, -a goes back to, -d deletes the snapshot of that name
`;

function help(version: string): string {
  return `${PROGRAM} version ${version}
usage: ${PROGRAM} [standard options] command [command options]
Tinamou disk image utility

    '-h', '--help'       display this help and exit
    '-V', '--version'    output version information and exit

Command syntax:
${COMMANDS.map((r) => `  ${r.name} ${r.usage}\n`).join('')}
${PARAMETERS}
Supported formats: ${FORMATS.map((f) => f.name)
    .sort()
    .join(' ')}
`;
}
