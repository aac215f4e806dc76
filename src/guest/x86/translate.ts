/** Translates x86 code at an address of linear memory into one block of IR. */
// hot path
import type { BlockBuilder } from '../../ir/builder.js';
import { GotoKind } from '../../ir/ops.js';
import type { GuestTranslator, IsBlock } from '../guest.js';
import { Decoded, Decoder } from './decode.js';
import { ROWS } from './insn/index.js';
import { PREPARED } from './insn/prepared.js';
import { Mode } from './state.js';
import { ONE_INSTRUCTION, Translator, Vector } from './translator.js';

const PAGE = 4096;
const MAX_INSTRUCTIONS = 64;
/** A block is cut when it comes near the builder's room; one instruction takes at most a few hundred ops. */
const ENOUGH_OPS = 1400;

export class X86Translator implements GuestTranslator {
  bytes = 0;
  instructions = 0;
  private readonly t: Translator;
  private readonly decoder = new Decoder(ROWS, PREPARED);
  /** An instruction that straddles two pages, put together. */
  private readonly joined = new Uint8Array(32);

  /**
   * `memory` is the linear memory; `hasFeature` asks the CPU model by a feature's name, `isIntel` who made it. `isBlock`: another
   * block begins there. Two blocks that held the same code would be compiled twice, and a loop entered through the one and gone
   * round through the other has two entries. `words`: where the builder's ops are to be.
   */
  constructor(
    private readonly memory: Uint8Array,
    hasFeature: (name: string) => boolean,
    isIntel: () => boolean,
    private readonly isBlock: IsBlock = () => false,
    words?: Int32Array,
  ) {
    this.t = new Translator(hasFeature, isIntel, words);
  }

  get builder(): BlockBuilder {
    return this.t.b;
  }

  translate(host: number, mode: number, page2: number): boolean {
    // Most blocks of a guest that has just begun are translated before any of this is hot: each property is looked up anew then.
    const { t, decoder, memory, isBlock } = this;
    const { i, b } = t;
    const single = (mode & ONE_INSTRUCTION) !== 0;
    const limited = (mode & Mode.csLimit) !== 0;
    const pageEnd = (Math.floor(host / PAGE) + 1) * PAGE;
    t.beginBlock(mode);
    let instructions = 0;
    let at = host;
    for (;;) {
      let code = decoder.decode(i, memory, at, pageEnd, mode);
      if (code === Decoded.truncated) {
        // The instruction goes on in the next page: it gets a block of its own.
        if (instructions > 0) break;
        if (page2 === 0) return false;
        const first = pageEnd - at;
        this.joined.set(memory.subarray(at, pageEnd));
        this.joined.set(memory.subarray(page2, page2 + 15), first);
        code = decoder.decode(i, this.joined, 0, first + 15, mode);
      }
      i.offset = at - host;
      i.end = i.offset + i.length;
      b.beginInstruction(i.offset);
      if (single) t.callVoid('armSingleStep');
      if (limited) t.checkFetch();
      if (code === Decoded.ok) t.instruction(i.form);
      else if (code === Decoded.tooLong) t.raise(Vector.gp, 0);
      else t.raise(Vector.ud);
      instructions++;
      at += i.length;
      if (t.ended) break;
      if (single || at >= pageEnd || isBlock(at, mode)) break;
      if (instructions >= MAX_INSTRUCTIONS || b.count >= ENOUGH_OPS) break;
    }
    this.instructions = instructions;
    this.bytes = at - host;
    if (!t.ended) t.jump(at - host, t.pcMask, GotoKind.jump);
    return true;
  }
}
