/** Names of guest functions by address. */
export interface GuestSymbol {
  readonly address: bigint;
  /** As `nm` has it: t and T are functions. */
  readonly type: string;
  readonly name: string;
}

/** What `nm` prints, and the kernel's build as System.map. */
export function parseSystemMap(text: string): GuestSymbol[] {
  const out: GuestSymbol[] = [];
  for (const line of text.split('\n')) {
    const found = /^([0-9a-f]{1,16}) (\w) (\S+)$/.exec(line);
    if (found) out.push({ address: BigInt(`0x${found[1]}`), type: found[2]!, name: found[3]! });
  }
  return out;
}

export class SymbolTable {
  private readonly addresses: readonly bigint[];
  private readonly names: readonly string[];
  /** Added to the symbols' addresses: where the kernel put itself (KASLR). */
  private slide = 0n;

  constructor(symbols: readonly GuestSymbol[]) {
    const functions = symbols.filter((s) => 'tTwW'.includes(s.type));
    functions.sort((a, b) => (a.address < b.address ? -1 : a.address > b.address ? 1 : 0));
    this.addresses = functions.map((f) => f.address);
    this.names = functions.map((f) => f.name);
  }

  get size(): number {
    return this.names.length;
  }

  /** The running kernel has one of these functions there: the first that the table knows says how far all have moved. */
  locate(known: readonly (readonly [name: string, address: bigint])[]): void {
    for (const [name, address] of known) {
      const i = this.names.indexOf(name);
      if (i < 0 || address === 0n) continue;
      this.slide = address - this.addresses[i]!;
      return;
    }
  }

  /** The function that holds an address; undefined outside of all. */
  find(address: bigint): string | undefined {
    const at = address - this.slide;
    let low = 0;
    let high = this.addresses.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.addresses[middle]! <= at) low = middle + 1;
      else high = middle;
    }
    // Modules lie far behind the last function of the kernel.
    if (low === 0 || at - this.addresses[low - 1]! > 0x10000n) return undefined;
    return this.names[low - 1];
  }
}
