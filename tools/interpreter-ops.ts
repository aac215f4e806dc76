/**
 * What the interpreter does for the ops that compute a value or touch memory: one line of AssemblyScript each, by families
 * as in src/ir/ops.ts, and the sequences of src/ir/fusion.ts put together from them. `generate-runtime.ts` puts them into the
 * switches of src/runtime/core/interpreter.ts; ops that steer the loop (goto, jmp, leave, exit) are written out there.
 */
import { codeOf, SEQUENCES, SINGLES, type Step } from '../src/ir/fusion.js';
import { CONDS, type Cond, OP, type OpName } from '../src/ir/ops.js';

const A = 'a(cpu, ip)';
const B = 'b(cpu, ip)';
/** imm, sign-extended to 64 bits; its 32 bits; aux. */
const IMM = '<u64>(<i64>load<i32>(ip, 8))';
const IMM32 = 'load<u32>(ip, 8)';
const AUX = 'load<u32>(ip, 12)';
const HELPER = 'load<u16>(ip, 14)';
const ADDRESS = `${A} + ${IMM}`;
const CHECK = 'if (load<u32>(cpu + VCPU_FAULT_PENDING)) return faultAt(cpu, ip, blockPc);';

const cases = new Map<OpName, string>();
const op = (name: OpName, body: string): void => {
  cases.set(name, body);
};
/** An op whose result is `value`. */
const sets = (name: OpName, value: string): void => op(name, `set(cpu, ip, ${value});`);

op('nop', '');
sets('movi', 'load<u64>(ip, 8)');
sets('mov', A);
for (const w of [8, 16, 32] as const) {
  sets(`ext${w}u`, `<u64>(<u${w}>${A})`);
  sets(`ext${w}s`, `<u64>(<i64>(<i${w}>${A}))`);
}
sets('ext8h', `(${A} >> 8) & 0xff`);
sets('dep8', `(${A} & ~0xff) | (${B} & 0xff)`);
sets('dep8h', `(${A} & ~0xff00) | ((${B} & 0xff) << 8)`);
sets('dep16', `(${A} & ~0xffff) | (${B} & 0xffff)`);

const OPERATORS = { add: '+', sub: '-', mul: '*', and: '&', or: '|', xor: '^', shl: '<<', shr: '>>' } as const;
for (const [name, sign] of Object.entries(OPERATORS) as [keyof typeof OPERATORS, string][]) {
  sets(name, `${A} ${sign} ${B}`);
  sets(`${name}i`, `${A} ${sign} ${IMM}`);
  sets(`${name}32`, `<u64>(<u32>${A} ${sign} <u32>${B})`);
  sets(`${name}i32`, `<u64>(<u32>${A} ${sign} ${IMM32})`);
}
sets('sar', `<u64>(<i64>${A} >> <i64>${B})`);
sets('sari', `<u64>(<i64>${A} >> <i64>load<i32>(ip, 8))`);
sets('sar32', `<u64>(<u32>(<i32>${A} >> <i32>${B}))`);
sets('sari32', `<u64>(<u32>(<i32>${A} >> load<i32>(ip, 8)))`);
for (const name of ['rotl', 'rotr'] as const) {
  sets(name, `${name}<u64>(${A}, ${B})`);
  sets(`${name}i`, `${name}<u64>(${A}, ${IMM})`);
  sets(`${name}32`, `<u64>${name}<u32>(<u32>${A}, <u32>${B})`);
  sets(`${name}i32`, `<u64>${name}<u32>(<u32>${A}, ${IMM32})`);
}
sets('lea', `${A} + (${B} << <u64>${AUX}) + ${IMM}`);
sets('lea32', `<u64>(<u32>${A} + (<u32>${B} << ${AUX}) + ${IMM32})`);
sets('mulhu', `mulHighU(${A}, ${B})`);
sets('mulhs', `mulHighS(${A}, ${B})`);
sets('divu', `quotientU(${A}, ${B})`);
sets('divs', `quotientS(${A}, ${B})`);
sets('not', `~${A}`);
sets('neg', `0 - ${A}`);
sets('not32', `<u64>(~(<u32>${A}))`);
sets('neg32', `<u64>(<u32>0 - <u32>${A})`);
for (const name of ['clz', 'ctz', 'bswap'] as const) {
  sets(name, `${name}<u64>(${A})`);
  sets(`${name}32`, `<u64>${name}<u32>(<u32>${A})`);
}
sets('popcnt', `popcnt<u64>(${A})`);

/** Operand type and operator of a condition. */
const COMPARE: Readonly<Record<Exclude<Cond, 'tsteq' | 'tstne'>, readonly ['u' | 'i', string]>> = {
  eq: ['u', '==='],
  ne: ['u', '!=='],
  ltu: ['u', '<'],
  geu: ['u', '>='],
  leu: ['u', '<='],
  gtu: ['u', '>'],
  lts: ['i', '<'],
  ges: ['i', '>='],
  les: ['i', '<='],
  gts: ['i', '>'],
};
function condition(c: Cond, bits: 32 | 64, immediate: boolean): string {
  if (c === 'tsteq' || c === 'tstne') {
    const right = immediate ? (bits === 64 ? IMM : IMM32) : `<u${bits}>${B}`;
    return `(<u${bits}>${A} & ${right}) ${c === 'tsteq' ? '===' : '!=='} 0`;
  }
  const [sign, operator] = COMPARE[c];
  const right = immediate ? `<${sign}${bits}>load<i32>(ip, 8)` : `<${sign}${bits}>${B}`;
  return `<${sign}${bits}>${A} ${operator} ${right}`;
}
const ifs = new Map<OpName, { readonly test: string; readonly skip: string }>();
function branch(name: OpName, test: string, skip: string): void {
  ifs.set(name, { test, skip });
  op(name, `if (!(${test})) ip += <usize>${skip} << 4;`);
}
for (const c of CONDS) {
  for (const [bits, suffix] of [
    [64, ''],
    [32, '32'],
  ] as const) {
    sets(`set_${c}${suffix}`, `<u64>(${condition(c, bits, false)})`);
    sets(`set_${c}i${suffix}`, `<u64>(${condition(c, bits, true)})`);
    branch(`if_${c}${suffix}`, condition(c, bits, false), IMM32);
    branch(`if_${c}i${suffix}`, condition(c, bits, true), AUX);
  }
}
sets('sel', `${A} !== 0 ? ${B} : load<u64>(cpu + (<usize>${IMM32} << 3))`);

/**
 * An access: where the TLB has the page, `hit` does it at linear-memory address `host`; else `miss` with linear address `at`. In
 * line, as the call and the look for a fault cost as much as the access.
 */
const access = (bits: number, field: 'TLB_READ' | 'TLB_WRITE', hit: string, miss: string): string =>
  `{ const at = ${ADDRESS}; const entry = entryIn(tlb, at); if (load<u64>(entry + ${field}) === tagOf(cpu, at, ${bits / 8})) {` +
  ` const host = hostIn(entry, at); ${hit} } else { ${miss} ${CHECK} } }`;
const loads = (bits: 8 | 16 | 32 | 64, extended: string): string => {
  const miss = `const value = ldU${bits}(cpu, at, mmu); if (!load<u32>(cpu + VCPU_FAULT_PENDING)) set(cpu, ip, ${extended});`;
  return access(bits, 'TLB_READ', `const value = <u64>load<u${bits}>(host); set(cpu, ip, ${extended});`, miss);
};
for (const w of [8, 16, 32] as const) {
  op(`ld${w}u`, loads(w, 'value'));
  op(`ld${w}s`, loads(w, `<u64>(<i64>(<i${w}>value))`));
}
op('ld64', loads(64, 'value'));
for (const w of [8, 16, 32, 64] as const) {
  const probe = `if (!probeModify(cpu, at, ${w / 8}, mmu)) return faultAt(cpu, ip, blockPc);`;
  op(
    `ldm${w}`,
    `{ const at = ${ADDRESS}; ${probe} const value = ldU${w}(cpu, at, mmu); ${CHECK} set(cpu, ip, value); }`,
  );
  op(`st${w}`, access(w, 'TLB_WRITE', `store<u${w}>(host, <u${w}>${B});`, `stU${w}(cpu, at, ${B}, mmu);`));
}
for (const w of [128, 256] as const) {
  const aligned = `if (at & ${w / 8 - 1}) { raiseMisaligned(cpu); return faultAt(cpu, ip, blockPc); }`;
  for (const [suffix, check] of [
    ['', ''],
    ['a', aligned],
  ] as const) {
    op(`ld${w}${suffix}`, `{ const at = ${ADDRESS}; ${check} load${w}(cpu, vectorD(cpu, ip), at, mmu); ${CHECK} }`);
    op(`st${w}${suffix}`, `{ const at = ${ADDRESS}; ${check} store${w}(cpu, vectorB(cpu, ip), at, mmu); ${CHECK} }`);
  }
}
op('probew', `if (!probeModify(cpu, ${ADDRESS}, <u32>load<u16>(ip, 6), mmu)) return faultAt(cpu, ip, blockPc);`);

for (const w of [8, 16, 32] as const) {
  sets(`env_ld${w}u`, `<u64>load<u${w}>(cpu + <usize>${IMM32})`);
  op(`env_st${w}`, `store<u${w}>(cpu + <usize>${IMM32}, <u${w}>${A});`);
}
sets('pcrel', `maskPc(blockPc + ${IMM}, ${AUX})`);
op('flags', `setFlags(cpu, ${A}, ${B}, ${IMM32});`);
sets('cond', `currentCondition(cpu, ${IMM32})`);

const vectors = `callVectorHelper(${HELPER}, cpu, vectorD(cpu, ip), vectorA(cpu, ip), vectorB(cpu, ip), ${IMM32});`;
sets('call', `callHelper(${HELPER}, cpu, ${A}, ${B}, ${IMM32})`);
op('callf', `{ const value = callHelper(${HELPER}, cpu, ${A}, ${B}, ${IMM32}); ${CHECK} set(cpu, ip, value); }`);
op('vcall', vectors);
op('vcallf', `${vectors} ${CHECK}`);

/** What a sequence does, with `ip` going along. Ops that end a block are done behind the switch, whose `break` leads there. */
function sequence(steps: readonly Step[]): string {
  const bodies = steps.map(({ name, manner }) => {
    if (manner === 'plain') return name === 'goto' || name === 'jmp' ? 'break;' : (cases.get(name) as string);
    const { test, skip } = ifs.get(name) as { readonly test: string; readonly skip: string };
    // A goto each way.
    if (manner === 'ways') return `ip += select<usize>(16, 32, ${test}); break;`;
    return `if (${test}) continue; ip += <usize>${skip} << 4;`;
  });
  const text = bodies.join(' ip += 16; ');
  return text.endsWith('break;') ? text : `${text} continue;`;
}

/** Cases of the switch over the interpreter's codes (src/ir/fusion.ts): of sequences and of single ops. */
export function codeCases(): string[] {
  return [
    ...SEQUENCES.map((steps, i) => `case ${i + 1}: { ${sequence(steps)} } // ${steps.map((s) => s.name).join(' ')}`),
    ...SINGLES.filter((name) => cases.has(name)).map(
      (name) => `case ${codeOf(name)}: ${cases.get(name)} continue; // ${name}`,
    ),
  ];
}
/** Cases of the switch over the numbers of ops that have no code. */
export function numberCases(): string[] {
  return [...cases.keys()]
    .filter((name) => codeOf(name) === 0)
    .map((name) => `case ${OP[name]}: ${cases.get(name)} continue; // ${name}`);
}
