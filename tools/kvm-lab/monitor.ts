/** The monitor of the lab's QEMU: QMP on a socket, https://www.qemu.org/docs/master/interop/qmp-spec.html. */
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';

interface Reply {
  readonly return?: unknown;
  readonly error?: { readonly desc: string };
}

export class Monitor {
  readonly #waiting: ((reply: Reply) => void)[] = [];

  private constructor(private readonly socket: Socket) {
    createInterface({ input: socket }).on('line', (line) => {
      const reply: Reply = JSON.parse(line);
      // The greeting and events are neither.
      if (reply.return !== undefined || reply.error) this.#waiting.shift()?.(reply);
    });
    socket.on('close', () => {
      for (const done of this.#waiting.splice(0)) done({ error: { desc: 'the machine is gone' } });
    });
  }

  static async connect(path: string): Promise<Monitor> {
    const socket = await new Promise<Socket>((resolve, reject) => {
      const made = connect(path, () => resolve(made)).on('error', reject);
    });
    const monitor = new Monitor(socket);
    await monitor.#execute('qmp_capabilities');
    return monitor;
  }

  /** What the monitor for people says to a command, or why it could not be asked. */
  async command(line: string): Promise<string> {
    const { return: said, error } = await this.#execute('human-monitor-command', { 'command-line': line });
    return error ? `${line}: ${error.desc}` : String(said).replaceAll('\r', '').trimEnd();
  }

  close(): void {
    this.socket.destroy();
  }

  #execute(execute: string, args?: object): Promise<Reply> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.socket.write(`${JSON.stringify({ execute, ...(args && { arguments: args }) })}\n`);
    });
  }
}
