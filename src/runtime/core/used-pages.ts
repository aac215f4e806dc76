/** Which pages of memory hold something: what a saved machine has of its RAM. */

const PAGE: usize = 4096;

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
