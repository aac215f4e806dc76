/**
 * The floating-point environment of a call. Every operation takes `ctl`, laid out as MXCSR (so MXCSR is one):
 *
 *     bit 6 DAZ | bit 11 UM | bits 13..14 rounding: 0 nearest, 1 down, 2 up, 3 to zero | bit 15 FTZ
 *     bits 16..17 precision of x87 results: 0: 24 bits, 2: 53 bits, 3: 64 bits
 *
 * Exceptions raised are or-ed into `floatFlags` (bits as in MXCSR and in the x87 status word). Globals are per thread.
 */
export const IE: u32 = 1;
export const DE: u32 = 2;
export const ZE: u32 = 4;
export const OE: u32 = 8;
export const UE: u32 = 16;
export const PE: u32 = 32;

export const CTL_DAZ: u32 = 1 << 6;
export const CTL_OM: u32 = 1 << 10;
export const CTL_UM: u32 = 1 << 11;
export const CTL_PM: u32 = 1 << 12;
export const CTL_ROUND: u32 = 3 << 13;
export const CTL_FTZ: u32 = 1 << 15;
export const CTL_PRECISION_SHIFT: u32 = 16;

export const NEAREST: u32 = 0;
export const DOWN: u32 = 1;
export const UP: u32 = 2;
export const ZERO: u32 = 3;

/** Formats the shared core rounds to. */
export const F16: u32 = 0;
export const F32: u32 = 1;
export const F64: u32 = 2;
export const F80: u32 = 3;

let flags: u32 = 0;
let up: u32 = 0;
let signExponent: u32 = 0;

/** Exceptions raised since `clearFlags`. */
export function floatFlags(): u32 {
  return flags;
}
export function clearFlags(): void {
  flags = 0;
  up = 0;
}
/** Takes PE back, and the direction of rounding with it. */
export function dropInexact(): void {
  flags &= ~PE;
  up = 0;
}
export function raise(bits: u32): void {
  flags |= bits;
}
/** 1 when the last inexact result was rounded away from zero (x87 condition code C1). */
export function roundedUp(): u32 {
  return up;
}
export function setRoundedUp(value: u32): void {
  up = value;
}
/** Sign and exponent of the last F80 result, whose significand was returned. */
export function resultSe(): u32 {
  return signExponent;
}
export function setResultSe(value: u32): void {
  signExponent = value;
}
export function rounding(ctl: u32): u32 {
  return (ctl >> 13) & 3;
}
