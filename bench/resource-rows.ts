/** Rows without a peer to beat: memory beyond the guest's RAM, its growth, and the time to the first guest instruction. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PREPARE, ROUND } from './command-rows.js';
import type { GroupOfRows } from './groups.js';
import { Guest } from './guest.js';
import { RAM_MIB, tinamouCommand } from './machines.js';
import { median, row } from './report.js';
import type { Session } from './session.js';

const BEYOND = 'beyond guest RAM, most, after all of the above';
const GROWTH = 'growth over ten repetitions of a round of commands, after ten others';
/** In the first ones code is still met, and becomes hot, for the first time. */
const WARM_UP = 10;
const REPETITIONS = 10;
/** What collections of garbage at other moments may make of it. */
const GROWTH_BAR_MIB = 16;

/** Lets the guest touch (nearly) all its RAM, so that the process's memory less the RAM is what it needs beyond. */
const FILL = [
  'mkdir -p /fill && mount -t tmpfs -o size=100% fill /fill',
  "dd if=/dev/zero of=/fill/zeros bs=1M count=$(awk '/MemAvailable/ {print int($2/1024) - 12}' /proc/meminfo) 2>/dev/null",
  'umount /fill',
].join(' && ');

async function measureMemory(session: Session): Promise<void> {
  const wanted = [BEYOND, GROWTH].filter((w) => session.wants('memory', w));
  if (wanted.length === 0) return;
  const { tinamou } = await session.pair(64);
  await tinamou.run(FILL);
  const at: number[] = [];
  if (wanted.includes(GROWTH)) {
    await tinamou.run(PREPARE);
    for (let i = 0; i < WARM_UP + REPETITIONS; i++) {
      await tinamou.run(ROUND);
      at.push(tinamou.memory().now - RAM_MIB);
      session.say(`repetition ${i + 1}: ${at[i]!.toFixed(0)} MiB beyond guest RAM`);
    }
  }
  if (wanted.includes(BEYOND)) {
    const beyond = tinamou.memory().peak - RAM_MIB;
    session.add(row({ group: 'memory', workload: BEYOND, unit: 'MiB', absolute: true, bar: 500 }, [beyond], []));
  }
  if (wanted.includes(GROWTH)) {
    const growth = Math.max(0, median(at.slice(-3)) - median(at.slice(WARM_UP - 1, WARM_UP + 2)));
    const note = `MiB beyond guest RAM after each: ${at.map((m) => m.toFixed(0)).join(' ')}`;
    session.add(
      row({ group: 'memory', workload: GROWTH, unit: 'MiB', absolute: true, bar: GROWTH_BAR_MIB, note }, [growth], []),
    );
  }
  session.facts['info jit at the end'] = (await tinamou.monitor('info jit')).trim().split('\n');
  session.endGroup({ name: 'memory', title: 'memory of the process', peer: 'none' }, {});
}

export const memory: GroupOfRows = { name: 'memory', workloads: [BEYOND, GROWTH], measure: measureMemory };

const FIRST = 'from the start of node to the first guest instruction';

/** A BIOS of 64 KiB whose first instructions print an exclamation mark on the serial port (mov dx,3f8h; mov al,'!'; out dx,al; hlt; jmp $). */
function firstInstructionBios(): string {
  const rom = new Uint8Array(65536);
  rom.set([0xba, 0xf8, 0x03, 0xb0, 0x21, 0xee, 0xf4, 0xeb, 0xfe], 0xfff0);
  const path = join(import.meta.dirname, 'first-instruction.bin');
  writeFileSync(path, rom);
  return path;
}

async function measureStart(session: Session): Promise<void> {
  if (!session.wants('start', FIRST)) return;
  const bios = firstInstructionBios();
  const seconds: number[] = [];
  for (let i = 0; i < Math.max(5, session.wishes.runs); i++) {
    const guest = new Guest(
      'tinamou',
      tinamouCommand(64, ['-bios', bios, '-m', String(RAM_MIB), '-nographic']),
      session.wishes.clock,
    );
    try {
      await guest.until('!');
      seconds.push(guest.age);
    } finally {
      await guest.stop();
    }
  }
  session.add(row({ group: 'start', workload: FIRST, unit: 's', absolute: true, bar: 0.3 }, seconds, []));
  session.endGroup({ name: 'start', title: 'start', peer: 'none' }, {});
}

export const start: GroupOfRows = { name: 'start', workloads: [FIRST], measure: measureStart };
