/** Runs batches on the host's processor: as a static ELF program that is written here, with no tool's help. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeElf } from '../../support/elf.js';
import { buildHarness, HARNESS, IMAGE, INPUTS, OUTPUTS, VARIABLES, VARIABLES_BYTES } from './harness.js';
import { CODE, DATA, DATA_BYTES, IN, OUT } from './layout.js';
import { type Batch, type Outcome, outcomeOf } from './sequence.js';

const R = 4;
const RW = 6;
const RX = 5;

/** Why there is nothing to compare with, or undefined. */
export function nativeUnavailable(): string | undefined {
  return process.arch === 'x64' && process.platform === 'linux' ? undefined : 'not Linux on x86-64';
}

export class Native {
  readonly #folder = mkdtempSync(join(tmpdir(), 'fuzz-'));

  run(batch: Batch): Outcome[] {
    const count = batch.sequences.length;
    const harness = buildHarness(count);
    const inputs = new Uint8Array(count * IN.bytes);
    batch.sequences.forEach((s, n) => {
      inputs.set(s.input, n * IN.bytes);
    });
    const none = new Uint8Array(0);
    const file = writeElf(HARNESS, [
      { address: CODE, bytes: batch.codeFor(harness.leave), flags: RX },
      { address: DATA, bytes: none, size: DATA_BYTES, flags: RW },
      { address: DATA + DATA_BYTES, bytes: batch.image.subarray(DATA_BYTES), flags: R },
      { address: HARNESS, bytes: harness.code, flags: RX },
      { address: VARIABLES, bytes: harness.variables, size: VARIABLES_BYTES, flags: RW },
      { address: IMAGE, bytes: batch.image, flags: R },
      { address: INPUTS, bytes: inputs, flags: R },
      { address: OUTPUTS, bytes: none, size: count * OUT.bytes, flags: RW },
    ]);
    const program = join(this.#folder, 'sequences');
    rmSync(program, { force: true });
    writeFileSync(program, file, { mode: 0o755 });
    const size = count * OUT.bytes;
    const done = spawnSync(program, [], {
      maxBuffer: size + 4096,
      timeout: 300_000,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    if (done.status !== 0 || done.stdout.length !== size)
      throw new Error(
        `native program: status ${done.status} signal ${done.signal}, ${done.stdout?.length} of ${size} bytes`,
      );
    return batch.entries.map((entry, n) => outcomeOf(done.stdout.subarray(n * OUT.bytes, (n + 1) * OUT.bytes), entry));
  }

  dispose(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
