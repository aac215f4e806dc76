/** Writes cpio archives in the "newc" format, as Linux reads an initial RAM file system (kernel documentation, initramfs buffer format). */
type Content =
  | { readonly kind: 'directory' }
  | { readonly kind: 'file'; readonly bytes: Uint8Array }
  | { readonly kind: 'symlink'; readonly target: string }
  | { readonly kind: 'character'; readonly major: number; readonly minor: number };

const TYPE_BITS: Record<Content['kind'], number> = {
  directory: 0o040000,
  file: 0o100000,
  symlink: 0o120000,
  character: 0o020000,
};

export class CpioWriter {
  private readonly parts: Uint8Array[] = [];
  private inode = 0;

  directory(path: string, mode = 0o755): this {
    return this.entry(path, mode, { kind: 'directory' });
  }
  file(path: string, bytes: Uint8Array | string, mode = 0o644): this {
    const content = typeof bytes === 'string' ? new TextEncoder().encode(bytes) : bytes;
    return this.entry(path, mode, { kind: 'file', bytes: content });
  }
  symlink(path: string, target: string): this {
    return this.entry(path, 0o777, { kind: 'symlink', target });
  }
  character(path: string, major: number, minor: number, mode = 0o600): this {
    return this.entry(path, mode, { kind: 'character', major, minor });
  }

  private entry(path: string, mode: number, content: Content): this {
    let data: Uint8Array = new Uint8Array(0);
    if (content.kind === 'file') data = content.bytes;
    else if (content.kind === 'symlink') data = new TextEncoder().encode(content.target);
    const device = content.kind === 'character' ? [content.major, content.minor] : [0, 0];
    this.record(
      path,
      mode | TYPE_BITS[content.kind],
      content.kind === 'directory' ? 2 : 1,
      data,
      device as [number, number],
    );
    return this;
  }

  /** Header of thirteen 8-digit hexadecimal numbers, name, data, each padded to four bytes. Times and owners are zero. */
  private record(path: string, mode: number, links: number, data: Uint8Array, device: readonly [number, number]): void {
    const name = new TextEncoder().encode(path);
    const fields = [++this.inode, mode, 0, 0, links, 0, data.length, 0, 0, ...device, name.length + 1, 0];
    const header = `070701${fields.map((f) => f.toString(16).padStart(8, '0')).join('')}`;
    const padded = (length: number): number => (length + 3) & ~3;
    const head = new Uint8Array(padded(header.length + name.length + 1));
    head.set(new TextEncoder().encode(header));
    head.set(name, header.length);
    const body = new Uint8Array(padded(data.length));
    body.set(data);
    this.parts.push(head, body);
  }

  finish(): Uint8Array {
    this.inode = -1;
    this.record('TRAILER!!!', 0, 1, new Uint8Array(0), [0, 0]);
    return new Uint8Array(Buffer.concat(this.parts));
  }
}
