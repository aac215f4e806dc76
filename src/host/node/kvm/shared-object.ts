/** The smallest ELF shared object that the loader takes (System V ABI, chapters 4 and 5), of x86-64. */

const PAGE = 4096;
/** Sizes of what the file consists of. */
const HEADER = 64;
const PROGRAM_HEADER = 56;
const SYMBOL = 24;
const DYNAMIC_ENTRY = 16;
/** Bytes of the fields that `fields` writes: byte, half, word, quad. */
const WIDTHS = { b: 1, h: 2, w: 4, q: 8 } as const;

/** Writes values of these widths, one after the other; gives the place after the last. */
function fields(view: DataView, at: number, widths: string, ...values: readonly number[]): number {
  let next = at;
  for (const [i, width] of [...widths].entries()) {
    const bytes = WIDTHS[width as keyof typeof WIDTHS];
    for (let k = 0; k < bytes; k++) view.setUint8(next + k, Math.floor(values[i]! / 256 ** k) % 256);
    next += bytes;
  }
  return next;
}

/**
 * An object whose only symbol is a function: `code` from its first byte, which may be anywhere. At most some 3 KiB of it.
 *
 * Two pages: what is read and executed, and the dynamic section, which older loaders write to.
 */
export function sharedObject(symbol: string, code: Uint8Array): Uint8Array {
  const names = new TextEncoder().encode(`\0${symbol}\0`);
  const hash = HEADER + 4 * PROGRAM_HEADER;
  const symbols = hash + 24;
  const strings = symbols + 2 * SYMBOL;
  const text = (strings + names.length + 15) & ~15;
  const bytes = new Uint8Array(2 * PAGE);
  const view = new DataView(bytes.buffer);
  const dynamic = [
    ...[4, hash], // DT_HASH
    ...[5, strings], // DT_STRTAB
    ...[6, symbols], // DT_SYMTAB
    ...[10, names.length], // DT_STRSZ
    ...[11, SYMBOL], // DT_SYMENT
    ...[0, 0], // DT_NULL
  ];
  const dynamicBytes = (dynamic.length / 2) * DYNAMIC_ENTRY;
  // 64 bits, lowest byte first, ET_DYN, EM_X86_64; four program headers, no sections.
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  fields(view, 16, 'hhwqqqwhhhhhh', 3, 62, 1, 0, HEADER, 0, 0, HEADER, PROGRAM_HEADER, 4, 0, 0, 0);
  // Type, flags (1 executed, 2 written, 4 read), offset, two addresses, size in the file and in memory, alignment.
  const headers = [
    [1, 5, 0, 0, 0, PAGE, PAGE, PAGE], // PT_LOAD
    [1, 6, PAGE, PAGE, PAGE, PAGE, PAGE, PAGE], // PT_LOAD
    [2, 6, PAGE, PAGE, PAGE, dynamicBytes, dynamicBytes, 8], // PT_DYNAMIC
    [0x6474e551, 6, 0, 0, 0, 0, 0, 16], // PT_GNU_STACK: without it stacks would be made executable
  ];
  headers.reduce((at, header) => fields(view, at, 'wwqqqqqq', ...header), HEADER);
  // One bucket that begins with symbol 1, and symbol 1 ends its chain.
  fields(view, hash, 'wwwww', 1, 2, 1, 0, 0);
  // Name, STB_GLOBAL STT_FUNC, visibility, section (any that is not 0), value, size.
  fields(view, symbols + SYMBOL, 'wbbhqq', 1, 0x12, 0, 1, text, code.length);
  bytes.set(names, strings);
  bytes.set(code, text);
  fields(view, PAGE, 'q'.repeat(dynamic.length), ...dynamic);
  return bytes;
}
