import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ownTasks, shortRegisters } from './inspect.js';

test('of `info registers -a`, one line for each processor', () => {
  const text = `
CPU#0
RAX=000000000001ad40 RBX=0000000000000000 RCX=0000000000000000 RDX=4000000000000000
RIP=ffffffffb14592eb RFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=1
CR0=80050033 CR2=00007f5bd6f07110 CR3=000000000289c000 CR4=000006f0

CPU#1
EIP=0000fff0 EFL=00000002 [-------] CPL=0 II=0 A20=1 SMM=0 HLT=0
CR0=60000010 CR2=00000000 CR3=00000000 CR4=00000000`;
  assert.equal(
    shortRegisters(text),
    `CPU#0 RIP=ffffffffb14592eb RFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=1 CR3=000000000289c000
CPU#1 EIP=0000fff0 EFL=00000002 [-------] CPL=0 II=0 A20=1 SMM=0 HLT=0 CR3=00000000
`,
  );
});

test('of SysRq t, programs and the threads of the kernel that run or are stuck', () => {
  const init = `[   29.012054] task:init            state:S stack:0     pid:1     ppid:0      flags:0x00000002
[   29.014152] Call Trace:
[   29.014346]  <TASK>
[   29.014961]  kernel_wait4+0xb4/0x160
[   29.017991] RIP: 0033:0x460a63
`;
  const registers = `[   29.018347] RSP: 002b:00007fff4b6b4ed8 EFLAGS: 00000202 ORIG_RAX: 000000000000003d
[   29.020035] RAX: ffffffffffffffda RBX: 000000000f9119e0 RCX: 0000000000460a63
`;
  const kthreadd = `[   29.028145] task:kthreadd        state:S stack:0     pid:2     ppid:0      flags:0x00004000
[   29.028344] Call Trace:
[   29.028446]  <TASK>
`;
  const asleep = kthreadd.replace('kthreadd ', 'rcu_gp   ').replace('pid:2  ', 'pid:3  ').replace('ppid:0', 'ppid:2');
  const stuck = asleep.replace('rcu_gp ', 'kworker').replace('state:S', 'state:D');
  const rest = '[   30.1] Sched Debug Version: v0.11, 6.1.0-57-amd64 #1\n[   30.2]   .ktime : 29012.54\n';
  assert.equal(ownTasks(init + registers + kthreadd + asleep + stuck + rest), init + stuck);
});
