/** From the code of regions to a WebAssembly module. It knows nothing of what is installed: any thread can do it. */
import { Lowering, REGION_TYPE } from './lower.js';
import type { LowerOptions } from './lower-frame.js';
import type { RegionCode } from './region-code.js';
import { ModuleWriter } from './wasm/module.js';
import { functionText } from './wasm/text.js';

export interface CompileJob {
  /** With the names that profilers show. */
  readonly regions: readonly { readonly code: RegionCode; readonly name: string }[];
  /** The guest's x87 control word as it is now. */
  readonly x87Control: number;
  /** The functions' text is wanted, too. */
  readonly text: boolean;
}

export interface CompiledJob {
  /** Exports each region's function under its number in the job. */
  readonly module: WebAssembly.Module;
  readonly bytes: number;
  /** Per region, if that was asked for. */
  readonly texts: readonly string[];
}

/** Compiles on another thread. */
export interface CompileThread {
  /** There will be jobs. */
  prepare(): void;
  /** Whether it takes a job now; when not, the caller had better do it. */
  readonly ready: boolean;
  /** Calls `done` later, not while guest code runs; with nothing if the thread is no more. */
  compile(job: CompileJob, done: (result: CompiledJob | undefined) => void): void;
  dispose(): void;
}

export type CompilerOptions = Omit<LowerOptions, 'x87Control'>;

export class RegionCompiler {
  private readonly lowering: Lowering;
  private readonly writer = new ModuleWriter();
  private x87Control = 0;

  constructor(options: CompilerOptions) {
    this.lowering = new Lowering({ ...options, x87Control: () => this.x87Control });
  }

  compile({ regions, x87Control, text }: CompileJob): CompiledJob {
    const { writer, lowering } = this;
    this.x87Control = x87Control;
    writer.reset();
    const texts: string[] = [];
    for (const { code, name } of regions) {
      const body = lowering.lower(code, writer);
      writer.addFunction(REGION_TYPE, body, lowering.hints, name, lowering.selfCalls);
      if (!text) continue;
      const names = writer.importNames();
      texts.push(functionText(body.data.subarray(0, body.length), (i) => names[i] ?? String(i)));
    }
    const bytes = writer.finish();
    return { module: new WebAssembly.Module(bytes), bytes: bytes.length, texts };
  }
}
