/** Assembles WebAssembly modules (core specification 2.0, section 5.5): imported shared memory and functions, own functions, exports. */
import { Bytes } from './bytes.js';
import { ValType } from './opcodes.js';

export interface FunctionType {
  readonly params: readonly ('i32' | 'i64')[];
  readonly results: readonly ('i32' | 'i64')[];
}

/** Bytes that a function leaves for its own index, which is known only when all imports are. */
export const SELF_BYTES = 4;
const MAX_PAGES = 65536;
const Section = { type: 1, import: 2, function: 3, export: 7, code: 10 } as const;

/**
 * One module under construction. Imports may be added while bodies are written (their indices come first and bodies call
 * nothing else), so a body can import what it needs as it goes.
 */
export class ModuleWriter {
  private readonly types: FunctionType[] = [];
  private readonly imports: { module: string; name: string; type: number }[] = [];
  private readonly importIndex = new Map<string, number>();
  private readonly functions: number[] = [];
  private readonly hints = new Map<number, readonly number[]>();
  private readonly names = new Map<number, string>();
  /** Places in `bodies` for a function's own index, and its number. */
  private readonly selfCalls: number[] = [];
  private readonly bodies = new Bytes(1 << 16);
  private readonly out = new Bytes(1 << 16);
  private readonly scratch = new Bytes(1 << 12);

  reset(): void {
    this.types.length = 0;
    this.imports.length = 0;
    this.importIndex.clear();
    this.functions.length = 0;
    this.names.clear();
    this.hints.clear();
    this.bodies.clear();
    this.selfCalls.length = 0;
  }

  private type(t: FunctionType): number {
    let i = this.types.indexOf(t);
    if (i < 0) i = this.types.push(t) - 1;
    return i;
  }

  /** Index of an imported function. Pass the same `type` object for the same type. */
  importFunction(module: string, name: string, type: FunctionType): number {
    const key = `${module}.${name}`;
    let i = this.importIndex.get(key);
    if (i === undefined) {
      i = this.imports.push({ module, name, type: this.type(type) }) - 1;
      this.importIndex.set(key, i);
    }
    return i;
  }

  /** Names of imported functions, by index. */
  importNames(): readonly string[] {
    return this.imports.map((i) => i.name);
  }

  /**
   * Adds a function with a body (locals declaration and code, without its size). It is exported under its number, from "0"
   * on. `hints`: pairs of an instruction's offset in the body and 1 (condition likely true) or 0. A `name` is what profilers
   * and debuggers show. `selfCalls`: offsets in the body of SELF_BYTES each, for the function's own index.
   */
  addFunction(
    type: FunctionType,
    body: Bytes,
    hints: readonly number[] = [],
    name?: string,
    selfCalls: readonly number[] = [],
  ): number {
    if (hints.length > 0) this.hints.set(this.functions.length, [...hints]);
    if (name !== undefined) this.names.set(this.functions.length, name);
    this.bodies.uleb(body.length);
    for (const at of selfCalls) this.selfCalls.push(this.bodies.length + at, this.functions.length);
    this.bodies.append(body);
    return this.functions.push(this.type(type)) - 1;
  }

  get functionCount(): number {
    return this.functions.length;
  }

  private section(id: number, content: Bytes): void {
    this.out.u8(id);
    this.out.uleb(content.length);
    this.out.append(content);
  }

  /** Branch hinting proposal: the custom section "metadata.code.branch_hint", for engines that read it. */
  private hintSection(): void {
    const { scratch: s } = this;
    s.clear();
    s.name('metadata.code.branch_hint');
    s.uleb(this.hints.size);
    for (const [i, hints] of this.hints) {
      s.uleb(this.imports.length + i);
      s.uleb(hints.length / 2);
      for (let h = 0; h < hints.length; h += 2) {
        s.uleb(hints[h] as number);
        s.u8(1); // bytes of the hint
        s.u8(hints[h + 1] as number);
      }
    }
    this.section(0, s);
  }

  /** The custom section "name" with its subsection of function names. */
  private nameSection(): void {
    const list = new Bytes();
    list.uleb(this.names.size);
    for (const [i, name] of this.names) {
      list.uleb(this.imports.length + i);
      list.name(name);
    }
    const { scratch: s } = this;
    s.clear();
    s.name('name');
    s.u8(1);
    s.uleb(list.length);
    s.append(list);
    this.section(0, s);
  }

  /** The finished module. The view is valid until the next use of this writer. */
  finish(): Uint8Array<ArrayBuffer> {
    const { out, scratch: s } = this;
    out.clear();
    for (const b of [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0]) out.u8(b);

    s.clear();
    s.uleb(this.types.length);
    for (const t of this.types) {
      s.u8(0x60);
      s.uleb(t.params.length);
      for (const p of t.params) s.u8(ValType[p]);
      s.uleb(t.results.length);
      for (const r of t.results) s.u8(ValType[r]);
    }
    this.section(Section.type, s);

    s.clear();
    s.uleb(this.imports.length + 1);
    s.name('env');
    s.name('memory');
    s.u8(2); // memory
    s.u8(3); // shared, with a maximum
    s.uleb(1);
    s.uleb(MAX_PAGES);
    for (const i of this.imports) {
      s.name(i.module);
      s.name(i.name);
      s.u8(0); // function
      s.uleb(i.type);
    }
    this.section(Section.import, s);

    s.clear();
    s.uleb(this.functions.length);
    for (const t of this.functions) s.uleb(t);
    this.section(Section.function, s);

    s.clear();
    s.uleb(this.functions.length);
    for (let i = 0; i < this.functions.length; i++) {
      s.name(String(i));
      s.u8(0); // function
      s.uleb(this.imports.length + i);
    }
    this.section(Section.export, s);

    if (this.hints.size > 0) this.hintSection();

    for (let i = 0; i < this.selfCalls.length; i += 2) {
      let index = this.imports.length + (this.selfCalls[i + 1] as number);
      for (let byte = 0; byte < SELF_BYTES; byte++, index >>>= 7)
        this.bodies.data[(this.selfCalls[i] as number) + byte] = (index & 0x7f) | (byte < SELF_BYTES - 1 ? 0x80 : 0);
    }

    // The code section: its content would be a second copy of every body, so it is written in place.
    s.clear();
    s.uleb(this.functions.length);
    out.u8(Section.code);
    out.uleb(s.length + this.bodies.length);
    out.append(s);
    out.append(this.bodies);
    if (this.names.size > 0) this.nameSection();
    return out.data.subarray(0, out.length);
  }
}
