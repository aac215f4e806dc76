/**
 * Passes over a block's packed ops, run once when a block is translated: operands that are constant become immediates,
 * writes that nobody can see go (temporaries; lazy flags and registers overwritten before anything reads or observes
 * them), then the ops close up. In place, without allocation.
 */
// hot path
import { type BlockBuilder, FLAG_OP, FLAG_RES, FLAG_SRC, FLAG_SRC2, MAX_BLOCK_OPS, TEMP0 } from './builder.js';
import { EFFECTS, Effect, SKIP_WORD } from './effects.js';
import { TEMP_COUNT, VCPU } from './layout.js';
import { OP, OPS, type OpName } from './ops.js';

/** Op with an immediate for `b`, by the code of the op with two slots; 0: none. */
const WITH_IMMEDIATE = new Uint16Array(OPS.length);
/** The same where the operands may be exchanged, for a constant `a`. */
const EXCHANGED = new Uint16Array(OPS.length);
/** Ops that look at the low halves of their operands only. */
const NARROW = Uint8Array.from(OPS, (o) => (o.name.endsWith('32') ? 1 : 0));
for (const [code, o] of OPS.entries()) {
  if (o.format !== 'dab' && o.format !== 'if2') continue;
  const name = (o.name.endsWith('32') ? `${o.name.slice(0, -2)}i32` : `${o.name}i`) as OpName;
  const immediate = OP[name] as number | undefined;
  if (immediate === undefined) continue;
  WITH_IMMEDIATE[code] = immediate;
  if (/^(add|mul|and|or|xor|(set|if)_(eq|ne|tsteq|tstne))(32)?$/.test(o.name)) EXCHANGED[code] = immediate;
}

/** How deep in bodies of `if_…` each op is. */
const depthOf = new Uint8Array(MAX_BLOCK_OPS);
const bodyEnds = new Int32Array(256);

/** Temporaries with a known value: valid when their stamp is the current one. */
const constantStamp = new Int32Array(TEMP_COUNT);
const constantLow = new Int32Array(TEMP_COUNT);
const constantHigh = new Int32Array(TEMP_COUNT);
let stamp = 0;

/** Whether a slot is a constant that an immediate can stand for: one that is sign-extended from 32 bits. */
function isImmediate(slot: number, narrow: boolean): boolean {
  const t = slot - TEMP0;
  if (t < 0 || t >= TEMP_COUNT || constantStamp[t] !== stamp) return false;
  return narrow || constantHigh[t] === (constantLow[t] as number) >> 31;
}

/** Constant operands become immediates; notes how deep each op is on the way. */
function foldConstants(words: Int32Array, count: number): void {
  stamp++;
  let depth = 0;
  for (let i = 0; i < count; i++) {
    while (depth > 0 && i >= (bodyEnds[depth - 1] as number)) {
      // Behind a body that may or may not have run: what it changed is unknown, and so, simply, is everything.
      depth--;
      stamp++;
    }
    depthOf[i] = depth;
    const w = i * 4;
    const op = (words[w] as number) & 0xffff;
    const dst = (words[w] as number) >>> 16;
    const immediate = WITH_IMMEDIATE[op] as number;
    if (immediate !== 0) {
      const ab = words[w + 1] as number;
      const narrow = NARROW[op] === 1;
      let a = ab & 0xffff;
      let b = ab >>> 16;
      if (EXCHANGED[op] !== 0 && !isImmediate(b, narrow) && isImmediate(a, narrow)) {
        a = b;
        b = ab & 0xffff;
      }
      if (isImmediate(b, narrow)) {
        words[w] = immediate | (dst << 16);
        words[w + 1] = a;
        if (SKIP_WORD[op] !== 0) words[w + 3] = words[w + 2] as number;
        words[w + 2] = constantLow[b - TEMP0] as number;
      }
    }
    const skip = SKIP_WORD[(words[w] as number) & 0xffff] as number;
    if (skip !== 0) bodyEnds[depth++] = i + 1 + (words[w + skip] as number);
    const t = dst - TEMP0;
    if (t < 0 || t >= TEMP_COUNT || ((EFFECTS[op] as number) & Effect.writesDst) === 0) continue;
    constantStamp[t] = op === OP.movi ? stamp : 0;
    constantLow[t] = words[w + 2] as number;
    constantHigh[t] = words[w + 3] as number;
  }
}

const FIRST_STATE = VCPU.size / 8;
const LAST_FLAG = FLAG_SRC2;
/** A guest slot is dead (overwritten before it is read or observed) while its mark is the current period. */
const deadMark = new Int32Array(65536);
let period = 0;
const liveTemps = new Uint8Array(TEMP_COUNT);
/** Ops kept from each index on. */
const keptFrom = new Int32Array(MAX_BLOCK_OPS + 1);

function isDead(slot: number): boolean {
  const t = slot - TEMP0;
  return t >= 0 && t < TEMP_COUNT ? liveTemps[t] === 0 : deadMark[slot] === period;
}
function read(slot: number): void {
  const t = slot - TEMP0;
  if (t >= 0 && t < TEMP_COUNT) liveTemps[t] = 1;
  else deadMark[slot] = 0;
}
/** A write that happens whenever the ops behind it are reached. */
function overwritten(slot: number): void {
  const t = slot - TEMP0;
  if (t >= 0 && t < TEMP_COUNT) liveTemps[t] = 0;
  else if (slot >= FIRST_STATE || (slot >= FLAG_OP && slot <= LAST_FLAG)) deadMark[slot] = period;
}

/** Ops without a visible effect become `nop`; counts those kept. */
function removeDead(words: Int32Array, count: number): void {
  period++;
  liveTemps.fill(0);
  let kept = 0;
  keptFrom[count] = 0;
  for (let i = count - 1; i >= 0; i--) {
    const w = i * 4;
    const op = (words[w] as number) & 0xffff;
    const effects = EFFECTS[op] as number;
    const dst = (words[w] as number) >>> 16;
    const skip = SKIP_WORD[op] as number;
    let keep = op !== OP.nop;
    if (skip !== 0) keep = kept !== (keptFrom[i + 1 + (words[w + skip] as number)] as number);
    else if (op === OP.flags) keep = !(isDead(FLAG_OP) && isDead(FLAG_RES) && isDead(FLAG_SRC));
    else if ((effects & Effect.removable) !== 0) {
      keep = !isDead(dst) && !(op === OP.mov && dst === ((words[w + 1] as number) & 0xffff));
    }
    if (keep) {
      kept++;
      if (depthOf[i] === 0) {
        if ((effects & Effect.writesDst) !== 0) overwritten(dst);
        else if (op === OP.flags) {
          overwritten(FLAG_OP);
          overwritten(FLAG_RES);
          overwritten(FLAG_SRC);
        }
      }
      // Whoever observes does so before the op's own result is there: a load that faults has not written its register.
      // Vector helpers read vector state without saying which: to them, too, everything is visible.
      if ((effects & Effect.observes) !== 0 || op === OP.vcall) period++;
      if (op === OP.vcall || op === OP.vcallf) {
        read((words[w + 1] as number) & 0xffff);
        read((words[w + 1] as number) >>> 16);
      }
      if ((effects & Effect.readsA) !== 0) read((words[w + 1] as number) & 0xffff);
      if ((effects & Effect.readsB) !== 0) read((words[w + 1] as number) >>> 16);
      if ((effects & Effect.readsImmSlot) !== 0) read(words[w + 2] as number);
      if ((effects & Effect.readsFlags) !== 0) {
        read(FLAG_OP);
        read(FLAG_RES);
        read(FLAG_SRC);
        read(FLAG_SRC2);
      }
      // State reached by byte offset; a partial write leaves the rest of the slot to be seen as well.
      if (STATE[op] === 1) read((words[w + 2] as number) >>> 3);
    } else words[w] = OP.nop;
    keptFrom[i] = kept;
  }
}

const STATE = Uint8Array.from(OPS, (o) => (o.effect === 'state' ? 1 : 0));

/** Takes the `nop`s out. */
function compact(words: Int32Array, count: number): number {
  let to = 0;
  for (let i = 0; i < count; i++) {
    const w = i * 4;
    const op = (words[w] as number) & 0xffff;
    if (op === OP.nop) continue;
    const skip = SKIP_WORD[op] as number;
    if (skip !== 0) {
      const end = i + 1 + (words[w + skip] as number);
      words[w + skip] = (keptFrom[i + 1] as number) - (keptFrom[end] as number);
    }
    if (to !== i) words.copyWithin(to * 4, w, w + 4);
    to++;
  }
  return to;
}

/** Runs all passes on the block in the builder. */
export function optimise(builder: BlockBuilder): void {
  foldConstants(builder.words, builder.count);
  removeDead(builder.words, builder.count);
  builder.count = compact(builder.words, builder.count);
}
