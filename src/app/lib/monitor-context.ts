/** What a monitor sees of an assembled machine. */
import fs from 'node:fs';
import { UserError } from '../../base/errors.js';
import { openImage } from '../../block/open.js';
import type { KvmReport, MonitorContext, Statistic } from '../../control/hmp/context.js';
import type { Profiler, SliceSample } from '../../control/hmp/profile.js';
import { KeySender } from '../../display/key-sender.js';
import { MACHINE_BLOCK_HOST } from '../../host/node/block-host.js';
import { deflate } from '../../host/node/deflate.js';
import { hostReason } from '../../host/node/host-error.js';
import { packageFile } from '../../host/node/package-files.js';
import { HostProfiler } from '../../host/node/profiler.js';
import { MACHINE, VCPU } from '../../ir/layout.js';
import { OPS } from '../../ir/ops.js';
import type { AddressSpace } from '../../memory/address-space.js';
import { describeFlatView } from '../../memory/describe.js';
import { parseKeyval } from '../options/keyval.js';
import { LOG_HELP, logItems, traceEvents } from '../options/logging.js';
import type { Assembled } from './assemble.js';
import { applyLogItems } from './logging.js';

export const version = (): string =>
  (JSON.parse(fs.readFileSync(packageFile('package.json'), 'utf8')) as { version: string }).version;

const NO_UUID = new Uint8Array(16);

export function uuidText(bytes: Uint8Array = NO_UUID): string {
  const hex = Buffer.from(bytes).toString('hex');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

export function monitorContext(m: Assembled, version: string): MonitorContext {
  const { machine, registers, accelerator, wishes } = m;
  const { clocks } = machine;
  return {
    name: wishes.name,
    uuid: uuidText(wishes.uuid),
    version,
    accelerator: m.kvm ? 'kvm' : 'tcg',
    ramBytes: m.ramBytes,
    threadId: process.pid,
    ioThreads: wishes.objects.ioThreads,
    machine,
    get registers() {
      m.synchronize();
      return registers;
    },
    halted(cpu) {
      m.synchronize();
      return accelerator.vcpus[cpu]!.halted;
    },
    translate(cpu, linear) {
      m.synchronize();
      const physical = accelerator.runtime.debugTranslate(accelerator.vcpus[cpu]!.state, BigInt.asIntN(64, linear));
      return physical === -1n ? undefined : BigInt.asUintN(64, physical);
    },
    get drives() {
      return m.drives;
    },
    addDrive: (text) => m.images.add(text),
    removeDrive: (id) => m.images.remove(id),
    openMedium: (file, format, readOnly) =>
      openImage(MACHINE_BLOCK_HOST, { file, readOnly, beside: true, ...(format !== undefined && { format }) }),
    chardevs: () => m.backends.list(),
    roms: m.roms,
    display: m.display,
    keys: m.keyboard && new KeySender(m.keyboard, clocks.virtual),
    inspection: m.inspection,
    translation: () => translation(m),
    profiler: profiler(m),
    saving: m.saving,
    nbd: m.nbd,
    resume: () => m.saving.resume(),
    kvm: () => kvmReport(m),
    writeFile(path, bytes) {
      try {
        fs.writeFileSync(path, bytes);
      } catch (error) {
        throw new UserError(`failed to open file '${path}': ${hostReason(error)}`);
      }
    },
    deflate,
    setLog: (items) => applyLogItems(m, items.length === 0 ? [] : logItems(items.join(','))),
    logHelp: LOG_HELP,
    traceEvents: traceEvents(),
    quit: () => m.quit(),
    addDevice(text) {
      const o = parseKeyval(text, 'driver');
      const type = o.get('driver');
      if (type === undefined) throw new UserError("Parameter 'driver' is missing");
      if (!m.hotplug) throw new UserError(`machine '${machine.board}' takes no devices while it runs`);
      m.hotplug.add({ type, id: o.get('id') ?? '', properties: o.except('driver', 'id') });
    },
    removeDevice(id) {
      if (!m.hotplug) throw new UserError(`Device '${id}' not found`);
      m.hotplug.remove(id);
    },
  };
}

function kvmReport({ kvm, machine, wishes }: Assembled): KvmReport | undefined {
  if (!kvm) return undefined;
  const nameOf = (space: AddressSpace, address: number): string =>
    describeFlatView(space).find((r) => r.start <= address && address <= r.last)?.name ?? 'unassigned';
  return {
    facts: [{ label: 'kernel_irqchip', value: wishes.irqchip }],
    processors: kvm.exits(),
    accesses: kvm
      .accesses()
      .map((a) => ({ ...a, name: nameOf(a.space === 'port' ? machine.ports : machine.system, a.address) })),
  };
}

function profiler({ accelerator, registers }: Assembled): Profiler {
  const host = new HostProfiler();
  let slices: SliceSample[] = [];
  return {
    start(intervalUs) {
      host.start(intervalUs);
      slices = [];
      accelerator.log.sliceEnd = (state, tier) => {
        const r = registers.find((x) => x.state === state);
        if (r) slices.push({ pc: r.get('rip'), cold: tier === 'cold' });
      };
    },
    stop() {
      accelerator.log.sliceEnd = undefined;
      return { calls: host.stop(), slices };
    },
    readFile(file) {
      try {
        return fs.readFileSync(file, 'utf8');
      } catch (error) {
        throw new UserError(`cannot read '${file}': ${hostReason(error)}`);
      }
    },
    ram: () => new Uint8Array(accelerator.memory.buffer),
  };
}

const COUNTERS = [
  ['instructionCount', 'instructions interpreted'],
  ['statColdBlocks', 'blocks interpreted'],
  ['statLookups', 'block lookups'],
  ['statTlbMisses', 'TLB misses'],
  ['statTlbRevived', 'TLB global pages kept'],
  ['statTlbFlushes', 'TLB flushes'],
  ['statSideExits', 'side exits of compiled code'],
  ['statIoAccesses', 'device accesses'],
] as const;

function translation({ accelerator }: Assembled): Statistic[] {
  const { stats } = accelerator.jit;
  const own = accelerator.stats;
  const view = new DataView(accelerator.memory.buffer);
  const rows: Statistic[] = [
    { label: 'regions installed', value: String(stats.regions) },
    { label: 'regions compiled', value: `${stats.compiled} of ${stats.blocks} blocks in ${stats.modules} modules` },
    { label: 'code', value: `${stats.bytes} bytes, of modules in use ${accelerator.jit.codeBytes}` },
    { label: 'time compiling', value: `${(stats.compileNs / 1e6).toFixed(1)} ms, ${stats.away} modules elsewhere` },
    { label: 'regions dropped', value: String(stats.dropped) },
    { label: 'translations discarded', value: `${stats.resets} times` },
    { label: 'blocks translated', value: String(own.translated) },
    { label: 'blocks take', value: `${(accelerator.blockBytes / 2 ** 20).toFixed(1)} MiB` },
    { label: 'time translating', value: `${(own.translateNs / 1e6).toFixed(1)} ms` },
    { label: 'blocks invalidated', value: String(own.invalidated) },
    { label: 'cold-tier share', value: `${share(own.coldSlices, own.compiledSlices)} of the slices ended in it` },
  ];
  for (const [field, label] of COUNTERS) {
    const total = accelerator.vcpus.reduce((sum, v) => sum + view.getBigUint64(v.state + VCPU.at[field]!, true), 0n);
    rows.push({ label, value: String(total) });
  }
  const { machine } = accelerator.layout;
  REGION_ENDS.forEach((label, i) => {
    const count = view.getBigUint64(machine + MACHINE.at['regionExits']! + i * 8, true);
    rows.push({ label: `regions left: ${label}`, value: String(count) });
  });
  const ops = Array.from({ length: 256 }, (_, op) => ({
    label: `side exits at ${OPS[op]?.name ?? 'a block not in it'}`,
    count: view.getUint32(machine + MACHINE.at['sideExitOps']! + op * 4, true),
  }));
  for (const { label, count } of ops.sort((a, b) => b.count - a.count).slice(0, SIDE_EXIT_ROWS))
    if (count > 0) rows.push({ label, value: String(count) });
  return rows;
}

/** What the counters `regionExits` count, in their order. */
const REGION_ENDS = ['for other code', 'by a side exit', 'by a fault', 'for the host'];
const SIDE_EXIT_ROWS = 12;

const share = (part: number, rest: number): string =>
  part + rest === 0 ? '-' : `${((100 * part) / (part + rest)).toFixed(1)} %`;
