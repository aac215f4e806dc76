/** Runs instructions on the host's processor: assembles them with gcc into a program that feeds them vectors. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { arch, tmpdir } from 'node:os';
import { join } from 'node:path';

/** Bytes of one input record: XMM1 (a), XMM2 (b), XMM0 (mask), then RAX and RDX. */
export const INPUT_BYTES = 64;
/** Bytes of one output record: XMM1, RAX, EFLAGS. */
export const OUTPUT_BYTES = 32;

/** Why native runs are impossible here, or undefined. */
export function nativeUnavailable(): string | undefined {
  if (arch() !== 'x64') return 'needs an x86-64 host';
  if (spawnSync('gcc', ['--version']).status !== 0) return 'needs gcc';
  return undefined;
}

const DRIVER = `
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
typedef void (*Case)(const unsigned char *in, unsigned char *out);
extern Case cases[];
extern unsigned caseCount;
static sigjmp_buf back;
static void ill(int s) { (void)s; siglongjmp(back, 1); }
int main(int argc, char **argv) {
  unsigned n = atoi(argv[1]);
  unsigned char *in = malloc(n * 64), out[32], supported;
  (void)argc;
  if (fread(in, 64, n, stdin) != n) return 1;
  signal(SIGILL, ill);
  for (unsigned c = 0; c < caseCount; c++) {
    supported = 1;
    if (sigsetjmp(back, 1)) supported = 0;
    else cases[c](in, out);
    fwrite(&supported, 1, 1, stdout);
    for (unsigned i = 0; i < n; i++) {
      memset(out, 0, 32);
      if (supported) cases[c](in + i * 64, out);
      fwrite(out, 1, 32, stdout);
    }
  }
  return 0;
}`;

const assembly = (instructions: readonly string[]): string =>
  `.text\n${instructions
    .map(
      (text, i) => `case${i}:
  push %rbx
  movdqu (%rdi), %xmm1
  movdqu 16(%rdi), %xmm2
  movdqu 32(%rdi), %xmm0
  mov 48(%rdi), %rax
  mov 56(%rdi), %rdx
  ${text}
  pushfq
  pop %rbx
  movdqu %xmm1, (%rsi)
  mov %rax, 16(%rsi)
  mov %rbx, 24(%rsi)
  emms
  pop %rbx
  ret
`,
    )
    .join('')}.data\n.globl cases, caseCount\n.balign 8\ncases: ${instructions
    .map((_, i) => `\n  .quad case${i}`)
    .join('')}\ncaseCount: .long ${instructions.length}\n.section .note.GNU-stack,"",@progbits\n`;

/**
 * Outputs of every instruction (AT&T text, may be several) for every input record; undefined where this processor does
 * not know the instruction.
 */
export function runNative(instructions: readonly string[], inputs: Uint8Array): (Uint8Array | undefined)[] {
  const folder = mkdtempSync(join(tmpdir(), 'native-'));
  try {
    writeFileSync(join(folder, 'driver.c'), DRIVER);
    writeFileSync(join(folder, 'cases.s'), assembly(instructions));
    const program = join(folder, 'program');
    const built = spawnSync('gcc', ['-O1', '-o', program, join(folder, 'driver.c'), join(folder, 'cases.s')], {
      encoding: 'utf8',
    });
    if (built.status !== 0) throw new Error(`gcc: ${built.stderr}`);
    const count = inputs.length / INPUT_BYTES;
    const run = spawnSync(program, [String(count)], { input: inputs, maxBuffer: 1 << 28 });
    if (run.status !== 0) throw new Error(`native program ended with ${run.status ?? run.signal}`);
    const record = 1 + count * OUTPUT_BYTES;
    return instructions.map((_, i) =>
      run.stdout[i * record] === 1 ? run.stdout.subarray(i * record + 1, (i + 1) * record) : undefined,
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
}
