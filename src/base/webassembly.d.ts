/** The part of the WebAssembly JavaScript API that we use: neither ES2023 nor the Node types declare it. */
declare namespace WebAssembly {
  class Memory {
    constructor(descriptor: { initial: number; maximum?: number; shared?: boolean });
    readonly buffer: SharedArrayBuffer;
    grow(pages: number): number;
  }
  class Table {
    constructor(descriptor: { element: 'anyfunc'; initial: number; maximum?: number });
    readonly length: number;
    get(index: number): ExportedFunction | null;
    set(index: number, value: ExportedFunction | null): void;
    grow(entries: number): number;
  }
  class Global {
    constructor(descriptor: { value: 'i32' | 'i64' | 'f32' | 'f64'; mutable?: boolean }, value: number | bigint);
    value: number | bigint;
  }
  class Module {
    constructor(bytes: Uint8Array);
    static imports(module: Module): { module: string; name: string; kind: string }[];
  }
  type ExportedFunction = (...args: (number | bigint)[]) => number | bigint | undefined;
  type ImportValue = Memory | Table | Global | ((...args: never[]) => unknown);
  type Imports = Readonly<Record<string, Readonly<Record<string, ImportValue>>>>;
  class Instance {
    constructor(module: Module, imports?: Imports);
    readonly exports: Readonly<Record<string, Memory | Table | Global | ExportedFunction>>;
  }
  function compile(bytes: Uint8Array): Promise<Module>;
  function instantiate(module: Module, imports?: Imports): Promise<Instance>;
  function validate(bytes: Uint8Array): boolean;
}
