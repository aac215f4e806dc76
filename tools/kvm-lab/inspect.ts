/** What a lab that stands still is doing: its processors, as QEMU sees them, and its kernel's answers to the SysRq key. */
import { setTimeout as sleep } from 'node:timers/promises';

/** What can be asked of the lab from outside. */
export interface Lab {
  /** The answer of QEMU's monitor. */
  monitor(command: string): Promise<string>;
  /** What came on its console since the last call. */
  console(): string;
}

/** A processor that loops is elsewhere each time, one that waits is not. */
const LOOKS = 5;
const LOOK_MS = 400;
/** The console has said all when it is quiet for so long. */
const QUIET_MS = 1000;
const MOST_MS = 15_000;

/** SysRq keys, Linux, Documentation/admin-guide/sysrq.rst, with what is asked. */
const KEYS = {
  l: 'what its processors do',
  w: 'who waits without being interruptible',
  t: 'programs, and threads of the kernel that run',
  q: 'timers',
} as const;

export async function inspect(lab: Lab, print: (text: string) => void): Promise<void> {
  lab.console();
  print(`its processors, ${LOOKS} times:\n`);
  for (let i = 0; i < LOOKS; i++) {
    if (i > 0) await sleep(LOOK_MS);
    print(shortRegisters(await lab.monitor('info registers -a')));
  }
  print(`${await lab.monitor('info pic')}\n${await lab.monitor('info lapic')}\n`);
  // All that the kernel says comes to the console from now on.
  await press(lab, '9');
  for (const [key, what] of Object.entries(KEYS)) {
    const said = await press(lab, key);
    print(`\n${what} (SysRq ${key}):\n${(key === 't' ? ownTasks(said) : said) || 'its kernel does not answer\n'}`);
  }
  print(`\nits processors after that:\n${shortRegisters(await lab.monitor('info registers -a'))}`);
}

async function press(lab: Lab, key: string): Promise<string> {
  await lab.monitor(`sendkey alt-sysrq-${key}`);
  let said = '';
  let quiet = 0;
  for (let waited = 0; waited < MOST_MS && quiet < QUIET_MS; waited += LOOK_MS) {
    await sleep(LOOK_MS);
    const more = lab.console();
    said += more;
    // The key takes its way, too.
    quiet = more === '' && (said !== '' || waited > MOST_MS / 3) ? quiet + LOOK_MS : 0;
  }
  return said;
}

/** Of `info registers -a`: where each processor is, with its flags and whether it waits (HLT). */
export function shortRegisters(text: string): string {
  let out = '';
  let processor = '';
  for (const line of text.split('\n')) {
    if (line.startsWith('CPU#')) processor = line.trim();
    else if (/^[ER]IP=/.test(line)) out += `${processor} ${line.trim()}`.trim();
    else if (line.startsWith('CR0=')) out += ` ${/CR3=\w+/.exec(line)?.[0]}\n`;
  }
  return out;
}

const STAMP = /^\[ *\d+\.\d+\] /;
/** Of a program's registers where it entered the kernel, its address tells something. */
const REGISTERS = /^(RSP|RAX|RDX|RBP|R10|R13): /;

/** Of what SysRq t prints: programs (the kernel's threads are children of kthreadd, process 2) and what runs or is stuck. */
export function ownTasks(text: string): string {
  let out = '';
  let wanted = false;
  for (const line of text.split('\n')) {
    const plain = line.replace(STAMP, '');
    const task = /^task:(.{15}) state:(\S).* pid:(\d+) +ppid:(\d+)/.exec(plain);
    if (task) wanted = /[RD]/.test(task[2]!) || (task[3] !== '2' && task[4] !== '2');
    else if (REGISTERS.test(plain)) continue;
    else if (!/^( |Call Trace:|RIP: )/.test(plain)) wanted = false;
    if (wanted) out += `${line}\n`;
  }
  return out;
}
