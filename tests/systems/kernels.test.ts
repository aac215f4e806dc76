/** Debian's stock kernels on processor models, numbers of processors and both tiers, to a shell that computes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LinuxName } from '../../tools/guest/guests.js';
import { BOOT_SECONDS, linuxMachine, missingLinux, powerOff, run, type Tier, toPrompt } from './linux.js';

interface Case {
  readonly linux: LinuxName;
  readonly cpu: string;
  readonly smp?: number;
  readonly tier?: Tier;
}

const CASES: readonly Case[] = [
  { linux: 'linux-amd64', cpu: 'max' },
  { linux: 'linux-amd64', cpu: 'qemu64' },
  { linux: 'linux-amd64', cpu: 'Haswell' },
  { linux: 'linux-amd64', cpu: 'Nehalem' },
  { linux: 'linux-amd64', cpu: 'EPYC' },
  { linux: 'linux-686', cpu: 'qemu32' },
  { linux: 'linux-686', cpu: 'pentium3' },
  { linux: 'linux-686-pae', cpu: 'qemu32' },
  { linux: 'linux-686-pae', cpu: 'pentium3' },
  { linux: 'linux-amd64', cpu: 'max', smp: 2 },
  { linux: 'linux-amd64', cpu: 'max', smp: 4 },
  { linux: 'linux-amd64', cpu: 'max', smp: 8 },
  { linux: 'linux-686-pae', cpu: 'qemu32', smp: 2 },
  { linux: 'linux-amd64', cpu: 'max', tier: 'interpreter' },
  { linux: 'linux-amd64', cpu: 'max', smp: 2, tier: 'interpreter' },
  { linux: 'linux-686-pae', cpu: 'qemu32', tier: 'interpreter' },
];

/** `name-1` without the hash that BusyBox's sums print after it. */
const sum = (said: string): string | undefined => /^[0-9a-f]{64}/m.exec(said)?.[0];

for (const { linux, cpu, smp = 1, tier = 'both' } of CASES) {
  const name = `${linux} on -cpu ${cpu} -smp ${smp}, ${tier === 'both' ? 'both tiers' : tier}`;
  const skip = await missingLinux(linux);
  test(name, { skip, timeout: (BOOT_SECONDS[tier] + 120) * 1000 }, async (t) => {
    const start = performance.now();
    const vm = await linuxMachine({ linux, cpu, smp, tier });
    try {
      const said = await toPrompt(vm, tier);
      t.diagnostic(`${name}: ${((performance.now() - start) / 1000).toFixed(1)} s to the prompt`);
      assert.match(said, /Run \/init as init process/);
      assert.equal(await run(vm, 'nproc'), String(smp));
      assert.equal(await run(vm, 'uname -m'), linux === 'linux-amd64' ? 'x86_64' : 'i686');
      assert.equal(await run(vm, 'grep -c ^processor /proc/cpuinfo'), String(smp));
      // SHA-256 of a megabyte of zeros, from any other implementation.
      assert.equal(
        sum(await run(vm, 'dd if=/dev/zero bs=1024 count=1024 2>/dev/null | sha256sum', 120)),
        '30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58',
      );
      // Every processor takes work and interrupts of its own.
      for (let i = 0; i < smp; i++) {
        assert.equal(
          await run(
            vm,
            `taskset ${(1 << i).toString(16)} sh -c 'i=0; while [ $i -lt 50 ]; do i=$((i+1)); done; echo $i'`,
          ),
          '50',
        );
      }
      assert.equal(await run(vm, 'dmesg | grep -ciE "soft lockup|rcu.*stall|hung task"'), '0');
      await powerOff(vm);
    } finally {
      await vm.dispose();
    }
  });
}
