/** Packed decimal of FBLD and FBSTP: 18 digits, two a byte, sign in bit 7 of byte 9. */
import { clearFlags, IE, raise } from './control';
import { toInteger } from './extended';

/** The magnitude of 18 digits: 16 in `low`, two in `high`. Digits above 9 count as their binary value. */
export function decimalOf(low: u64, high: u32): i64 {
  let value = i64((high >> 4) * 10 + (high & 15));
  for (let shift: i32 = 60; shift >= 0; shift -= 4) value = value * 10 + i64((low >> u64(shift)) & 15);
  return value;
}

const LIMIT: u64 = 999999999999999999;

/** Stores ten bytes at `at`; the packed decimal indefinite (and IE alone) for what has no 18 digits. */
export function packDecimal(at: usize, s: u32, m: u64, mode: u32): void {
  const value = toInteger(s, m, 64, mode);
  let magnitude: u64 = (s & 0x8000) !== 0 ? 0 - value : value;
  if (magnitude > LIMIT || value === 0x8000000000000000) {
    clearFlags();
    raise(IE);
    store<u64>(at, 0xc000000000000000);
    store<u64>(at, 0xffff, 8);
    return;
  }
  let low: u64 = 0;
  for (let shift: u64 = 0; shift < 64; shift += 4) {
    const rest = magnitude / 10;
    low |= (magnitude - rest * 10) << shift;
    magnitude = rest;
  }
  const tens = magnitude / 10;
  store<u64>(at, low);
  store<u64>(at, (tens << 4) | (magnitude - tens * 10) | ((s & 0x8000) !== 0 ? 0x8000 : 0), 8);
}
