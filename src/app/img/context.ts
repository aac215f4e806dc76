/** What all commands share: opening images by the options that all of them have. */
import { UserError } from '../../base/errors.js';
import { CACHE_MODES, type CacheMode, type FormatNode } from '../../block/format.js';
import type { BlockNode } from '../../block/node.js';
import { type OpenOptions, openImage } from '../../block/open.js';
import { fromPairs } from '../../block/options-name.js';
import { NODE_BLOCK_HOST } from '../../host/node/block-host.js';
import { secretBytes } from '../../host/node/secret.js';
import { keyValues, type Options } from './getopt.js';

export interface Io {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
}

/** The name that messages begin with. */
export const PROGRAM = 'tinamou-img';

export class Command {
  readonly secrets: ReadonlyMap<string, Uint8Array>;
  readonly quiet: boolean;

  constructor(
    readonly io: Io,
    readonly options: Options,
  ) {
    this.secrets = secretsOf(options.all('object'));
    this.quiet = options.has('q');
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

  operand(index: number, missing = 'Expecting one image file name'): string {
    const value = this.options.operands[index];
    if (value === undefined) throw new UserError(missing);
    return value;
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
    const imageOptions = byOptions ? fromPairs(keyValues(name), name) : { file: name };
    const { format, ...rest } = more;
    const chosen = format ?? (imageOptions as OpenOptions).format;
    try {
      return await openImage(NODE_BLOCK_HOST, {
        ...rest,
        ...imageOptions,
        options: { ...rest.options, ...(imageOptions as OpenOptions).options },
        ...(chosen !== undefined && { format: chosen }),
        share: this.options.has('U'),
        secrets: this.secrets,
      });
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      throw new UserError(`Could not open '${name}': ${error.message}`);
    }
  }
}

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

/** `secret,id=s,data=...` or `file=...`, plain or base64. */
function secretsOf(objects: readonly string[]): ReadonlyMap<string, Uint8Array> {
  const secrets = new Map<string, Uint8Array>();
  for (const text of objects) {
    const [, type = '', rest = ''] = /^([^,]*),?(.*)$/s.exec(text) ?? [];
    const pairs = keyValues(rest);
    const id = pairs.get('id');
    if (type.replace(/^qom-type=/, '') !== 'secret') throw new UserError(`invalid object type: ${type}`);
    if (id === undefined) throw new UserError("Parameter 'id' is missing");
    secrets.set(id, secretBytes(pairs));
  }
  return secrets;
}
