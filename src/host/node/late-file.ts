/** A file that is opened at once, so that what is wrong with it is told at once, and read when the process has time. */
import fs from 'node:fs';

/** By then a machine that was loaded from a state runs. */
const READ_AFTER_MS = 2000;

/**
 * Gives the file's contents, which are read when somebody asks for them, or after `readAfterMs`: whatever happens to the file's name
 * after this call changes nothing. Throws what the host says when it cannot be opened.
 */
export function readLater(path: string, readAfterMs = READ_AFTER_MS): () => Uint8Array {
  const fd = fs.openSync(path, 'r');
  const facts = fs.fstatSync(fd);
  if (!facts.isFile()) {
    try {
      const bytes = fs.readFileSync(fd);
      return () => bytes;
    } finally {
      fs.closeSync(fd);
    }
  }
  let contents: Uint8Array | undefined;
  let reading = false;
  const timer = setTimeout(() => {
    reading = true;
    const bytes = Buffer.allocUnsafeSlow(facts.size);
    fs.read(fd, bytes, 0, facts.size, 0, (_, count) => {
      // Less than all of it: whoever asks meets the reason.
      if (count === facts.size) contents ??= bytes;
      reading = false;
      if (contents) fs.closeSync(fd);
    });
  }, readAfterMs);
  timer.unref();
  return () => {
    if (contents) return contents;
    clearTimeout(timer);
    const bytes = Buffer.allocUnsafeSlow(facts.size);
    let got = 0;
    for (let n = 1; n > 0 && got < facts.size; got += n) n = fs.readSync(fd, bytes, got, facts.size - got, got);
    contents = bytes.subarray(0, got);
    if (!reading) fs.closeSync(fd);
    return contents;
  };
}
