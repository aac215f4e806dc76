/** One line of progress on a terminal; silent elsewhere. */
export class Progress {
  private readonly visible = process.stderr.isTTY === true;
  private shown = false;

  /** `done` and `total` in bytes. */
  update(label: string, done: number, total: number): void {
    if (!this.visible) return;
    const WIDTH = 30;
    const part = total > 0 ? Math.min(1, done / total) : 0;
    const filled = Math.round(part * WIDTH);
    const mib = (bytes: number): string => (bytes / (1 << 20)).toFixed(1);
    const bar = '#'.repeat(filled) + '.'.repeat(WIDTH - filled);
    process.stderr.write(`\r\x1b[K[${bar}] ${mib(done)}/${mib(total)} MiB  ${label}`);
    this.shown = true;
  }

  end(): void {
    if (this.shown) process.stderr.write('\r\x1b[K');
    this.shown = false;
  }
}
