/** The command ends as it should also when that is before its processors run, whose threads start early. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { pause } from './guest.js';
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

for (const accelerator of ['kvm', 'tcg']) {
  test(`-machine none under ${accelerator} runs, with nothing to run`, {
    skip,
    timeout: patience(60_000),
  }, async () => {
    const args = ['-machine', 'none', '-accel', accelerator, '-display', 'none', '-monitor', 'stdio'];
    const machine = spawn(process.execPath, [COMMAND, ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
    let said = '';
    const until = async (pattern: RegExp): Promise<void> => {
      while (!pattern.test(said)) said += await once(machine.stdout, 'data');
    };
    await until(/\(qemu\) /);
    machine.stdin.write('system_reset\nnmi\n');
    await pause(200);
    machine.stdin.write('info status\n');
    await until(/VM status: /);
    machine.stdin.write('quit\n');
    const [status] = await once(machine, 'exit');
    assert.match(said, /VM status: running/);
    assert.equal(status, 0);
  });
}

test('a command that only says something', { skip, timeout: patience(60_000) }, () => {
  const { status, stdout } = spawnSync(process.execPath, [COMMAND, '-enable-kvm', '-cpu', 'help'], {
    encoding: 'utf8',
  });
  assert.equal(status, 0);
  assert.match(stdout, /qemu64/);
});
