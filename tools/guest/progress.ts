/** One line of progress on a terminal; silent elsewhere. */
export class Progress {
  private readonly visible = process.stderr.isTTY === true;
  private shown = false;

  /** `done` and `total` in bytes. */
  update(label: string, done: number, total: number): void {
    const mib = (bytes: number): string => (bytes / (1 << 20)).toFixed(1);
    this.show(total > 0 ? done / total : 0, `${mib(done)}/${mib(total)} MiB  ${label}`);
  }

  /** `part` of the whole, 0 to 1. */
  part(label: string, part: number): void {
    this.show(
      part,
      `${Math.floor(Math.min(1, part) * 100)
        .toString()
        .padStart(3)} %  ${label}`,
    );
  }

  private show(part: number, text: string): void {
    if (!this.visible) return;
    const WIDTH = 30;
    const filled = Math.round(Math.min(1, part) * WIDTH);
    const bar = '#'.repeat(filled) + '.'.repeat(WIDTH - filled);
    process.stderr.write(`\r\x1b[K[${bar}] ${text}`);
    this.shown = true;
  }

  end(): void {
    if (this.shown) process.stderr.write('\r\x1b[K');
    this.shown = false;
  }
}
