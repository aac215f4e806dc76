/** What all commands share: opening images by the options that all of them have. */
import { UserError } from '../../base/errors.js';
import { CACHE_MODES, type CacheMode, type FormatNode } from '../../block/format.js';
import type { BlockNode } from '../../block/node.js';
import { type OpenOptions, openImage } from '../../block/open.js';
import { fromPairs } from '../../block/options-name.js';
import { NODE_BLOCK_HOST } from '../../host/node/block-host.js';
import { HostObjects } from '../../host/node/host-objects.js';
import { keyValues, type Options, PROGRAM, UsageError } from './getopt.js';
import { Progress } from './output.js';

export interface Io {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
}

export class Command {
  readonly objects: HostObjects;
  readonly quiet: boolean;

  constructor(
    readonly io: Io,
    readonly options: Options,
  ) {
    this.objects = hostObjects(options.all('object'));
    this.quiet = options.has('q');
  }

  get secrets(): ReadonlyMap<string, Uint8Array> {
    return this.objects.secrets;
  }

  print(text: string): void {
    this.io.out(text);
  }

  /** Left out with -q. */
  say(text: string): void {
    if (!this.quiet) this.io.out(text);
  }

  error(text: string): void {
    this.io.err(`${PROGRAM}: ${text}\n`);
  }

  /** The only operand. */
  image(): string {
    const [name, ...more] = this.options.operands;
    if (name === undefined || more.length > 0) throw new UsageError('Expecting one image file name');
    return name;
  }

  /** Before the command's image is opened for writing. */
  refuseSharing(): void {
    if (this.options.has('U'))
      throw new UserError(`Could not open '${this.image()}': force-share=on can only be used with read-only images`);
  }

  /** For -p, which -q overrules. */
  progress(): Progress {
    return new Progress(this.options.has('p') && !this.quiet, this.io.out);
  }

  cache(letter: string, otherwise: CacheMode): CacheMode {
    const text = this.options.get(letter) ?? otherwise;
    if ((CACHE_MODES as readonly string[]).includes(text)) return text as CacheMode;
    throw new UserError(`Invalid ${letter === 'T' ? 'source ' : ''}cache option: ${text}`);
  }

  /** Opens by name, or by `driver=...,file.filename=...` with --image-opts, unless `byOptions` says otherwise. */
  async open(
    name: string,
    more: Partial<OpenOptions> = {},
    byOptions = this.options.has('image-opts'),
  ): Promise<FormatNode> {
    if (byOptions && this.options.has('image-opts') && this.options.has('f'))
      throw new UserError('--image-opts and --format are mutually exclusive');
    if (byOptions && !name.includes('=')) {
      throw new UserError(`Could not open '${name}': Cannot find device='${name}' nor node-name='${name}'`);
    }
    const imageOptions = byOptions ? fromPairs(keyValues(name), name) : { file: name };
    const { format, ...rest } = more;
    const chosen = format ?? (imageOptions as OpenOptions).format;
    try {
      return await openImage(NODE_BLOCK_HOST, {
        ...rest,
        ...imageOptions,
        options: { ...rest.options, ...(imageOptions as OpenOptions).options },
        ...(chosen !== undefined && { format: chosen }),
        share: this.options.has('U') && rest.readOnly === true,
        secrets: this.secrets,
        credentials: this.objects.credentials,
        warn: (text) => this.io.err(`${text}\n`),
      });
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      throw new UserError(`Could not open '${name}': ${error.message}`);
    }
  }
}

export const noSnapshots = (node: FormatNode): UserError =>
  new UserError(
    `Failed to load snapshot: Block format '${node.driver}' used by device '' does not support temporarily loading internal snapshots`,
  );

/** Runs with an open image, and closes it however that ends. */
export async function using<N extends BlockNode, T>(node: N, run: (node: N) => Promise<T>): Promise<T> {
  let result: T;
  try {
    result = await run(node);
  } catch (error) {
    // What went wrong first is told.
    try {
      await node.close();
    } catch (second) {
      if (!(second instanceof UserError)) throw second;
    }
    throw error;
  }
  await node.close();
  return result;
}

/** `secret,id=s,data=...` or `file=...`, plain or base64; `tls-creds-x509` and `tls-creds-psk`. */
export function hostObjects(texts: readonly string[]): HostObjects {
  const objects = new HostObjects();
  for (const text of texts) {
    const [, type = '', rest = ''] = /^([^,]*),?(.*)$/s.exec(text) ?? [];
    objects.add(type.replace(/^qom-type=/, ''), keyValues(rest));
  }
  return objects;
}
