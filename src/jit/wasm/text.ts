/** Prints a function body as WebAssembly text, one instruction a line, for `-d out_asm` and for tests. */
import { Bug } from '../../base/errors.js';
import { type Immediate, OPCODES, ValType, VECTOR_OPCODES, VOID, W } from './opcodes.js';

class Reader {
  at: number;
  constructor(
    private readonly data: Uint8Array,
    start: number,
  ) {
    this.at = start;
  }
  u8(): number {
    return this.data[this.at++] as number;
  }
  uleb(): number {
    let value = 0;
    let shift = 0;
    for (;;) {
      const b = this.u8();
      value += (b & 0x7f) * 2 ** shift;
      if (b < 0x80) return value;
      shift += 7;
    }
  }
  sleb(): bigint {
    let value = 0n;
    let shift = 0n;
    for (;;) {
      const b = this.u8();
      value |= BigInt(b & 0x7f) << shift;
      shift += 7n;
      if (b < 0x80) return (b & 0x40) === 0 ? value : value - (1n << shift);
    }
  }
}

const typeName = (t: number): string => {
  for (const [name, code] of Object.entries(ValType)) if (code === t) return name;
  throw new Bug(`unknown value type ${t}`);
};

/**
 * `body` is a locals declaration and code, as the module writer takes it. `nameOfFunction` names call targets,
 * `nameOfLocal` locals.
 */
export function functionText(
  body: Uint8Array,
  nameOfFunction: (index: number) => string = String,
  nameOfLocal: (index: number) => string = String,
): string {
  const r = new Reader(body, 0);
  const lines: string[] = [];
  for (let groups = r.uleb(); groups > 0; groups--) {
    const count = r.uleb();
    lines.push(`(local ${count} x ${typeName(r.u8())})`);
  }
  let depth = 0;
  const operand = (immediate: Immediate, code: number): string => {
    switch (immediate) {
      case 'none':
        return '';
      case 'block': {
        const t = r.u8();
        return t === VOID ? '' : ` (result ${typeName(t)})`;
      }
      case 'label':
      case 'lane':
        return ` ${r.uleb()}`;
      case 'labels': {
        const targets: number[] = [];
        for (let n = r.uleb() + 1; n > 0; n--) targets.push(r.uleb());
        return ` ${targets.join(' ')}`;
      }
      case 'index': {
        const i = r.uleb();
        return ` $${code === W.call ? nameOfFunction(i) : nameOfLocal(i)}`;
      }
      case 'i32':
      case 'i64':
        return ` ${r.sleb()}`;
      case 'bytes16':
        return ` ${Array.from({ length: 16 }, () => r.u8())}`;
      case 'memory':
      case 'memoryLane': {
        r.uleb();
        const offset = r.uleb();
        const text = offset === 0 ? '' : ` offset=${offset}`;
        return immediate === 'memory' ? text : `${text} ${r.uleb()}`;
      }
    }
  };
  while (r.at < body.length) {
    let code = r.u8();
    const vector = code === W.simd;
    if (vector) code = r.uleb();
    const info = (vector ? VECTOR_OPCODES : OPCODES).get(code);
    if (info === undefined) throw new Bug(`opcode ${vector ? 'fd ' : ''}${code.toString(16)} is not in the table`);
    if (!vector && (code === W.end || code === W.else)) depth--;
    lines.push('  '.repeat(Math.max(0, depth)) + info.name + operand(info.immediate, vector ? -1 : code));
    if (!vector && (code === W.block || code === W.loop || code === W.if || code === W.else)) depth++;
  }
  return `${lines.join('\n')}\n`;
}
