/** The command `tinamou-kvm-ok`: whether this host runs accelerated guests, why not, and what its KVM can do. */
import { Capability, type CapabilityName } from '../../accel/kvm/abi.js';
import { MODE_TEXT, PROBES, type ProbeResult, probe } from '../../accel/kvm/probe.js';
import { UserError } from '../../base/errors.js';
import { openKvm, orRefused } from '../../host/node/kvm/availability.js';

interface Report {
  readonly usable: boolean;
  /** Why not; '' when usable. */
  readonly reason: string;
  readonly apiVersion?: number;
  readonly capabilities?: Readonly<Record<string, number>>;
  readonly modes?: readonly ProbeResult[];
}

const HELP = `usage: tinamou-kvm-ok [--json]
Says whether this host can run guests with -accel kvm, and what its KVM can do.
Exit status: 0 all processor modes run, 1 KVM cannot be used, 2 it can, but not for every mode, 3 wrong usage.
`;

export function main(args: readonly string[], print: (text: string) => void, complain: (text: string) => void): number {
  if (args.includes('--help') || args.includes('-h')) {
    print(HELP);
    return 0;
  }
  const unknown = args.find((a) => a !== '--json');
  if (unknown !== undefined) {
    complain(`tinamou-kvm-ok: ${unknown}: invalid option: --json is the only one, --help tells more\n`);
    return 3;
  }
  const report = examine();
  print(args.includes('--json') ? `${JSON.stringify(report, null, 2)}\n` : describe(report));
  if (!report.usable) return 1;
  return report.modes!.every((m) => m.works) ? 0 : 2;
}

function examine(): Report {
  try {
    const kvm = openKvm();
    try {
      const names = Object.keys(Capability) as CapabilityName[];
      return {
        usable: true,
        reason: '',
        apiVersion: kvm.apiVersion,
        capabilities: Object.fromEntries(names.map((name) => [`KVM_CAP_${name}`, kvm.capability(name)])),
        modes: orRefused(() => probe(kvm, PROBES)),
      };
    } finally {
      kvm.close();
    }
  } catch (error) {
    if (error instanceof UserError) return { usable: false, reason: error.message };
    throw error;
  }
}

function describe({ usable, reason, apiVersion, capabilities, modes }: Report): string {
  if (!usable) return `KVM cannot be used: ${reason}\n`;
  const lines = [
    `KVM can be used (interface version ${apiVersion}).`,
    '',
    'Processor modes, tried with a small guest:',
  ];
  for (const { mode, works, reason } of modes!) {
    lines.push(`  ${MODE_TEXT[mode].padEnd(32)} ${works ? 'yes' : `no: ${reason}`}`);
  }
  if (modes!.some((m) => !m.works)) {
    lines.push('', 'Operating systems that need what is missing do not run here with -accel kvm; use -accel tcg.');
  }
  lines.push('', 'Capabilities:');
  for (const [name, value] of Object.entries(capabilities!)) {
    lines.push(`  ${name.padEnd(40)} ${value === 0 ? '-' : value}`);
  }
  return `${lines.join('\n')}\n`;
}
