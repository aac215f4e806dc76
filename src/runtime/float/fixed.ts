/**
 * 128-bit fixed-point fractions for the transcendental functions, on the pairs of wide.ts: the high word is returned, the low
 * one is `lowWord()`. Results are cut, wrong by a few units of the last of 128 places at most.
 */
import { divide, lowWord, multiply, setLowWord } from './wide';

/** Upper half of the 256-bit product: the product of fractions of 1. */
export function multiplyTop(ah: u64, al: u64, bh: u64, bl: u64): u64 {
  const crossA = al === 0 ? 0 : multiply(al, bh);
  const crossB = bl === 0 ? 0 : multiply(ah, bl);
  let hi = multiply(ah, bh);
  let lo = lowWord() + crossA;
  hi += u64(lo < crossA);
  lo += crossB;
  hi += u64(lo < crossB);
  setLowWord(lo);
  return hi;
}

/** Divides by a small integer (below 2^31). */
export function divideSmall(hi: u64, lo: u64, n: u64): u64 {
  const q = hi / n;
  let rest = hi - q * n;
  const middle = (rest << 32) | (lo >> 32);
  const qm = middle / n;
  rest = middle - qm * n;
  setLowWord((qm << 32) | (((rest << 32) | (lo & 0xffffffff)) / n));
  return q;
}

/** a / b as a fraction of 1 for a < b, bit 127 of b set. */
export function divideFractions(ah: u64, al: u64, bh: u64, bl: u64): u64 {
  let q = ah >= bh ? ~(<u64>0) : divide(ah, al, bh);
  // The rest of a after q * b, in the scale where b is bh:bl and a is ah:al:0.
  const ph = multiply(q, bl);
  const pl = lowWord();
  let rh = ah >= bh ? al + bh : al - q * bh;
  let rl: u64 = 0 - pl;
  let borrow = u64(pl !== 0);
  const over = ah >= bh ? u64(rh < bh) : 0;
  let negative = over === 0 && (rh < ph || (rh === ph && borrow !== 0));
  rh = rh - ph - borrow;
  while (negative) {
    q--;
    rl += bl;
    borrow = u64(rl < bl);
    const before = rh;
    rh += bh + borrow;
    negative = !(rh < before || (rh === before && borrow !== 0));
  }
  setLowWord(rh >= bh ? ~(<u64>0) : divide(rh, rl, bh));
  return q;
}
