/**
 * CPU models by the names the command line uses: what each announces. Families, steppings and feature sets are those of the
 * processors they are named after (or of QEMU's own virtual ones).
 */
import { UserError } from '../../base/errors.js';
import { FEATURE, FEATURE_ALIASES, FEATURE_WORDS } from './features.js';
import { chooseKvmFeatures, isKvmFeature, type KvmFeatures } from './kvm-features.js';
import { NAMED_PROCESSORS } from './named-processors.js';

export interface CpuModel {
  readonly name: string;
  /** Another name of this version. */
  readonly alias?: string | undefined;
  /** Where the model's id does not say it. */
  readonly description?: string;
  /** Twelve characters. */
  readonly vendor: string;
  readonly family: number;
  readonly model: number;
  readonly stepping: number;
  /** Highest basic and extended CPUID leaves (raised when features need more). */
  readonly level: number;
  readonly xlevel: number;
  readonly modelId: string;
  /** Names of features, separated by blanks. */
  readonly features: string;
}

const PPRO = 'fpu de pse tsc msr mce cx8 pge cmov pat fxsr mmx sse sse2 pae sep apic';
/**
 * Every feature that the emulated processor has. A model or an option that wants more gets a warning and goes without.
 */
export const IMPLEMENTED = `vme ${PPRO} mtrr clflush mca pse36 acpi ss ht
  pni pclmulqdq monitor ssse3 fma cx16 pcid sse4.1 sse4.2 x2apic movbe popcnt tsc-deadline aes xsave avx f16c rdrand hypervisor
  fsgsbase tsc-adjust bmi1 avx2 smep bmi2 erms invpcid rdseed adx smap clflushopt clwb sha-ni
  umip pku la57 rdpid fsrm
  syscall nx mmxext pdpe1gb rdtscp lm
  lahf-lm cmp-legacy cr8legacy abm sse4a 3dnowprefetch osvw topoext
  xsaveopt xsavec xgetbv1 xsaves arat`;

const split = (text: string): string[] => text.trim().split(/\s+/);
const implemented = new Set(split(IMPLEMENTED));

const OWN_MODELS: readonly CpuModel[] = [
  {
    name: 'max',
    description: 'Enables all features supported by the accelerator in the current host',
    vendor: 'AuthenticAMD',
    family: 15,
    model: 107,
    stepping: 1,
    level: 0xd,
    xlevel: 0x8000000a,
    modelId: 'QEMU TCG CPU version 2.5+',
    // What depends on the number of processors or belongs to one vendor's way of saying things is not part of "all".
    features: split(IMPLEMENTED)
      .filter((f) => f !== 'ht' && f !== 'cmp-legacy' && f !== 'topoext' && f !== 'osvw')
      .join(' '),
  },
  {
    name: 'qemu32',
    vendor: 'GenuineIntel',
    family: 6,
    model: 6,
    stepping: 3,
    level: 4,
    xlevel: 0x80000004,
    modelId: 'QEMU Virtual CPU version 2.5+',
    features: `${PPRO} pni`,
  },
  {
    name: 'qemu64',
    vendor: 'AuthenticAMD',
    family: 15,
    model: 107,
    stepping: 1,
    level: 0xd,
    xlevel: 0x8000000a,
    modelId: 'QEMU Virtual CPU version 2.5+',
    // QEMU's also has svm; the default model had better not begin with a warning.
    features: `${PPRO} mtrr clflush mca pse36 pni cx16 syscall nx lm lahf-lm`,
  },
];

/** `names` with what a list says of features added and taken away. */
function changed(names: Iterable<string>, changes: string): string[] {
  const set = new Set(names);
  for (const change of split(changes)) {
    if (change.startsWith('-')) set.delete(change.slice(1));
    else if (change !== '') set.add(change);
  }
  return [...set];
}

/** Each version of each named processor. */
function namedModels(): CpuModel[] {
  const models: CpuModel[] = [];
  for (const { name, from, versions = [], ...first } of NAMED_PROCESSORS) {
    let last: CpuModel = models.find((m) => m.name === from) ?? NO_MODEL;
    for (const [i, { alias, ...identity }] of [{ ...first, alias: undefined }, ...versions].entries()) {
      last = {
        ...last,
        ...identity,
        name: i === 0 ? name : `${name}-v${i + 1}`,
        alias,
        features: changed(split(last.features), identity.features).join(' '),
      };
      models.push(last);
    }
  }
  return models;
}

const NO_MODEL: CpuModel = {
  name: '',
  vendor: '',
  family: 0,
  model: 0,
  stepping: 0,
  level: 0,
  xlevel: 0,
  modelId: '',
  features: '',
};

/** For those who name every feature themselves. */
const BASE_MODEL: CpuModel = {
  ...NO_MODEL,
  name: 'base',
  vendor: '\0'.repeat(12),
  description: 'base CPU model type with no features enabled',
};

let allModels: readonly CpuModel[] | undefined;

/** All there are, made when one of the named ones is asked for: most machines do without. */
export function cpuModels(): readonly CpuModel[] {
  allModels ??= [...namedModels(), ...OWN_MODELS, BASE_MODEL];
  return allModels;
}

/** A processor that accelerates guests: what there is to announce instead of what we implement. */
export interface HostProcessor extends Omit<CpuModel, 'name' | 'alias' | 'description' | 'features'> {
  readonly physBits: number;
  /** One word for each of FEATURE_WORDS: what a guest can have. */
  readonly features: Uint32Array;
  /** Likewise of KVM itself: CPUID.40000001H:EAX. */
  readonly kvmFeatures: number;
}

/** Has every feature: to check the form of a model before it is known what runs it. */
export const ANY_PROCESSOR: HostProcessor = {
  vendor: 'AuthenticAMD',
  family: 15,
  model: 0,
  stepping: 0,
  level: 0xd,
  xlevel: 0x80000008,
  modelId: '',
  physBits: 40,
  features: new Uint32Array(FEATURE_WORDS.length).fill(0xffff_ffff),
  kvmFeatures: 0xffff_ffff,
};

/** Models that are whatever the accelerator has. */
const HOST_MODELS = ['host', 'max'];
/** Says that there are leaves which describe the guest's own machine: a host that does not list it does no less. */
const OF_THE_MACHINE = 'topoext';
const HOST_DESCRIPTION = 'processor with all supported host features';

/** A model with everything an option changed: what `installCpu` writes into a vCPU's state. */
export interface CpuConfig {
  readonly name: string;
  readonly vendor: string;
  readonly family: number;
  readonly model: number;
  readonly stepping: number;
  readonly level: number;
  readonly xlevel: number;
  readonly modelId: string;
  readonly physBits: number;
  /** One 32-bit word for each of FEATURE_WORDS. */
  readonly features: Uint32Array;
  /** The hypervisor leaves at 0x40000000. */
  readonly hypervisorLeaves: boolean;
  /** One line each, without "warning: ": what was asked for and is not there. */
  readonly warnings: readonly string[];
  /** Under KVM the guest sees that it is, and what KVM offers: clock, end of interrupt and so on. */
  readonly kvmLeaves: boolean;
  readonly kvmFeatures: KvmFeatures;
  /** Of the time stamp counter, kHz; undefined: as it is. Under KVM. */
  readonly tscKhz: number | undefined;
  /** Every leaf is the host's, but for what the options take away. */
  readonly passthrough: boolean;
}

export function hasFeature(config: CpuConfig, name: string): boolean {
  const number = FEATURE[name];
  return number !== undefined && (((config.features[number >> 5] as number) >>> (number & 31)) & 1) !== 0;
}

/** Options that are accepted and change nothing here: they speak of other accelerators or of migration. */
const IGNORED = new Set(
  split(`l3-cache legacy-cache host-phys-bits migratable pmu full-cpuid-auto-level cpuid-0xb fill-mtrr-mask
    host-phys-bits-limit x-migrate-smi-count vmware-cpuid-freq min-level min-xlevel start-powered-off`),
);
const NUMBERS = ['family', 'model', 'stepping', 'level', 'xlevel', 'phys-bits', 'tsc-frequency'] as const;
const TEXTS: readonly string[] = ['vendor', 'model-id', 'tcg-cpuid'];

const NEGATIVE = ['off', 'no', 'false', 'n'];
function boolean(name: string, value: string): boolean {
  if (value === 'on' || value === 'yes' || value === 'true' || value === 'y') return true;
  if (NEGATIVE.includes(value)) return false;
  throw new UserError(`Parameter '${name}' expects 'on' or 'off'`);
}
function integer(name: string, value: string): number {
  if (!/^(0x[0-9a-f]+|\d+)$/i.test(value)) throw new UserError(`Parameter '${name}' expects a number`);
  return Number(value);
}

const hasBit = (features: Uint32Array, number: number): boolean =>
  (((features[number >> 5] as number) >>> (number & 31)) & 1) !== 0;

/**
 * What models of a name do not have under KVM, unless an option says otherwise, as with QEMU: no guest has use for it there. QEMU also
 * adds an x2APIC; here the same model is the same processor under tcg, where a machine may go on.
 */
const NOT_UNDER_KVM = '-acpi -monitor -svm';

/** Throws UserError when there is no such model. */
function findModel(name: string, host: HostProcessor | undefined): CpuModel {
  if (host && HOST_MODELS.includes(name)) {
    const features = Object.entries(FEATURE).filter(([, number]) => hasBit(host.features, number));
    return { ...host, name, description: HOST_DESCRIPTION, features: features.map(([f]) => f).join(' ') };
  }
  if (name === 'host') throw new UserError("CPU model 'host' requires KVM: use -accel kvm, or -cpu max");
  const isMeant = (m: CpuModel): boolean => m.name === name || m.alias === name || `${m.name}-v1` === name;
  const model = OWN_MODELS.find(isMeant) ?? cpuModels().find(isMeant);
  if (model === undefined) throw new UserError(`unable to find CPU model '${name}'`);
  return model;
}

/**
 * Parses the value of `-cpu`: `model[,+feature][,-feature][,property=value]...`, for the emulated processor or for a host's.
 * Throws UserError for an unknown model or property, and with `enforce` for a feature that cannot be had.
 */
export function parseCpu(text: string, host?: HostProcessor): CpuConfig {
  const [name = '', ...options] = text.split(',');
  const model = findModel(name, host);
  const available = (f: string): boolean =>
    host ? f === OF_THE_MACHINE || hasBit(host.features, FEATURE[f]!) : implemented.has(f);
  const named =
    host && !HOST_MODELS.includes(name) ? changed(split(model.features), NOT_UNDER_KVM) : split(model.features);
  const wanted = new Set(model === BASE_MODEL ? [] : [...named, 'hypervisor']);
  const properties = new Map<string, string>();
  let enforce = false;
  let check = true;
  let kvmLeaves = true;
  const ofKvm = new Map<string, boolean>();
  // QEMU applies +feature and -feature after all property=value settings.
  const late: [string, boolean][] = [];
  for (const option of options) {
    if (option === '') continue;
    const sign = option[0];
    const [rawKey = '', value] = option.split(/=(.*)/s);
    const key = feature(sign === '+' || sign === '-' ? option.slice(1) : rawKey);
    const signed = sign === '+' || sign === '-';
    if (isKvmFeature(key)) ofKvm.set(key, signed ? sign === '+' : boolean(key, value ?? 'on'));
    else if (key.startsWith('hv-')) refuseHyperV(key, signed ? sign === '+' : !NEGATIVE.includes(value ?? ''));
    else if (signed) {
      if (FEATURE[key] === undefined) throw unknown(model, key);
      late.push([key, sign === '+']);
    } else if (FEATURE[key] !== undefined) {
      if (boolean(key, value ?? 'on')) wanted.add(key);
      else wanted.delete(key);
    } else if (key === 'enforce') enforce = boolean(key, value ?? 'on');
    else if (key === 'check') check = boolean(key, value ?? 'on');
    else if (key === 'kvm') kvmLeaves = boolean(key, value ?? 'on');
    else if (TEXTS.includes(key) || NUMBERS.some((n) => n === key)) {
      if (value === undefined) throw new UserError(`Expected key=value format, found ${option}.`);
      properties.set(key, value);
    } else if (!IGNORED.has(key)) throw unknown(model, key);
  }
  for (const [key, on] of late) {
    if (on) wanted.add(key);
    else wanted.delete(key);
  }

  const missing: string[] = [];
  for (const [word, w] of FEATURE_WORDS.entries()) {
    for (const [bit, f] of w.names.entries()) {
      if (f === '' || !wanted.has(f) || available(f)) continue;
      wanted.delete(f);
      const leaf = w.leaf.toString(16).toUpperCase().padStart(2, '0');
      const subleaf = w.leaf === 7 && word > 4 ? `.0${w.subleaf}` : '';
      missing.push(`CPUID.${leaf}H${subleaf}:${w.register.toUpperCase()}.${f} [bit ${bit}]`);
    }
  }
  const kvmFeatures = chooseKvmFeatures(host?.kvmFeatures ?? 0, ofKvm, (f, bit) => {
    // The emulated processor has none, and nobody expects them there.
    if (host) missing.push(`CPUID.40000001H:EAX.${f} [bit ${bit}]`);
  });
  if (enforce && missing.length > 0) {
    throw new UserError(
      `${host ? 'Host' : 'TCG'} doesn't support requested features: ${missing.join(', ')}: turn them off, or go on without them by leaving enforce out`,
    );
  }
  const warnings = check ? missing.map((m) => `${host ? 'host' : 'TCG'} doesn't support requested feature: ${m}`) : [];

  const vendor = properties.get('vendor') ?? model.vendor;
  if (vendor.length !== 12) throw new UserError("Property '.vendor' doesn't take value; it has 12 characters");
  const number = (key: (typeof NUMBERS)[number], otherwise: number): number => {
    const given = properties.get(key);
    return given === undefined ? otherwise : integer(key, given);
  };
  const features = new Uint32Array(16);
  for (const f of wanted) {
    const n = FEATURE[f] as number;
    features[n >> 5] = (features[n >> 5] as number) | (1 << (n & 31));
  }
  const usual = wanted.has('lm') ? 40 : wanted.has('pse36') || wanted.has('pae') ? 36 : 32;
  const physBits = number('phys-bits', 0) || (host?.physBits ?? usual);
  if (physBits < 32 || physBits > 52) throw new UserError('phys-bits should be between 32 and 52');
  const level = Math.max(number('level', model.level), properties.has('level') ? 0 : neededLevel(wanted));
  const xlevel = Math.max(number('xlevel', model.xlevel), properties.has('xlevel') ? 0 : neededXlevel(wanted));
  return {
    name,
    vendor,
    family: number('family', model.family),
    model: number('model', model.model),
    stepping: number('stepping', model.stepping),
    level,
    xlevel,
    modelId: (properties.get('model-id') ?? model.modelId).slice(0, 48),
    physBits,
    features,
    hypervisorLeaves: boolean('tcg-cpuid', properties.get('tcg-cpuid') ?? 'on') && wanted.has('hypervisor'),
    warnings,
    kvmLeaves,
    kvmFeatures,
    tscKhz: Math.floor(number('tsc-frequency', 0) / 1000) || undefined,
    passthrough: host !== undefined && HOST_MODELS.includes(name),
  };
}

function feature(key: string): string {
  const name = key.replaceAll('_', '-');
  return FEATURE_ALIASES[name] ?? name;
}
/** Without them a guest finds no Hyper-V. */
function refuseHyperV(key: string, wanted: boolean): void {
  if (wanted) throw new UserError(`Tinamou does not have Hyper-V's features for guests (hv-*) yet: leave ${key} out`);
}
function unknown(model: CpuModel, key: string): UserError {
  return new UserError(`Property '${model.name}-x86_64-cpu.${key}' not found`);
}

/** Highest leaf, of those that start with `range`, that a feature lives in. */
function highestWord(wanted: ReadonlySet<string>, extended: boolean): number {
  let highest = 0;
  for (const w of FEATURE_WORDS) {
    if (w.leaf >= 0x80000000 === extended && w.leaf > highest && w.names.some((n) => n !== '' && wanted.has(n))) {
      highest = w.leaf;
    }
  }
  return highest;
}
function neededLevel(wanted: ReadonlySet<string>): number {
  return Math.max(highestWord(wanted, false), wanted.has('xsave') ? 0xd : 0, wanted.has('x2apic') ? 0xb : 0);
}
function neededXlevel(wanted: ReadonlySet<string>): number {
  return Math.max(highestWord(wanted, true), wanted.has('lm') ? 0x80000008 : 0);
}

/** Those that depend on the host come last. */
const order = (name: string): number => [BASE_MODEL.name, ...HOST_MODELS].indexOf(name) + 1;

/** The text of `-cpu help`. */
export function cpuHelp(): string {
  const described = cpuModels().flatMap(({ name, alias, description, modelId }) => [
    { name, description: description ?? modelId },
    ...(alias === undefined ? [] : [{ name: alias, description: `(alias of ${name})` }]),
  ]);
  const models = [...described, { name: 'host', description: HOST_DESCRIPTION }]
    .sort((a, b) => order(a.name) - order(b.name) || (a.name < b.name ? -1 : 1))
    .map((m) => `x86 ${m.name.padEnd(20)}  ${m.description}`.trimEnd());
  const names = Object.keys(FEATURE)
    .filter((f) => implemented.has(f))
    .sort();
  const lines: string[] = [];
  let line = ' ';
  for (const n of names) {
    if (line.length + 1 + n.length > 78) {
      lines.push(line);
      line = ' ';
    }
    line += ` ${n}`;
  }
  lines.push(line);
  return ['Available CPUs:', ...models, '', 'Recognized CPUID flags:', ...lines, ''].join('\n');
}
