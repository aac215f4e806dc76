/** The command ends as it should also when that is before its processors run, whose threads start early. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { patience, times } from './patience.js';
import { skip } from './rig.js';

const COMMAND = fileURLToPath(new URL('../../../bin/tinamou-system-x86_64.js', import.meta.url));
const TIMES = times(5);

for (const [what, args, message] of [
  ['no property of its processor', ['-cpu', 'host,nonsense=on'], /Property '.*nonsense' not found/],
  ['no device', ['-smp', '4', '-device', 'nonsense'], /nonsense/],
  ['no firmware', ['-bios', '/nonexistent'], /\/nonexistent/],
] as const) {
  test(`a machine that cannot be: ${what}`, { skip, timeout: patience(60_000) }, () => {
    for (let i = 0; i < TIMES; i++) {
      const { status, signal, stderr } = spawnSync(
        process.execPath,
        [COMMAND, '-enable-kvm', '-display', 'none', ...args],
        { encoding: 'utf8' },
      );
      assert.deepEqual([status, signal], [1, null], stderr);
      assert.match(stderr, message);
      assert.doesNotMatch(stderr, /FATAL|stack trace/i);
    }
  });
}

test('a command that only says something', { skip, timeout: patience(60_000) }, () => {
  const { status, stdout } = spawnSync(process.execPath, [COMMAND, '-enable-kvm', '-cpu', 'help'], {
    encoding: 'utf8',
  });
  assert.equal(status, 0);
  assert.match(stdout, /qemu64/);
});
