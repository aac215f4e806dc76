/**
 * Begins to read a saved machine's RAM from a file before the command's code is loaded, which takes as long as half of the reading:
 * the two go on side by side. A bundle of its own, as small as can be (tools/commands.mjs, bin/command.js).
 */
import fs from 'node:fs';
import { crc32 } from 'node:zlib';
import { LinearMemory } from '../../accel/tcg/linear-memory.js';
import { X86 } from '../../guest/x86/state.js';
import { adviseHugePages } from '../../host/node/huge-pages.js';
import { filePlace, type OpenSource, openFile } from '../../host/node/state-file.js';
import { MACHINE } from '../../ir/layout.js';
import { type Description, fillPages, readDescriptionNow } from '../../machine/saved/layout.js';
import { asFields } from '../../machine/state.js';

export interface EarlyState {
  readonly uri: string;
  readonly source: OpenSource;
  readonly description: Description;
  /** For as many processors as the saved machine has. */
  readonly memory: LinearMemory;
  /** Where its first block of RAM will be, and when that is filled. */
  readonly host: number;
  readonly filled: Promise<void>;
}

/**
 * What `-incoming` says, if it is a file with a saved machine. What is wrong with another, whoever waits for the state finds out
 * himself, and tells.
 */
export function readEarly(uri: string): EarlyState | undefined {
  const place = filePlace(uri);
  let source: OpenSource | undefined;
  try {
    // A pipe can be opened once.
    if (!place || !fs.statSync(place.path).isFile()) return undefined;
    source = openFile(place);
    const { readNow, length } = source;
    if (!readNow || length === undefined) throw new Error('no file');
    const description = readDescriptionNow({ readNow, length }, crc32);
    const memory = new LinearMemory(processorsOf(description), X86.size);
    adviseHugePages(memory.memory);
    const map = description.ram[0];
    if (!map) throw new Error('no RAM');
    const host = memory.ahead(map.bytes);
    const filled = fillPages(source, map, { bytes: new Uint8Array(memory.memory.buffer, host, map.bytes) });
    filled.catch(() => {});
    return { uri, source, description, memory, host, filled };
  } catch {
    source?.close();
    return undefined;
  }
}

function processorsOf({ machine }: Description): number {
  const { vcpus } = asFields(asFields(machine, 'the machine')['state'], 'the machine');
  const most = (MACHINE.bytes['vcpus'] as number) / 4;
  if (!Array.isArray(vcpus) || vcpus.length === 0 || vcpus.length > most) throw new Error('no processors');
  return vcpus.length;
}
