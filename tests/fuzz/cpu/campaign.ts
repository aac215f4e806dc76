/** Generates, runs and compares batches; makes what differs small. */
import type { Form } from '../../../src/guest/x86/decode.js';
import { Operands } from '../../silicon/operands.js';
import { narrowCodeUnavailable } from '../../support/host-modes.js';
import { hostVendor } from '../../support/host-vendor.js';
import { difference } from './compare.js';
import { Generator } from './generator.js';
import { Native } from './native.js';
import { Batch, type Instruction, type Outcome, type Sequence } from './sequence.js';
import { Tinamou } from './tinamou.js';
import { exclusion } from './undefined.js';

const UNDEFINED_OPCODE = 6;

export interface Found {
  readonly sequence: Sequence;
  readonly tier: 'interpreted' | 'compiled';
  readonly text: string;
}

export class Campaign {
  readonly native = new Native();
  readonly tinamou = new Tinamou(hostVendor());
  readonly generator: Generator;
  /** Forms that the host does not know. */
  readonly unknown: Form[] = [];
  /** Instructions run, by group; sequences by the vector they ended with (-1: none). */
  readonly groups = new Map<string, number>();
  readonly vectors = new Map<number, number>();
  sequences = 0;

  constructor() {
    const narrow = narrowCodeUnavailable() === undefined;
    const everything = new Generator(() => true, narrow);
    const random = new Operands(1);
    const forms = everything.decoder.forms.flatMap((form) => {
      if (exclusion(form.mnemonics[0] as string, form.row[1]) !== undefined) return [];
      const probes = [1, 2, 3].flatMap(() => everything.probe(form, random) ?? []);
      return probes.map((sequence) => ({ form, sequence }));
    });
    const outcomes = this.native.run(new Batch(forms.map((f) => f.sequence)));
    const seen = new Set<string>();
    for (const [n, { form }] of forms.entries())
      if (outcomes[n]?.vector !== UNDEFINED_OPCODE) seen.add(form.row[0] + form.row[1]);
    const known = (form: Form): boolean =>
      seen.has(form.row[0] + form.row[1]) || /^UD[0-2]|GATHER/.test(form.mnemonics[0] as string);
    for (const { form } of forms) if (!known(form) && !this.unknown.includes(form)) this.unknown.push(form);
    this.generator = new Generator(known, narrow);
  }

  /** Runs `count` new sequences of a seed; what differed. */
  batch(seed: number, count: number, only?: readonly string[]): Found[] {
    const random = new Operands(seed);
    const sequences = Array.from({ length: count }, () => this.generator.generate(random, seed, only));
    const batch = new Batch(sequences);
    const native = this.native.run(batch);
    const ours = this.tinamou.run(batch);
    const found: Found[] = [];
    sequences.forEach((sequence, n) => {
      const host = native[n] as Outcome;
      for (const tier of ['interpreted', 'compiled'] as const) {
        const text = difference(sequence, host, ours[tier][n] as Outcome);
        if (text !== '') {
          found.push({ sequence, tier, text });
          break;
        }
      }
      this.vectors.set(host.vector, (this.vectors.get(host.vector) ?? 0) + 1);
      for (const i of sequence.instructions) this.groups.set(i.group, (this.groups.get(i.group) ?? 0) + 1);
    });
    this.sequences += count;
    return found;
  }

  /** What differs for one sequence alone. */
  single(sequence: Sequence): Found | undefined {
    const batch = new Batch([sequence]);
    const host = this.native.run(batch)[0] as Outcome;
    const ours = this.tinamou.run(batch);
    for (const tier of ['interpreted', 'compiled'] as const) {
      const text = difference(sequence, host, ours[tier][0] as Outcome);
      if (text !== '') return { sequence, tier, text };
    }
    return undefined;
  }

  /** Drops instructions while it still differs: from the end, then others. Where there are jumps, NOPs take their place. */
  minimise(found: Found): Found {
    let best = this.single(found.sequence);
    if (best === undefined) return found;
    for (let n = found.sequence.instructions.length - 1; n > 0; n--) {
      const instructions = best.sequence.instructions.slice(0, n);
      const undefinedFlags = instructions[n - 1]?.undefinedAfter ?? 0;
      const fewer = this.single({ ...best.sequence, instructions, undefinedFlags });
      if (fewer === undefined) break;
      best = fewer;
    }
    for (let n = best.sequence.instructions.length - 2; n >= 0; n--) {
      const { instructions, everUndefined } = best.sequence;
      const old = instructions[n] as Instruction;
      const nop = { ...old, text: 'NOP', bytes: old.bytes.map(() => 0x90) };
      const place = instructions.some((i) => i.group === 'jump') ? [nop] : [];
      const fewer = this.single({
        ...best.sequence,
        instructions: [...instructions.slice(0, n), ...place, ...instructions.slice(n + 1)],
        undefinedFlags: everUndefined,
      });
      if (fewer !== undefined) best = fewer;
    }
    return best;
  }

  dispose(): void {
    this.native.dispose();
  }
}
