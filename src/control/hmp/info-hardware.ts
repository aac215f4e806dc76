/** `info pci`, `pic`, `irq`, `lapic`: controllers and buses. */
import type { X86Registers } from '../../guest/x86/registers.js';
import { ClockRate, LAPIC } from '../../guest/x86/state.js';
import type { Session } from './context.js';

const hex = (value: number | bigint, digits: number): string => value.toString(16).padStart(digits, '0');

const KINDS = { memory32: '32 bit', memory64: '64 bit', rom: '32 bit', io: '' } as const;
const UNMAPPED = 0xffff_ffff_ffff_ffffn;

export function infoPci(s: Session): void {
  for (const f of s.inspection.pci()) {
    s.print(`  Bus ${String(f.bus).padStart(2)}, device ${String(f.device).padStart(3)}, function ${f.fn}:\n`);
    s.print(`    ${f.className}: PCI device ${hex(f.vendorId, 4)}:${hex(f.deviceId, 4)}\n`);
    if (f.subsystemVendorId || f.subsystemId) {
      s.print(`      PCI subsystem ${hex(f.subsystemVendorId, 4)}:${hex(f.subsystemId, 4)}\n`);
    }
    if (f.interruptPin) s.print(`      IRQ ${f.interruptLine}, pin ${' ABCD'[f.interruptPin]}\n`);
    for (const { index, kind, prefetchable, size, address } of f.bars) {
      const start = address === undefined ? UNMAPPED : BigInt(address);
      const end = hex(BigInt.asUintN(64, start + BigInt(size) - 1n), kind === 'io' ? 4 : 8);
      const number = index === 'rom' ? 6 : index;
      const what = kind === 'io' ? 'I/O' : `${KINDS[kind]}${prefetchable ? ' prefetchable' : ''} memory`;
      s.print(`      BAR${number}: ${what} at 0x${hex(start, kind === 'io' ? 4 : 8)} [0x${end}].\n`);
    }
    s.print(`      id ""\n`);
  }
}

const DELIVERY = ['fixed', 'lowest', 'SMI', '...', 'NMI', 'INIT', '...', 'ExtINT'];

export function infoPic(s: Session): void {
  const io = s.inspection.ioapic();
  if (io) {
    s.print(`ioapic0: ver=0x${hex(io.version, 2)} id=0x${hex(io.id, 2)} sel=0x${hex(io.select, 2)}\n`);
    io.pins.forEach((pin, n) => {
      const words = [
        pin.activeLow ? 'active-lo' : 'active-hi',
        pin.level ? 'level' : 'edge ',
        pin.masked ? 'masked' : '      ',
        DELIVERY[pin.deliveryMode]!.padEnd(6),
        pin.logical ? 'logical' : 'physical',
      ];
      s.print(
        `  pin ${String(n).padEnd(2)} 0x${hex(pin.entry, 16)} dest=${hex(pin.destination, 0)} vec=${String(pin.vector).padEnd(3)} ${words.join(' ')}\n`,
      );
    });
    const numbers = (of: 'requested' | 'remoteIrr'): string => {
      const set = io.pins.flatMap((pin, n) => (pin[of] ? [n] : []));
      return set.length > 0 ? set.join(' ') : '(none)';
    };
    s.print(`  IRR      ${numbers('requested')}\n  Remote IRR ${numbers('remoteIrr')}\n`);
  }
  s.inspection
    .pic()
    .toReversed()
    .forEach((p, i, all) => {
      s.print(
        `pic${all.length - 1 - i}: irr=${hex(p.irr, 2)} imr=${hex(p.imr, 2)} isr=${hex(p.isr, 2)} hprio=${p.highest} irq_base=${hex(p.vectorBase, 2)} rr_sel=${p.readIsr ? 1 : 0} elcr=${hex(p.elcr, 2)} fnm=${p.fullyNested ? 1 : 0}\n`,
      );
    });
}

export function infoIrq(s: Session): void {
  for (const { controller, counts } of s.inspection.irqCounts()) {
    s.print(`IRQ statistics for ${controller}:\n`);
    counts.forEach((count, irq) => {
      if (count > 0) s.print(`${String(irq).padStart(2)}: ${count}\n`);
    });
  }
}

const LVT_NAMES = [
  ['LVT0', 3],
  ['LVT1', 4],
  ['LVTPC', 2],
  ['LVTERR', 5],
  ['LVTTHMR', 1],
  ['LVTT', 0],
] as const;
const TIMER_MODES = ['one-shot', 'periodic', 'tsc-deadline', '?'];
const TIMER_DEADLINE = 2;
const LVT_DELIVERY = ['Fixed', 'LowPrio', 'SMI', '...', 'NMI', 'INIT', '...', 'ExtINT'];
const FLAT_MODEL = 0xf;
const SHORTHAND = ['no-shorthand', 'self', 'all-self', 'all'];

/** `text`: an APIC ID; '' is the processor chosen by `cpu`. */
export function infoLapic(s: Session, text: string): void {
  const cpu = text === '' ? s.cpu : s.registers.findIndex((r) => lapicField(r, 'initialId') === Number(text));
  const r = s.registers[cpu];
  if (!r) {
    s.print('No CPU available\n');
    return;
  }
  const at = (field: string, index = 0): number => lapicField(r, field, index);
  s.print(`dumping local APIC state for CPU ${cpu} \n\n`);
  for (const [name, index] of LVT_NAMES) {
    const v = at('lvt', index);
    const timer = name === 'LVTT' ? TIMER_MODES[(v >> 17) & 3]! : '';
    const mode = (v >> 8) & 7;
    const words = [
      v & (1 << 13) ? 'active-lo' : 'active-hi',
      (v & (1 << 15) ? 'level' : 'edge').padEnd(5),
      (v & (1 << 16) ? 'masked' : '').padEnd(6),
      (v & (1 << 12) ? 'pending' : '').padEnd(7),
      timer.padEnd(12),
      LVT_DELIVERY[mode]!.padEnd(6),
    ];
    // The other delivery modes have no vector.
    const vector = [0, 1, 7].includes(mode) ? ` (vec ${v & 0xff})` : '';
    s.print(`${name}\t 0x${hex(v, 8)} ${words.join(' ')}${vector}\n`);
  }
  const divide = at('timerDivide');
  const divisor = timerDivisor(divide);
  s.print(
    `Timer\t DCR=0x${hex(divide, 0)} (divide by ${divisor}) initial_count = ${at('timerInitial')} current_count = ${currentCount(s, r)}\n`,
  );
  const svr = at('svr');
  s.print(
    `SPIV\t 0x${hex(svr, 8)} APIC ${svr & 0x100 ? 'enabled' : 'disabled'}, focus=${svr & 0x200 ? 'on' : 'off'}, spurious vec ${svr & 0xff}\n`,
  );
  const icr = at('icrLow');
  const icr2 = at('icrHigh');
  const flat = at('dfr') >>> 28 === FLAT_MODEL;
  s.print(
    `ICR\t 0x${hex(icr, 8)} ${icr & (1 << 11) ? 'logical' : 'physical'} ${icr & (1 << 15) ? 'level' : 'edge'} ${icr & (1 << 14) ? 'assert' : 'de-assert'} ${SHORTHAND[(icr >> 18) & 3]}\n`,
  );
  s.print(`ICR2\t 0x${hex(icr2, 8)}${(icr >> 18) & 3 ? '' : destination(r, icr, icr2, flat)}\n`);
  s.print(`ESR\t 0x${hex(at('esr'), 8)}\n`);
  const vectors = (field: string): number[] => {
    const set: number[] = [];
    for (let v = 0; v < 256; v++) if ((at(field, v >> 5) >>> (v & 31)) & 1) set.push(v);
    return set;
  };
  const level = new Set(vectors('tmr'));
  const list = (set: readonly number[]): string =>
    set.length > 0 ? set.map((v) => `${v}${level.has(v) ? '(level)' : ''}`).join(' ') : '(none)';
  const inService = vectors('isr');
  s.print(`ISR\t ${list(inService)}\nIRR\t ${list(vectors('irr'))}\n\n`);
  // The processor priority: SDM volume 3A, 11.8.3.1.
  const serviced = (inService.at(-1) ?? 0) & 0xf0;
  const tpr = at('tpr');
  const ppr = (tpr & 0xf0) >= serviced ? tpr : serviced;
  s.print(
    `APR 0x${hex(at('initialId') & 0xff, 2)} TPR 0x${hex(tpr, 2)} DFR 0x${hex(at('dfr') >>> 28, 2)} LDR 0x${hex(at('ldr') >>> 24, 2)} PPR 0x${hex(ppr, 2)}\n`,
  );
}

const lapicField = (r: X86Registers, field: string, index = 0): number => r.word('lapic', LAPIC.at[field]! + 4 * index);

const X2APIC_ENABLED = 0xc00n;

/** Whom the interrupt command register names. */
function destination(r: X86Registers, icr: number, icr2: number, flat: boolean): string {
  if ((r.get('apicBase') & X2APIC_ENABLED) === X2APIC_ENABLED) return ` cpu ${icr2 >>> 0} (X2APIC ID)`;
  const to = icr2 >>> 24;
  if (!(icr & (1 << 11))) return ` cpu ${to} (APIC ID)`;
  const bits = (value: number, digits: number): string => value.toString(2).padStart(digits, '0');
  return flat ? ` mask ${bits(to, 8)} (APIC ID)` : ` cluster ${to >> 4} mask ${bits(to & 0xf, 4)} (APIC ID)`;
}

/** The divide configuration register spreads three bits over bits 0, 1 and 3: SDM volume 3A, figure 11-10. */
function timerDivisor(register: number): number {
  const code = (register & 3) | ((register >> 1) & 4);
  return code === 7 ? 1 : 2 << code;
}

/** What the current count register holds now. */
function currentCount(s: Session, r: X86Registers): number {
  const start = r.float('lapic', LAPIC.at['timerStart']!);
  const initial = lapicField(r, 'timerInitial');
  const mode = (lapicField(r, 'lvt', 0) >> 17) & 3;
  if (start < 0 || initial === 0 || mode === TIMER_DEADLINE) return 0;
  const step = timerDivisor(lapicField(r, 'timerDivide')) / ClockRate.apicBus;
  const gone = Math.floor((s.machine.clocks.virtual.now() - start) / step);
  return mode === 1 ? initial - (gone % initial) : Math.max(0, initial - gone);
}
