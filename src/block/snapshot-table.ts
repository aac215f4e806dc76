/** Internal snapshots as people read them, in QEMU's columns. */
import { humanSize } from '../base/format.js';
import type { SnapshotInfo } from './format.js';

const row = (id: string, tag: string, size: string, date: string, clock: string, icount: string): string =>
  `${id.padEnd(9)} ${tag.padEnd(16)} ${size.padStart(8)}${date.padStart(20)}${clock.padStart(13)}${icount.padStart(11)}\n`;

/** A line of headings, then one for each. */
export function snapshotTable(list: readonly SnapshotInfo[]): string {
  let text = row('ID', 'TAG', 'VM SIZE', 'DATE', 'VM CLOCK', 'ICOUNT');
  const two = (n: number): string => String(n).padStart(2, '0');
  for (const s of list) {
    const d = new Date(s.seconds * 1000);
    const date = `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
    const seconds = Math.floor(s.vmClockNs / 1e9);
    const milli = String(Math.floor((s.vmClockNs / 1e6) % 1000)).padStart(3, '0');
    const clock = `${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}.${milli}`;
    text += row(s.id, s.name, humanSize(s.vmStateBytes), date, clock, s.icount === undefined ? '' : String(s.icount));
  }
  return text;
}
