/** `npm run test:stress`: Linux while regions, translations and code are thrown away and slices end at random (accel/tcg/stress.ts). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BOOT_SECONDS, linuxMachine, missingLinux, run, toPrompt } from './linux.js';

const CASES = [
  { linux: 'linux-amd64', cpu: 'max', smp: 1 },
  { linux: 'linux-amd64', cpu: 'max', smp: 2 },
  { linux: 'linux-686-pae', cpu: 'qemu32', smp: 1 },
] as const;

for (const { linux, cpu, smp } of CASES) {
  const skip = await missingLinux(linux);
  test(`${linux} on -cpu ${cpu} -smp ${smp} under stress`, {
    skip,
    timeout: 2 * BOOT_SECONDS.stress * 1000,
  }, async () => {
    const vm = await linuxMachine({ linux, cpu, smp, tier: 'stress' });
    try {
      await toPrompt(vm, 'stress');
      // SHA-256 of a megabyte of zeros, from any other implementation.
      assert.match(
        await run(vm, 'dd if=/dev/zero bs=1024 count=1024 2>/dev/null | sha256sum', 300),
        /^30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58/m,
      );
      assert.equal(
        await run(vm, 'seq 2000 | sort -r | sort -n | md5sum', 300),
        await run(vm, 'seq 2000 | md5sum', 300),
      );
      assert.equal(
        await run(vm, 'i=0; while [ $i -lt 100 ]; do (:); /bin/true; i=$((i+1)); done; echo $i', 300),
        '100',
      );
      assert.equal(await run(vm, 'awk \'BEGIN{for(i=1;i<20000;i++)s+=1/i; printf "%.9f", s}\'', 300), '10.480678217');
    } finally {
      await vm.dispose();
    }
  });
}
