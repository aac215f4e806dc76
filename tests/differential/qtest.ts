/**
 * QEMU as a collection of chips: its qtest protocol reads and writes ports and memory of a machine whose processor does
 * not run. Virtual time stands still.
 */
import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';

export const qemuInstalled = spawnSync('qemu-system-x86_64', ['-version']).status === 0;

const SUFFIX = { 1: 'b', 2: 'w', 4: 'l' } as const;
export type Width = 1 | 2 | 4;

export class Qtest {
  readonly #process: ChildProcessByStdio<Writable, Readable, null>;
  readonly #waiting: ((line: string) => void)[] = [];
  #buffer = '';

  constructor(machine: readonly string[]) {
    const args = ['-accel', 'tcg', '-S', '-display', 'none', '-nodefaults', '-monitor', 'none', '-qtest', 'stdio'];
    this.#process = spawn('qemu-system-x86_64', [...args, ...machine], { stdio: ['pipe', 'pipe', 'ignore'] });
    this.#process.stdout.on('data', (data: Buffer) => this.#receive(data.toString('latin1')));
  }

  async portRead(port: number, width: Width): Promise<number> {
    return this.#number(`in${SUFFIX[width]} 0x${port.toString(16)}`);
  }
  async portWrite(port: number, width: Width, value: number): Promise<void> {
    await this.#command(`out${SUFFIX[width]} 0x${port.toString(16)} 0x${value.toString(16)}`);
  }
  async memoryRead(address: number): Promise<number> {
    return this.#number(`readl 0x${address.toString(16)}`);
  }
  async memoryWrite(address: number, value: number): Promise<void> {
    await this.#command(`writel 0x${address.toString(16)} 0x${value.toString(16)}`);
  }
  close(): void {
    this.#process.kill();
  }

  #receive(text: string): void {
    const lines = (this.#buffer + text).split('\n');
    this.#buffer = lines.pop()!;
    for (const line of lines) if (/^(OK|FAIL|ERR)/.test(line)) this.#waiting.shift()?.(line.trim());
  }

  #command(text: string): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#waiting.push((line) => (line.startsWith('OK') ? resolve(line) : reject(new Error(`${text}: ${line}`))));
      this.#process.stdin.write(`${text}\n`);
    });
  }

  async #number(text: string): Promise<number> {
    return Number((await this.#command(text)).slice(3));
  }
}
