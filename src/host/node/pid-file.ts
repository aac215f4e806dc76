/** The file that says which process a machine is. It is ours alone as long as it is locked. */
import fs from 'node:fs';
import { type Disposable, toDisposable } from '../../base/disposable.js';
import { UserError } from '../../base/errors.js';
import { fileCalls } from './file-calls.js';
import { hostReason } from './host-error.js';

/** Writes this process's id to `path`; disposing removes the file. Throws UserError, also when somebody else has it. */
export function writePidFile(path: string): Disposable {
  let fd = -1;
  try {
    fd = fs.openSync(path, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o600);
    const calls = fileCalls();
    if (calls && (!calls.lockShared(fd, 0) || calls.isLocked(fd, 0))) {
      throw new UserError('cannot lock it: another process has it');
    }
    fs.ftruncateSync(fd);
    fs.writeSync(fd, `${process.pid}\n`, 0);
  } catch (error) {
    if (fd >= 0) fs.closeSync(fd);
    const reason = error instanceof UserError ? error.message : hostReason(error);
    throw new UserError(`-pidfile ${path}: cannot create PID file: ${reason}`);
  }
  return toDisposable(() => {
    fs.rmSync(path, { force: true });
    fs.closeSync(fd);
  });
}
