/** What code the host lets its programs run. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeElf } from './elf.js';

const AT = 0x400000;
const READ_EXECUTE = 5;
/** Exits with 0 if Linux's selector of 32-bit code can be loaded, else with 1. */
const PROGRAM = [
  ...[0xb8, 0x23, 0, 0, 0], // mov eax, 23h
  ...[0x0f, 0x02, 0xd8], // lar ebx, eax
  ...[0x0f, 0x95, 0xc0], // setnz al
  ...[0x0f, 0xb6, 0xf8], // movzx edi, al
  ...[0xb8, 60, 0, 0, 0], // mov eax, exit
  ...[0x0f, 0x05], // syscall
];

let answer: string | undefined | null = null;

/** Why this host runs no 32-bit code, or undefined. A Linux that is itself a guest without hardware's help may have none (PVM). */
export function narrowCodeUnavailable(): string | undefined {
  if (answer === null) answer = look();
  return answer;
}

function look(): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'modes-'));
  try {
    const program = join(folder, 'look');
    writeFileSync(program, writeElf(AT, [{ address: AT, bytes: Uint8Array.from(PROGRAM), flags: READ_EXECUTE }]), {
      mode: 0o755,
    });
    const { status, signal } = spawnSync(program);
    if (status === 0) return undefined;
    if (status === 1) return "the host's kernel runs no 32-bit code";
    throw new Error(`the program that looks for 32-bit code: status ${status} signal ${signal}`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
