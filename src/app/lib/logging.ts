/** Carries out `-d`, `-D` and `-trace`: log items and trace events to standard error or a file. Process-wide. */
import fs from 'node:fs';
import { type Disposable, toDisposable } from '../../base/disposable.js';
import { UserError } from '../../base/errors.js';
import { log, setLogSink } from '../../base/log.js';
import { setTrace, setTraceSink } from '../../base/trace.js';
import { hostReason } from '../../host/node/host-error.js';
import { traceEvents } from '../options/logging.js';
import type { Wishes } from '../options/wishes.js';
import type { Assembled } from './assemble.js';

let write: (text: string) => void = (text) => process.stderr.write(text);

/** Opens the log file and turns on what was asked for. Throws UserError. */
export function openLog(w: Wishes): Disposable {
  const path = w.logFile ?? w.traceFile;
  let fd = -1;
  if (path !== undefined) {
    try {
      fd = fs.openSync(path, 'w');
    } catch (error) {
      throw new UserError(`-D ${path}: could not open the log file: ${hostReason(error)}`);
    }
    write = (text) => fs.writeSync(fd, text);
  }
  setLogSink((line) => write(`${line}\n`));
  setTraceSink((line) => write(`${line}\n`));
  for (const pattern of w.traces) {
    if (setTrace(traceEvents(), pattern, true) === 0) {
      throw new UserError(`-trace ${pattern}: no event matches: see -trace help`);
    }
  }
  return toDisposable(() => {
    write = (text) => process.stderr.write(text);
    if (fd >= 0) fs.closeSync(fd);
  });
}

/** Items as `logItems` gives them; all others are turned off. */
export function applyLogItems(_machine: Assembled, items: readonly string[]): void {
  log.guestErrors = items.includes('guest_errors');
  log.unimplemented = items.includes('unimp');
  const all = traceEvents();
  for (const item of items) {
    if (item.startsWith('trace:')) setTrace(all, item.slice('trace:'.length), true);
  }
}
