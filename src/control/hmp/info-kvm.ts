/** `info kvm` and `info exits`: what happens between guest and hypervisor. */
import type { KvmReport, Session } from './context.js';

/** Ports and pages that are shown. */
const MOST_ACCESSES = 16;
const NO_KVM = 'kvm support: disabled\n';

const ms = (ns: number): string => (ns / 1e6).toFixed(1);

export function infoKvm(s: Session): void {
  const report = s.kvm();
  if (!report) {
    s.print(NO_KVM);
    return;
  }
  s.print('kvm support: enabled\n');
  for (const { label, value } of report.facts) s.print(`${label}: ${value}\n`);
  report.processors.forEach(({ guestNs, exits }, i) => {
    const count = exits.reduce((sum, e) => sum + e.count, 0);
    const outside = exits.reduce((sum, e) => sum + e.ns, 0);
    s.print(`CPU ${i}: ${count} exits, ${ms(guestNs)} ms in the guest, ${ms(outside)} ms outside\n`);
  });
}

export function infoExits(s: Session): void {
  const report = s.kvm();
  s.print(report ? exitTable(report) : NO_KVM);
}

/** The whole table; `info exits` prints it, and a program can do so again and again. */
export function exitTable({ processors, accesses }: KvmReport): string {
  let text = '';
  processors.forEach(({ guestNs, exits }, i) => {
    const total = exits.reduce((sum, e) => sum + e.count, 0);
    text += `CPU ${i}: ${total} exits, ${ms(guestNs)} ms in the guest\n`;
    text += `  ${'reason'.padEnd(16)}${'count'.padStart(12)}${'%'.padStart(7)}${'ms'.padStart(12)}${'us each'.padStart(10)}\n`;
    for (const { reason, count, ns } of exits) {
      const share = ((100 * count) / total).toFixed(1);
      const each = (ns / count / 1e3).toFixed(1);
      text += `  ${reason.padEnd(16)}${String(count).padStart(12)}${share.padStart(7)}${ms(ns).padStart(12)}${each.padStart(10)}\n`;
    }
  });
  if (accesses.length > 0) text += 'Device accesses that left the guest:\n';
  for (const { space, write, address, count, name } of accesses.slice(0, MOST_ACCESSES)) {
    const place = `0x${address.toString(16)}`;
    text += `  ${space.padEnd(8)}${place.padEnd(14)}${(write ? 'write' : 'read').padEnd(7)}${String(count).padStart(12)}  ${name}\n`;
  }
  return text;
}

/** What came between two reports of one machine, for a table of now. */
export function exitsSince(before: KvmReport, now: KvmReport): KvmReport {
  const processors = now.processors.map(({ guestNs, exits }, i) => {
    const old = before.processors[i];
    const since = exits.map(({ reason, count, ns }) => {
      const was = old?.exits.find((e) => e.reason === reason);
      return { reason, count: count - (was?.count ?? 0), ns: ns - (was?.ns ?? 0) };
    });
    return { guestNs: guestNs - (old?.guestNs ?? 0), exits: since.filter((e) => e.count > 0) };
  });
  const place = (a: KvmReport['accesses'][number]): string => `${a.space} ${a.write} ${a.address}`;
  const were = new Map(before.accesses.map((a) => [place(a), a.count]));
  const accesses = now.accesses
    .map((a) => ({ ...a, count: a.count - (were.get(place(a)) ?? 0) }))
    .filter(({ count }) => count > 0)
    .sort((a, b) => b.count - a.count);
  return { ...now, processors, accesses };
}
