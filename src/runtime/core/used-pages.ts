/** Pages of memory for saved machines: which of them hold something, and checksums of those. */

const PAGE: usize = 4096;
/** Odd, so that multiplying loses nothing: a changed bit of a page changes its lane's sum. */
const FACTOR: i32 = 0x9e3779b1 as i32;
const MIX: u32 = 0x85ebca6b;

function isZero(page: usize): bool {
  for (let at: usize = 0; at < PAGE; at += 64) {
    const first = v128.or(v128.load(page + at), v128.load(page + at, 16));
    const second = v128.or(v128.load(page + at, 32), v128.load(page + at, 48));
    if (v128.any_true(v128.or(first, second))) return false;
  }
  return true;
}

/** The first page from `page` on, before `end`, that is all zero (`used` 0) or is not (1); `end`: none. Addresses of pages. */
export function findPage(page: usize, end: usize, used: u32): usize {
  const zero = used === 0;
  while (page < end && isZero(page) !== zero) page += PAGE;
  return page;
}

function mixLanes(sum: u32, lanes: v128): u32 {
  sum = rotl<u32>((sum ^ v128.extract_lane<u32>(lanes, 0)) * MIX, 13);
  sum = rotl<u32>((sum ^ v128.extract_lane<u32>(lanes, 1)) * MIX, 13);
  sum = rotl<u32>((sum ^ v128.extract_lane<u32>(lanes, 2)) * MIX, 13);
  return rotl<u32>((sum ^ v128.extract_lane<u32>(lanes, 3)) * MIX, 13);
}

/**
 * The checksum of all pages from `page` to `end`, going on from `sum`. Sixteen lanes of 32 bits over each page, every lane a
 * polynomial in FACTOR of its words, then mixed into the sum one after the other: several times as fast as CRC-32 without
 * instructions of its own, and no weaker against bits that flipped.
 */
export function checksumPages(page: usize, end: usize, sum: u32): u32 {
  const factor = i32x4.splat(FACTOR);
  for (; page < end; page += PAGE) {
    let a = i32x4.splat(1);
    let b = i32x4.splat(2);
    let c = i32x4.splat(3);
    let d = i32x4.splat(4);
    // Several steps a round: the engine's first compiler keeps the lanes in memory between rounds.
    for (let at: usize = page; at < page + PAGE; at += 4 * 64) {
      a = i32x4.add(i32x4.mul(a, factor), v128.load(at));
      b = i32x4.add(i32x4.mul(b, factor), v128.load(at, 16));
      c = i32x4.add(i32x4.mul(c, factor), v128.load(at, 32));
      d = i32x4.add(i32x4.mul(d, factor), v128.load(at, 48));
      a = i32x4.add(i32x4.mul(a, factor), v128.load(at, 64));
      b = i32x4.add(i32x4.mul(b, factor), v128.load(at, 80));
      c = i32x4.add(i32x4.mul(c, factor), v128.load(at, 96));
      d = i32x4.add(i32x4.mul(d, factor), v128.load(at, 112));
      a = i32x4.add(i32x4.mul(a, factor), v128.load(at, 128));
      b = i32x4.add(i32x4.mul(b, factor), v128.load(at, 144));
      c = i32x4.add(i32x4.mul(c, factor), v128.load(at, 160));
      d = i32x4.add(i32x4.mul(d, factor), v128.load(at, 176));
      a = i32x4.add(i32x4.mul(a, factor), v128.load(at, 192));
      b = i32x4.add(i32x4.mul(b, factor), v128.load(at, 208));
      c = i32x4.add(i32x4.mul(c, factor), v128.load(at, 224));
      d = i32x4.add(i32x4.mul(d, factor), v128.load(at, 240));
    }
    sum = mixLanes(mixLanes(mixLanes(mixLanes(sum, a), b), c), d);
  }
  return sum;
}
