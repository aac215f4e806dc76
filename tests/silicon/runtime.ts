/** The x86 runtime module with stub imports and one vCPU record, for calling helpers directly. */
import { readFileSync } from 'node:fs';
import { X86 } from '../../src/guest/x86/state.js';
import { VCPU } from '../../src/ir/layout.js';

const CPU = 0x40000;

export class HelperBench {
  readonly cpu = CPU;
  readonly memory = new WebAssembly.Memory({ initial: 64, maximum: 65536, shared: true });
  readonly view = new DataView(this.memory.buffer);
  readonly bytes = new Uint8Array(this.memory.buffer);
  /** Exported functions of the runtime. */
  readonly call: Readonly<Record<string, (...args: (number | bigint)[]) => number | bigint | undefined>>;

  constructor(env: Readonly<Record<string, (...args: number[]) => number>> = {}) {
    const module = new WebAssembly.Module(readFileSync(new URL('../../runtime/x86.wasm', import.meta.url)));
    const imports: Record<string, Record<string, WebAssembly.Memory | ((...args: number[]) => number)>> = {};
    for (const { module: from, name, kind } of WebAssembly.Module.imports(module)) {
      imports[from] ??= {};
      imports[from][name] = kind === 'memory' ? this.memory : (env[name] ?? ((): number => 0));
    }
    this.call = new WebAssembly.Instance(module, imports).exports as HelperBench['call'];
  }
  /** Address of a state field. */
  at(field: string): number {
    return CPU + ((X86.at[field] ?? VCPU.at[field]) as number);
  }
  /** Address of vector register i, of scratch field i. */
  zmm(i: number): number {
    return this.at('zmm') + 64 * i;
  }
  vtemp(i: number): number {
    return this.at('vtemp') + 64 * i;
  }
  u32(field: string): number {
    return this.view.getUint32(this.at(field), true);
  }
  setU32(field: string, value: number): void {
    this.view.setUint32(this.at(field), value, true);
  }
}
