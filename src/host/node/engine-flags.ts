/** Settings of V8 that our generated code profits from. */
import { versions } from 'node:process';
import { setFlagsFromString } from 'node:v8';

/**
 * Lets V8 read branch hints, so that what a TLB miss needs stays out of the way of hits (docs/performance.md). The flag is in
 * Node.js 20 to 25; V8 reports a flag that it does not know on standard error, so others are left alone.
 */
export function readBranchHints(): void {
  const major = Number(versions.node.split('.')[0]);
  if (major >= 20 && major <= 25) setFlagsFromString('--experimental-wasm-branch-hinting');
}
