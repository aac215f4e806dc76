/** Huge pages for a machine's memory, where the host gives them only to who asks (madvise(2), as QEMU does for guest RAM). */
import { loadKoffi } from './koffi.js';

const MADV_HUGEPAGE = 14;
/** What a 32-bit WebAssembly.Memory can grow to: V8 reserves all of it at once. */
const RESERVED = 2 ** 32;

/**
 * Asks for huge pages for all that a memory may grow to: guests that go about in their RAM at random spent half their time in the
 * host's page walks. Without Linux, koffi or a kernel that does this nothing happens.
 */
export function adviseHugePages(memory: WebAssembly.Memory): void {
  if (process.platform !== 'linux' || process.arch === 'ia32' || process.arch === 'arm') return;
  const koffi = loadKoffi();
  if (!koffi) return;
  try {
    const madvise = koffi.load(null).func('int madvise(intptr_t address, intptr_t length, int advice)');
    madvise(koffi.address(new Uint8Array(memory.buffer)), RESERVED, MADV_HUGEPAGE);
  } catch {
    // It is a matter of speed alone.
  }
}
